"""Stories and questions as data: batches, vocabulary and answers, data sets of the hub, and the configuration."""

import datasets
import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from seqlab.data import (
    IGNORE_INDEX,
    AnswerData,
    BabiFiles,
    Files,
    StoryQuestion,
    World,
    answer_data,
    babi_data,
    from_options,
)
from seqlab.data.answers.batch import EncodedStories, split_sentences
from seqlab.data.vocabulary.base import load_vocabulary
from seqlab.errors import InputError
from tests.data.answers.small import SMALL

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def test_the_fingerprint_follows_stories_answers_and_order():
    one = AnswerData(Rows(TWO)).fingerprint()
    assert one == AnswerData(Rows(list(TWO))).fingerprint()
    changed = [
        TWO[::-1],
        [TWO[0]._replace(answer="Bob"), *TWO[1:]],
        [TWO[0]._replace(story=("Bob stayed.",)), *TWO[1:]],
    ]
    assert len({one, *(AnswerData(Rows(rows)).fingerprint() for rows in changed)}) == 4


def test_batches_hold_the_stories_the_questions_and_the_answers():
    data = from_options(AnswerData, SMALL, batch_size=8, lowercase=False)
    seen = []
    for batch in data.train_dataloader():
        for row in range(len(batch.targets)):
            sentences = [
                data.vocabulary.decode(words[:count])
                for words, count in zip(batch.story[row], batch.sentence_lengths[row], strict=True)
            ]
            question = data.vocabulary.decode(batch.question[row, : batch.question_lengths[row]])
            length = int(batch.story_lengths[row])
            assert not any(sentences[length:]) and not batch.story[row, length:].any()
            seen.append((tuple(sentences[:length]), question, data.spec.answers[batch.targets[row]]))
    assert sorted(seen) == sorted(row[:3] for row in SMALL.read("train"))
    assert data.lengths("train").tolist() == [len(row.story) for row in SMALL.read("train")]
    assert data.spec.model_arguments() == {"vocab_size": len(data.vocabulary), "num_answers": len(data.spec.answers)}


def test_the_vocabulary_and_the_answers_come_from_training_alone(tmp_path):
    data = AnswerData(Rows(train=TWO, test=[TWO[0]._replace(story=("Zoe swam.",))]))
    assert set(data.vocabulary.tokens) == {"ann", "bob", "left", "stayed", "who", "?", ".", "<unk>"}
    assert data.spec.answers == ("Ann", "Bob"), "answers keep their case"
    assert data.collate("test", [0]).story.tolist() == [
        [[data.vocabulary.unknown_id] * 2 + [data.vocabulary.index["."]]]
    ]
    assert data.spec.majority == {"train": 2 / 3, "validation": 2 / 3, "test": 1.0}
    saved = load_vocabulary(data.vocabulary.save(tmp_path))
    again = AnswerData(Rows(train=TWO[:1]), vocabulary=tmp_path, answers=["Bob", "Ann"])
    assert again.vocabulary.tokens == saved.tokens == data.vocabulary.tokens
    assert again.spec.answers == ("Bob", "Ann") and again.collate("train", [0]).targets.tolist() == [1]


class Rows:
    """Questions that a test made; validation and test repeat training where they are not given."""

    def __init__(self, train, validation=None, test=None):
        self.splits = {"train": train, "validation": validation or train, "test": test or train}

    def __str__(self):
        return "the rows"

    def read(self, split):
        return self.splits[split]


TWO = [
    StoryQuestion(("Ann left.", "Bob stayed."), "Who left?", "Ann", (0,), 0, "f:3"),
    StoryQuestion(("Ann left.", "Bob stayed."), "Who stayed?", "Bob", (1,), 0, "f:4"),
    StoryQuestion(("Ann left.", "Bob stayed.", "Bob left."), "Who left?", "Ann", (0,), 0, "f:6"),
]


