"""Stories and questions: what the made-up world knows is true, and what is wrong in a file is told with its line."""

import re
from pathlib import Path

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
from seqlab.data.answers.world import NOBODY, PEOPLE, PLACES, THINGS
from seqlab.data.formats.babi import parse_babi, read_babi, write_babi
from seqlab.data.vocabulary.base import load_vocabulary
from seqlab.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
SMALL = World(stories=(40, 5, 5), seed=3)


def answer_by_reading(sentences, question: str) -> str:
    """The answer that a reader of the sentences gives: written apart from the generator, by their words alone."""
    place, holder, lies = {}, {}, {}
    for sentence in sentences:
        if found := re.fullmatch(r"(\w+) (?:walked to|ran to|went over to|set out for) the (\w+)\.", sentence):
            place[found[1]] = found[2]
        elif found := re.fullmatch(r"(\w+) (?:picked up|took) the (\w+)\.", sentence):
            holder[found[2]] = found[1]
        elif found := re.fullmatch(r"(\w+) (?:put down|left) the (\w+)\.", sentence):
            holder.pop(found[2], None)
            lies[found[2]] = place.get(found[1])
        elif found := re.fullmatch(r"(\w+) (?:gave|handed) the (\w+) to (\w+)\.", sentence):
            holder[found[2]] = found[3]
        else:
            raise AssertionError(sentence)
    subject = re.fullmatch(r"(?:Where is (?:the )?|Who has the |Is )(\w+)(?: in the (\w+))?\?", question)
    name, other = subject[1], subject[2]
    if question.startswith("Is"):
        return "yes" if place[name] == other else "no"
    if question.startswith("Who"):
        return holder.get(name, NOBODY)
    if name in THINGS:
        return place[holder[name]] if name in holder else lies[name]
    return place[name]


def test_every_answer_of_the_world_follows_from_its_story_and_from_the_supporting_sentences_alone():
    rows = [row for split in ("train", "validation", "test") for row in SMALL.read(split)]
    assert len(rows) == 200
    for row in rows:
        assert answer_by_reading(row.story, row.question) == row.answer, row
        supports = [row.story[position] for position in row.supports]
        assert supports and answer_by_reading(supports, row.question) == row.answer, row
    kinds = {re.sub("|".join([*PEOPLE, *PLACES, *THINGS]), "X", row.question) for row in rows}
    assert kinds == {"Where is X?", "Where is the X?", "Who has the X?", "Is X in the X?"}
    assert {row.answer for row in rows} >= {"yes", "no", NOBODY}


def test_nobody_takes_what_is_elsewhere_or_gives_to_one_who_is_elsewhere():
    for row in World(stories=(60, 1, 1), questions=6).read("train")[5::6]:  # each story's last, which holds it all
        place, holder, lies = {}, {}, {}
        for sentence in row.story:
            person, *_, last = sentence.rstrip(".").split()
            thing = next((name for name in THINGS if name in sentence), None)
            if thing is None:
                assert place.get(person) != last, "a journey leads elsewhere"
                place[person] = last
            elif re.search("picked up|took", sentence):
                assert thing not in holder and lies.pop(thing, place[person]) == place[person]
                holder[thing] = person
            elif re.search("gave|handed", sentence):
                assert holder[thing] == person != last and place[last] == place[person]
                holder[thing] = last
            else:
                assert holder.pop(thing) == person
                lies[thing] = place[person]


def test_a_world_is_its_seed_on_every_machine_and_its_splits_differ():
    assert SMALL.read("train") == World(stories=(40, 9, 9), seed=3).read("train")
    assert SMALL.read("train")[:20] != World(stories=(40, 5, 5), seed=4).read("train")[:20]
    assert SMALL.read("test")[0].story != SMALL.read("validation")[0].story
    first = World(stories=(1, 1, 1), seed=0).read("train")[0]
    assert (first.question, first.answer, first.supports) == ("Is Lena in the orchard?", "no", (3,))
    assert first.story[:2] == ("Hugo went over to the market.", "Theo went over to the harbour.")


def test_the_world_written_as_bAbI_text_reads_back_as_it_was():  # noqa: N802
    text = SMALL.text("train")
    rows, read = SMALL.read("train"), parse_babi(text.splitlines(), "world.txt").questions
    assert [row._replace(place="") for row in read] == [row._replace(place="") for row in rows]
    assert write_babi(read) == text
    lines = text.splitlines()
    assert all("\t" in lines[int(row.place.rpartition(":")[2]) - 1] for row in read)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    for split in ("train", "test"):
        (tmp_path / f"{split}.txt").write_text(SMALL.text(split))
    return tmp_path / "train.txt", tmp_path / "test.txt"


