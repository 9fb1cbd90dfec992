"""Stories in bAbI's form: read back, cut by stories, and what is wrong in a file is told with its line."""

import re
from pathlib import Path

import pytest

from seqlab.data import BabiFiles, Files, answer_data
from seqlab.data.formats.babi import parse_babi, read_babi, write_babi
from seqlab.errors import InputError
from tests.data.answers.small import SMALL


def test_the_world_written_as_bAbI_text_reads_back_as_it_was():  # noqa: N802
    text = SMALL.text("train")
    rows, read = SMALL.read("train"), parse_babi(text.splitlines(), "world.txt").questions
    assert [row._replace(place="") for row in read] == [row._replace(place="") for row in rows]
    assert write_babi(read) == text
    lines = text.splitlines()
    assert all("\t" in lines[int(row.place.rpartition(":")[2]) - 1] for row in read)


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
    (tmp_path / "test.txt").write_text("1 BOB ran.\n2 Who  ran?\tBob\n1 Zoe swam.\n2 Who swam?\tZoe\n")
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