def test_an_answer_that_training_never_saw_counts_as_wrong_with_a_log_line(caplog):
    caplog.set_level("WARNING", "seqlab")
    other = [TWO[0], TWO[1]._replace(answer="Cid"), TWO[1]._replace(answer="Dan")]
    data = AnswerData(Rows(TWO, test=other))
    assert data.spec.answers == ("Ann", "Bob")
    assert data.collate("test", [0, 1, 2]).targets.tolist() == [0, IGNORE_INDEX, IGNORE_INDEX]
    assert "test: 2 of 3 questions have an answer that training never saw (Cid, Dan)" in caplog.text
    assert data.spec.majority["test"] == pytest.approx(1 / 3)
    with pytest.raises(
        InputError, match=r"f:4: no answer of the test split occurs in training, .* Ann, Bob; its first"
    ):
        AnswerData(Rows(TWO, test=other[1:])).prepare_data()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([TWO[0], TWO[1]._replace(story=())], "f:4: the story is empty"),
        ([TWO[0], TWO[1]._replace(story=("Ann left.", " "))], "f:4: sentence 2 of the story is empty"),
        ([TWO[0], TWO[1]._replace(question="")], "f:4: the question is empty"),
        ([], "the train split of the rows has no question"),
        (TWO[:1], r"the training split of the rows has one answer \(Ann\); two or more are needed"),
    ],
    ids=str,
)
def test_rows_without_what_it_takes_are_refused(rows, words):
    with pytest.raises(InputError, match=words):
        AnswerData(Rows(rows)).prepare_data()


def test_long_stories_are_cut_to_their_end_and_counted():
    data = AnswerData(Rows(TWO), max_sentences=2)
    assert data.lengths("train").tolist() == [2, 2, 2] and data.spec.max_sentences == 2
    assert data.spec.read_by() == {"max_sentences": 2}
    assert data.rows("train")[2].story == ("Bob stayed.", "Bob left.") and data.rows("train")[2].supports == ()
    assert data.rows("train")[1].supports == (1,)
    assert "1 story is cut to its last 2 sentences" in data.summaries()[0].notes
    assert data.spec.output_names()["max_sentences"] == 2, "for whoever uses an exported model"


def test_words_are_known_that_only_an_earlier_question_of_a_cut_story_reads(tmp_path):
    story = "1 Ann left.\n2 Who left?\tAnn\n3 Bob slept.\n4 Who slept?\tBob\n5 Ann ran.\n6 Bob ran.\n7 Who ran?\tBob\n"
    files = [tmp_path / f"{split}.txt" for split in ("train", "validation", "test")]
    for file in files:
        file.write_text(story)
    whole, cut = (answer_data(*files, max_sentences=most).vocabulary.tokens for most in (None, 1))
    assert {"left", "slept"} <= set(cut) == set(whole)
    read = answer_data(*files, max_sentences=1, min_frequency=3).vocabulary.tokens  # "Ann ran." is read by none
    assert "ann" not in read and "ran" not in read and "bob" not in read and "left" not in read


def test_a_sentence_that_two_cut_stories_keep_counts_once(tmp_path):
    story = "1 Ann left.\n2 Bob slept.\n3 Who slept?\tBob\n4 Eve ran.\n5 Who ran?\tEve\n"
    files = [tmp_path / f"{split}.txt" for split in ("train", "validation", "test")]
    for file in files:
        file.write_text(story)
    counts = {most: answer_data(*files, max_sentences=2, min_frequency=most).vocabulary.tokens for most in (2, 3)}
    assert "slept" in counts[2] and "slept" not in counts[3]  # in the sentence, which both stories keep, and a question


def test_a_sentence_is_told_from_another_that_begins_like_it():
    data = AnswerData(Rows(TWO))
    batch = EncodedStories(TWO, data.vocabulary, "rows").batch([2, 0], torch.zeros(2, dtype=torch.int64).numpy())
    assert batch.story_lengths.tolist() == [3, 2] and batch.sentence_lengths.tolist() == [[3, 3, 3], [3, 3, 0]]
    assert data.vocabulary.decode(batch.story[0, 2]) == "bob left."


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf_datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()

    def make(story, **columns):
        folder = tmp_path / f"set{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        rows = {
            "story": story * 5,
            "question": ["Who left?", "Who stayed?"] * 5,
            "answer": ["Ann", "Bob"] * 5,
            **columns,
        }
        datasets.Dataset.from_dict(rows).to_parquet(str(folder / "train.parquet"))
        return str(folder)

    return make