def train_and_test(files: tuple[Path, Path]) -> Files:
    return Files(train=files[0], test=files[1])


def test_validation_is_a_seeded_tenth_of_the_training_stories_none_of_them_on_both_sides(files):
    source = BabiFiles(train_and_test(files))
    train, validation = source.read("train"), source.read("validation")
    assert len(validation) == 16 and len({row.group for row in validation}) == 4
    assert not {row.group for row in train} & {row.group for row in validation}
    assert {*train, *validation} == set(read_babi(files[0]).questions)
    assert (
        BabiFiles(train_and_test(files)).read("validation")
        == validation
        != BabiFiles(train_and_test(files), split_seed=1).read("validation")
    )
    other = files[1].with_name("validation.txt")
    other.write_text(SMALL.text("validation"))
    given = BabiFiles(Files(train=files[0], test=files[1], validation=other))
    assert given.read("validation") == read_babi(other).questions and len(given.read("train")) == 160
    with pytest.raises(InputError, match=r"1 story is too few to cut validation from: give data\.validation=FILE"):
        files[0].write_text("1 Ann left.\n2 Who left?\tAnn\n")
        BabiFiles(train_and_test(files)).read("train")


def test_stories_of_several_files_stay_apart(files):
    last = files[1].with_name("last.txt")
    last.write_text("1 Ann left.\n2 Who left?\tAnn\n")
    other = last.with_name("other.txt")
    other.write_text(last.read_text())
    source = BabiFiles(Files(train=[*files], test=last, validation=other))
    assert len({row.group for row in source.read("train")}) == 45


def test_a_file_of_two_splits_is_refused(files):
    with pytest.raises(InputError, match=r"the same file twice: .*train\.txt of data\.test is of data\.train"):
        BabiFiles(Files(train=files[0], test=str(files[0].parent / "tr*.txt")))


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r", "\n\n", "\n \t\n"])
def test_line_ends_of_any_system_and_blank_lines_read_alike(tmp_path, newline):
    text = SMALL.text("test")
    (tmp_path / "plain.txt").write_text(text)
    (tmp_path / "other.txt").write_bytes(text.replace("\n", newline).encode("utf-8-sig"))
    plain, other = (read_babi(tmp_path / f"{name}.txt").questions for name in ("plain", "other"))
    assert [row[:5] for row in plain] == [row[:5] for row in other]
    per_line = 2 if newline.count("\n") == 2 else 1
    assert int(other[0].place.rsplit(":")[-1]) == per_line * (int(plain[0].place.rsplit(":")[-1]) - 1) + 1


def test_what_each_split_holds_is_counted(tmp_path):
    (tmp_path / "train.txt").write_text(
        "1 Ann left.\n2 Who left?\tAnn\n3 Bob left.\n4 Who left?\tBob\n1 Nobody asks.\n1 Bob ran.\n2 Who ran?\tBob\n"
    )
    (tmp_path / "test.txt").write_text("1 Bob ran.\n2 Who ran?\tBob\n1 Zoe swam.\n2 Who swam?\tZoe\n")
    (tmp_path / "validation.txt").write_text("1 Ann sat.\n2 Who sat?\tAnn\n")
    data = answer_data(*(tmp_path / f"{split}.txt" for split in ("train", "validation", "test")), max_sentences=1)
    train, validation, test = data.summaries()
    assert train.counts == {"questions": 3, "stories": 2} and train.classes == {"Ann": 1, "Bob": 2}
    assert train.left_out == {"stories without a question": 1} and train.kind == "answers"
    assert "1 story is cut to its last 1 sentence" in train.notes
    assert test.classes == {"Bob": 1, "Zoe": 1}
    assert "1 of 2 questions stands in train too" in test.notes[0]
    assert "1 question has an answer that training never saw" in test.notes
    assert any("of the words of its sentences read as <unk>" in note for note in validation.notes)


def test_the_fingerprint_follows_stories_answers_and_order():
    one = AnswerData(Rows(TWO)).fingerprint()
    assert one == AnswerData(Rows(list(TWO))).fingerprint()
    changed = [
        TWO[::-1],
        [TWO[0]._replace(answer="Bob"), *TWO[1:]],
        [TWO[0]._replace(story=("Bob stayed.",)), *TWO[1:]],
    ]
    assert len({one, *(AnswerData(Rows(rows)).fingerprint() for rows in changed)}) == 4


