"""Text that nobody sees is no text, for every kind of data; what is told apart by eye alone is one."""

import pytest

from seqlab.commands.predict import inputs_of
from seqlab.data import BabiFiles, Files, TaggedFiles, from_options, labelled_data, parallel_data, tagged_data
from seqlab.data.formats.blanks import is_blank
from seqlab.errors import InputError
from tests.data.copies import thrice

UNSEEN = [
    "\u200b",
    "x\ufeff"[1:] * 2,
    "\u2060",
    "\u200e",
    "\u00ad",
    "\u3164",
    "\u2800",
    "\u200b \u00a0",
    "\x01",
    "\ufe0f",
]
COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize("text", ["a", ".", "\u0301", "\U0001f600", "\u2764\ufe0f", "\u05d0\u200f", "\ufffd"])
def test_what_can_be_seen_is_not_blank(text):
    assert not is_blank(text) and is_blank("")


@pytest.mark.parametrize("unseen", UNSEEN)
def test_a_text_that_nobody_sees_is_empty(tmp_path, unseen):
    lines = [f"text {i},{'x' if i % 2 else 'y'}" for i in range(40)]
    lines[6] = f"{unseen},x"
    (tmp_path / "a.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"a\.csv:8: the text is empty"):
        labelled_data(tmp_path / "a.csv").prepare_data()
    (tmp_path / "in.txt").write_text(f"a text\n{unseen}\n")
    with pytest.raises(InputError, match=r"in\.txt:2: the text is empty"):
        inputs_of([], tmp_path / "in.txt")


@pytest.mark.parametrize("unseen", UNSEEN)
def test_a_side_that_nobody_sees_is_empty(tmp_path, unseen):
    sides = {side: [f"{side} {i}" for i in range(40)] for side in ("source", "target")}
    sides["target"][5] = unseen
    for side, lines in sides.items():
        (tmp_path / side).write_text("\n".join(lines) + "\n")
    (tmp_path / "a.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in zip(*sides.values(), strict=True)))
    given = {"path": {side: tmp_path / side for side in sides}}
    with pytest.raises(InputError, match=r"source:6: the target is empty; .* data\.skip_empty=true"):
        parallel_data(**given).prepare_data()
    with pytest.raises(InputError, match=r"a\.tsv:6: the target is empty"):
        parallel_data(path=tmp_path / "a.tsv", source=0, target=1).prepare_data()
    train = parallel_data(**given, skip_empty=True).summaries()[0]
    assert train.left_out == {"pairs with an empty side (before the cut)": 1}
    assert "left out: 1 pair with an empty side (before the cut)" in train.line()


def test_pairs_that_are_all_left_out_are_told_apart_from_a_short_file(tmp_path):
    (tmp_path / "a.tsv").write_text("eins\tone\t\n" * 40)
    with pytest.raises(InputError, match=r"data\.skip_empty=true left out 40 pairs .* right columns") as caught:
        parallel_data(path=tmp_path / "a.tsv", source=0, target=-1, skip_empty=True).prepare_data()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("story", "words"),
    [
        ("1 Ann left.\n2 \u200b\n3 Who left?\tAnn\n", ":2: expected ID SENTENCE"),
        ("1 Ann left.\n2 \u200b\tAnn\n", ":2: expected a question before the tab"),
        ("1 Ann left.\n2 Who left?\t\u200b\n", ":2: the question has no answer"),
    ],
)
def test_a_sentence_question_or_answer_that_nobody_sees_is_refused(tmp_path, story, words):
    (tmp_path / "a.txt").write_text(story)
    (tmp_path / "b.txt").write_text("1 Ann left.\n2 Who left?\tAnn\n")
    with pytest.raises(InputError, match=words):
        BabiFiles(Files(train=tmp_path / "a.txt", test=tmp_path / "b.txt")).read("train")


@pytest.mark.parametrize("blank", ["", " \t", "\u200b", "\ufeff", "\u00a0"])
def test_a_line_in_which_nothing_is_seen_ends_a_sentence(tmp_path, blank):
    (tmp_path / "a.conll").write_text(f"a X\nb Y\n{blank}\nc X\n{blank}\n")
    rows = from_options(TaggedFiles, **thrice(tmp_path / "a.conll")).read("train")
    assert [row.words for row in rows] == [("a", "b"), ("c",)]
    row = "1\tThe\tthe\tDET\tDT\t_\t0\troot\t_\t_\n"
    (tmp_path / "a.conllu").write_text(f"{row}{blank}\n{row}{blank}\n")
    assert [one.words for one in from_options(TaggedFiles, **thrice(tmp_path / "a.conllu")).read("train")] == [
        ("The",),
        ("The",),
    ]


def test_names_that_unicode_holds_to_be_equal_are_one_class_tag_or_answer(tmp_path):
    (tmp_path / "a.csv").write_text(
        "text,label\n" + "".join(f"text {i},{(COMPOSED, DECOMPOSED, 'x')[i % 3]}\n" for i in range(60))
    )
    assert labelled_data(tmp_path / "a.csv").labels == (COMPOSED, "x")
    assert labelled_data(tmp_path / "a.csv", labels=["x", DECOMPOSED]).labels == ("x", COMPOSED)
    left_out = labelled_data(tmp_path / "a.csv", ignore_label=DECOMPOSED, labels=["x", "y"]).summaries()[0].left_out
    assert left_out == {f"rows labelled {COMPOSED} (before the cut)": 40}
    (tmp_path / "a.conll").write_text("".join(f"w {(COMPOSED, DECOMPOSED, 'x')[i % 3]}\n\n" for i in range(9)))
    assert tagged_data(**thrice(tmp_path / "a.conll")).tags == (COMPOSED, "x")
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(
            "".join(f"1 It left.\n2 Who left?\t{(COMPOSED, DECOMPOSED)[i % 2]}\n" for i in range(6))
        )
    found = BabiFiles(Files(train=tmp_path / "a.txt", test=tmp_path / "b.txt")).read("test")
    assert {row.answer for row in found} == {COMPOSED}


def test_what_a_name_hides_is_seen_in_the_printed_line(tmp_path):
    (tmp_path / "a.csv").write_text(
        "text,label\n" + "".join(f"text {i},{('very good', 'very' + chr(160) + 'good')[i % 2]}\n" for i in range(40))
    )
    train = labelled_data(tmp_path / "a.csv").summaries()[0]
    assert "very good 16, very\\xa0good 16" in train.line() and "names differ little" in train.line()