def test_a_data_set_of_the_hub_has_stories_as_text_or_as_sentences(hub):
    texts = ["Ann left. Bob stayed.", "Ann left.\nBob stayed."]
    for stories in (texts, [["Ann left.", "Bob stayed."]] * 2):
        data = answer_data(hub=hub(stories), split=[0.6, 0.2, 0.2])
        assert data.spec.num_examples == {"train": 6, "validation": 2, "test": 2}
        row = data.rows("train")[1]
        assert row[:4] == (("Ann left.", "Bob stayed."), "Who stayed?", "Bob", ())
        assert row.place.endswith("train row 2")
    with pytest.raises(InputError, match=r"no column 'reply' but .*'answer': give data\.answer=NAME"):
        answer_data(hub=hub(texts), answer="reply").prepare_data()
    with pytest.raises(InputError, match=r"train row 2: expected text in 'answer', got None"):
        answer_data(hub=hub(texts, answer=["Ann", None] * 5)).prepare_data()
    with pytest.raises(InputError, match=r"train row 1: expected a text or a list of sentences in 'story', got '3'"):
        answer_data(hub=hub([3, 4])).prepare_data()


def test_sentences_end_at_marks_before_a_space_and_at_lines():
    assert split_sentences(" It is 2.5 km. Really! \n\n No mark\nWhy? ") == (
        "It is 2.5 km.",
        "Really!",
        "No mark",
        "Why?",
    )
    assert split_sentences("  ") == ()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: answer_data(), r"data\.train=FILE and data\.test=FILE in bAbI's form, or data\.hub=NAME"),
        (lambda: answer_data(train="none.txt", test="none.txt"), r"data\.train=none\.txt: there is no such file"),
        (lambda: answer_data(name="x"), r"data\.name=x is for a data set of the hub"),
        (lambda: babi_data(None), "set the environment variable SEQLAB_DATA"),
        (lambda: babi_data("."), r"data\.task=1: expected one file babi_en_1k/qa1_NAME_train\.txt, there is none"),
        (lambda: babi_data(".", task=21), r"data\.task=21 must be one of bAbI's tasks 1 to 20"),
        (lambda: babi_data(".", task=0), r"data\.task=0 must be a whole number, 1 or more"),
        (lambda: World(stories=(1, 2)), r"data\.stories=\[1, 2\] must be three numbers"),
        (lambda: World(stories=(1, 0, 1)), r"data\.stories=0 must be a whole number, 1 or more"),
        (lambda: AnswerData(SMALL, max_sentences=0), r"data\.max_sentences=0 must be a whole number, 1 or more"),
        (
            lambda: BabiFiles(Files(train="a", test="b"), validation_share=1),
            r"data\.validation_share=1 must be a share between 0 and 1",
        ),
    ],
)
def test_wrong_options_are_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()


def make(*overrides: str) -> AnswerData:
    with initialize_config_module("seqlab.conf", version_base="1.3"):
        config = compose("train", overrides=list(overrides))
    return instantiate(config.data, _convert_="all")


def test_each_file_of_the_configuration_makes_its_data(files, tmp_path, monkeypatch):
    world = make("data=world", "data.stories=[10,2,2]", "seed=4")
    assert world.spec.num_examples == {"train": 40, "validation": 8, "test": 8} and world.seed == 4
    own = make("data=answers", f"data.train={files[0]}", f"data.test={files[1]}", "data.max_sentences=3")
    assert own.spec.num_examples == {"train": 144, "validation": 16, "test": 20} and own.lengths("test").max() == 3
    (tmp_path / "babi_en_1k").mkdir()
    for split, file in zip(("train", "test"), files, strict=True):
        for task in (1, 11):
            text = file.read_text() if task == 11 else "1 Ann left.\n2 Who left?\tAnn\t1\n3 Who stayed?\tBob\n" * 9
            (tmp_path / "babi_en_1k" / f"qa{task}_some-name_{split}.txt").write_text(text)
    monkeypatch.setenv("SEQLAB_DATA", str(tmp_path))
    assert make("data=babi", "data.task=11").spec.num_examples == own.spec.num_examples
    assert make("data=babi").spec.answers == ("Ann", "Bob")
    (tmp_path / "babi_en_1k" / "qa1_other-name_test.txt").write_text("")
    with pytest.raises(Exception, match=r"expected one file .*qa1_NAME_test\.txt, there are 2"):
        make("data=babi")


def test_the_sweep_is_the_twenty_tasks():
    with initialize_config_module("seqlab.conf", version_base="1.3"):
        config = compose("train", overrides=["experiment=babi", "sweep=babi"], return_hydra_config=True)
    assert config.hydra.sweeper.params == {"data.task": ",".join(map(str, range(1, 21)))}