BROKEN = {
    "a question without answer": ("1 Ann left.\n2 Who left?\n", "f:2: the question has no answer"),
    "an empty answer": ("1 Ann left.\n2 Who left?\t\t1\n", "f:2: the question has no answer"),
    "a tab without question": ("1 Ann left.\n2 \tAnn\t1\n", "f:2: expected a question before the tab"),
    "ids that do not rise": ("1 Ann left.\n2 Bob left.\n2 Who left?\tBob\n", "f:3: the ids do not rise: expected more"),
    "a first id above 1": ("2 Ann left.\n", "f:1: the ids do not rise: expected 1, where a story begins, got 2"),
    "no id": ("1 Ann left.\nBob left.\n", "f:2: expected ID SENTENCE, or ID QUESTION<tab>ANSWER<tab>IDS, got 'Bob"),
    "a question without tabs": ("1 A b.\n2 Where is A?   b   1\n", "f:2: the question has no answer"),
    "a line number behind blank lines": ("\n1 Ann left.\n\n \nBob left.\n", "f:5: expected ID SENTENCE"),
    "an empty sentence": ("1 Ann left.\n2 \n", "f:2: expected ID SENTENCE"),
    "an empty story": ("1 Who left?\tAnn\n", "f:1: the question has an empty story"),
    "an empty second story": ("1 A b.\n2 C?\tb\n1 Who left?\tAnn\n", "f:3: the question has an empty story"),
    "a support that is a question": ("1 A b.\n2 C?\tb\n3 D?\tb\t2\n", "f:3: the supporting id '2' is no sentence"),
    "a support that is no number": ("1 A b.\n2 C?\tb\tx\n", "f:2: the supporting id 'x' is no sentence"),
    "too many columns": ("1 A b.\n2 C?\tb\t1\t4\n", "f:2: expected question, answer and ids between tabs, got 4"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_one_line_with_file_and_line_number(case):
    text, words = BROKEN[case]
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        parse_babi(text.splitlines(), "f")
    assert "\n" not in str(caught.value)


def test_gaps_between_ids_are_told_with_the_first(tmp_path, caplog):
    (tmp_path / "a.txt").write_text("1 Ann left.\n3 Who left?\tAnn\n1 Bob left.\n2 Bob ran.\n9 Who left?\tBob\n")
    assert len(read_babi(tmp_path / "a.txt").questions) == 2
    assert "a.txt:2: the ids of lines jump: places where they do: 2, the first from 1 to 3" in caplog.text


def test_ids_that_never_begin_anew_are_told(tmp_path, caplog):
    lines = [f"{2 * i + 1} Ann left {i}.\n{2 * i + 2} Who left?\tAnn\n" for i in range(60)]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    (tmp_path / "b.txt").write_text("1 Ann left.\n2 Who left?\tAnn\n")
    with pytest.raises(InputError, match=r"1 story is too few .*; a story begins where a line has the id 1"):
        BabiFiles(Files(train=tmp_path / "a.txt", test=tmp_path / "b.txt")).read("train")
    assert "a.txt: all 120 lines are one story, for no later id is 1, which begins one" in caplog.text


@pytest.mark.parametrize("one", ["1", "01", "\u0661"])
def test_stories_are_counted_however_their_ids_are_written(tmp_path, one):
    (tmp_path / "a.txt").write_text(f"{one} Ann left.\n2 Who left?\tAnn\n{one} Nobody asks.\n" * 5)
    (tmp_path / "b.txt").write_text("1 Ann left.\n2 Who left?\tAnn\n")
    source = BabiFiles(Files(train=tmp_path / "a.txt", test=tmp_path / "b.txt"))
    assert len({row.group for split in ("train", "validation") for row in source.read(split)}) == 5
    assert source.left_out("train") == {"stories without a question": 5}


def test_answers_that_differ_by_case_alone_are_told(tmp_path):
    for name in ("train", "validation", "test"):
        (tmp_path / name).write_text("1 Ann left.\n2 Who left?\tAnn\n1 Bob left.\n2 Who left?\tann\n")
    data = answer_data(*(tmp_path / split for split in ("train", "validation", "test")))
    assert "answers that differ little: Ann and ann" in data.summaries()[0].notes


def test_gaps_between_rising_ids_are_no_mistake():
    (row,) = parse_babi("1 Ann left.\n4 Bob left.\n9 Who left?\tAnn,Bob\t1 4".splitlines(), "f").questions
    assert (row.answer, row.supports) == ("Ann,Bob", (0, 1))


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
