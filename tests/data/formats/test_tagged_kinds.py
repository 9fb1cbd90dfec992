"""Kinds of tagged files in the wild: each is read as its field reads it, or refused with its line."""

from collections import Counter

import pytest
import torch

from seqlab.data import Files, TaggedFiles, from_options, tagged_data
from seqlab.errors import InputError
from seqlab.nn import LSTMCell, Tagger
from seqlab.tasks.tag_metrics import TagMetrics
from tests.data.copies import thrice
from tests.models import of_cell

ROW = "{0}\t{1}\t{1}\t{2}\t{2}2\t_\t0\tdep\t_\t_\n"
CONLLU = "".join(ROW.format(k, w, t) for k, (w, t) in enumerate([("The", "DET"), ("cat", "NOUN")], 1)) + "\n"


def source(tmp_path, content, name="a.conll", **options):
    file = tmp_path / name
    file.write_text(content)
    return from_options(TaggedFiles, **thrice(file), **options)


def read(tmp_path, content, name="a.conll", **options):
    return [(one.words, one.tags) for one in source(tmp_path, content, name, **options).read("train")]


def test_conllu_under_another_name_is_recognised_and_never_read_as_columns(tmp_path):
    expected = [(("The", "cat"), ("DET", "NOUN"))]
    assert read(tmp_path, CONLLU) == read(tmp_path, CONLLU, "b.tsv", tag_column="upos") == expected
    assert read(tmp_path, CONLLU, tag_column="xpos") == [(("The", "cat"), ("DET2", "NOUN2"))]
    assert read(tmp_path, CONLLU, word_column=1, tag_column=3) == expected
    with pytest.raises(InputError, match=r"looks like CoNLL-U: give data\.format=conllu"):
        read(tmp_path, CONLLU, format="columns")
    with pytest.raises(InputError, match=r"a\.conllu:1: expected 10 columns .* data\.format=columns"):
        read(tmp_path, "The O\n", "a.conllu")
    with pytest.raises(InputError, match=r"looks like CoNLL-2009: give data\.word_column=1 data\.tag_column=4"):
        read(tmp_path, "".join(f"{k} w{k} l l P P _ _ 0 0 d d _ _\n" for k in (1, 2)))
    plus = "# global.columns = ID FORM UPOS\n1\ta\tX\n2\tb\tY\n"
    assert read(tmp_path, plus, "a.conllup") == [(("a", "b"), ("X", "Y"))]


def test_comments_alone_are_counted_and_an_underscore_or_a_no_break_space_is_read(tmp_path):
    found = source(tmp_path, "# a licence\n\n" + CONLLU + ROW.format(1, "\u00a0", "_"), "a.conllu")
    assert [one.tags for one in found.read("train")] == [("DET", "NOUN"), ("_",)]
    assert found.left_out("train") == {"blocks of comments alone": 1}
    assert read(tmp_path, "\u00a0\tX \u00a0\nb\tX\n", separator="\t") == [(("\u00a0", "b"), ("X", "X"))]


def test_comments_and_a_header_are_left_out_and_counted_where_that_is_asked_for(tmp_path, caplog):
    content = "# id s0\tdomain=x\nThe _ _ O\n#cat _ _ B-X\n\n# id s1\tdomain=x\nit _ _ O\n"
    found = source(tmp_path, content, comments="#")
    assert [one.words for one in found.read("train")] == [("The", "#cat"), ("it",)]
    assert found.left_out("train") == {"lines of comments": 2}
    read(tmp_path, content)
    assert "'data.comments=\"#\"'" in caplog.text
    caplog.clear()
    table = "label\ttoken\nDET\tThe\nNOUN\tcat\n"
    columns = {"word_column": "token", "tag_column": "label"}
    assert read(tmp_path, table, header=True, **columns) == [(("The", "cat"), ("DET", "NOUN"))]
    assert not caplog.text
    read(tmp_path, table, word_column=1, tag_column=0)
    assert "a.conll:1: the first line looks like column names" in caplog.text and "data.header=true" in caplog.text
    with pytest.raises(InputError, match=r"no column 'tag' among 'label', 'token'"):
        read(tmp_path, table, header=True, word_column="token", tag_column="tag")


@pytest.mark.parametrize("separator", ["\t", "\\t", "tab", "TAB", None])
def test_words_with_spaces_between_tabs_are_read_whole_in_any_spelling(tmp_path, separator):
    content = "in front of\tADP\nit \tPRON\n"
    assert read(tmp_path, content, separator=separator) == [(("in front of", "it"), ("ADP", "PRON"))]


def test_separators_have_names_and_spreadsheets_quotes(tmp_path):
    content = '",",PUNCT\n",QUOTE\nThe,DET\n,\nit,PRON\n'
    assert read(tmp_path, content, separator="comma") == [
        ((",", '"', "The"), ("PUNCT", "QUOTE", "DET")),
        (("it",), ("PRON",)),
    ]
    with pytest.raises(InputError, match=r"a\.conll:1: .*data\.separator=tab or data\.separator=whitespace"):
        read(tmp_path, "New York\tLOC\nLos Angeles\tLOC\n")


def test_a_column_that_holds_no_words_and_a_file_without_blank_lines_are_told(tmp_path, caplog):
    with pytest.raises(InputError, match=r"a\.conll:1: the word of each line is 'doc'.*data\.word_column=NUMBER"):
        read(tmp_path, "doc w X\n" * 10)
    read(tmp_path, "a X\nb Y\n" * 60)
    assert "one sentence of 120 words" in caplog.text


def test_sentences_of_conll_2012_differ_in_their_columns(tmp_path):
    content = "d 0 0 The DT * - - - - * O\nd 0 1 cat NN * - - - - * O\n\nd 0 0 It PRP * - - - - * * O\n"
    assert read(tmp_path, content, word_column=3, tag_column=4) == [(("The", "cat"), ("DT", "NN")), (("It",), ("PRP",))]
    with pytest.raises(InputError, match=r"a\.conll:4: expected 12 columns .* from the front"):
        read(tmp_path, content, word_column=3)


@pytest.mark.parametrize("lowercase", [False, True])
def test_sentences_of_the_same_words_stay_together_on_request(tmp_path, lowercase):
    """The same as they are read, in lower case if that is asked for."""
    file = tmp_path / "a.conll"
    file.write_text("".join(f"{'W' if lowercase and i >= 20 else 'w'}{i % 10} A\nx B\n\n" for i in range(40)))
    shares = {"split": [0.6, 0.2, 0.2], "lowercase": lowercase}
    assert any("in train too" in note for one in tagged_data(file, **shares).summaries() for note in one.notes)
    together = tagged_data(file, split_unique=True, **shares).summaries()
    assert not any("in train too" in note for one in together for note in one.notes)


@pytest.mark.parametrize("decoder", ["greedy", "crf"])
def test_a_step_whose_tag_is_not_known_may_have_any(decoder):
    torch.manual_seed(0)
    model = of_cell(Tagger, 9, ["a", "b", "c"], cell=LSTMCell, hidden_size=2, decoder=decoder).double()
    emissions = torch.randn(1, 3, 3).double()
    each = [model.nll(emissions, torch.tensor([[0, tag, 2]])) for tag in range(3)]
    expected = -torch.stack([-nll for nll in each]).logsumexp(0)
    torch.testing.assert_close(model.nll(emissions, torch.tensor([[0, -100, 2]])), expected)


def test_words_of_unseen_tags_count_as_wrong_and_more_than_fifty_tags_have_no_metrics_of_their_own():
    metrics = TagMetrics(("A", "B"))
    metrics.update(torch.tensor(2.0), torch.tensor([0, 1, 1]), torch.tensor([0, 1, 3]), torch.zeros(3).bool())
    found = {name: float(value) for name, value in metrics.compute().items()}
    assert found["loss"] == 1.0 and found["accuracy"] == pytest.approx(2 / 3) and metrics.counts()[2].tolist() == [0, 1]
    many = TagMetrics([f"T{i}" for i in range(51)])
    many.update(torch.tensor(1.0), torch.tensor([0]), torch.tensor([0]), torch.tensor([False]))
    assert many.compute().keys() == {"loss", "accuracy"}


def test_characters_of_no_width_around_a_tag_are_no_part_of_it(tmp_path):
    rows = source(tmp_path, "a\tN\nb\tV\n\nc\tN\u200b\nd\t\u2060V\n\n", separator="tab").read("train")
    assert {tag for row in rows for tag in row.tags} == {"N", "V"}


@pytest.mark.parametrize("path", [2024, [None], True])
def test_a_path_that_is_no_text_is_refused_with_how_to_write_it(path):
    with pytest.raises(InputError, match=r"is no name of a file: give \"data\.path='NAME'\""):
        tagged_data(path=path)


PLAIN = "".join(f"w{i} {'AB'[i % 2]}\nx O\n\n" for i in range(20))


@pytest.mark.parametrize("mark", ["#", ";", "%", "%%", "//", "--", "<!--", "!"])
@pytest.mark.parametrize("separator", [" ", "\t"])
def test_comments_of_any_mark_are_left_out_or_told(tmp_path, caplog, mark, separator):
    plain = PLAIN.replace(" ", separator)
    commented = "".join(f"{mark} id{i}\n{block}\n\n" for i, block in enumerate(plain.split("\n\n")[:-1]))
    expected = read(tmp_path, plain)
    assert not caplog.text
    found = source(tmp_path, commented, "c", comments=mark)
    assert [(one.words, one.tags) for one in found.read("train")] == expected
    assert found.left_out("train") == {"lines of comments": 20}
    read(tmp_path, commented, "d")
    assert (
        "20 of 20 sentences begin with a line such as" in caplog.text and f"'data.comments=\"{mark}\"'" in caplog.text
    )
    caplog.clear()
    read(tmp_path, f"{mark} file\n{plain}", "e")
    assert "e:1: the first line looks like a comment" in caplog.text and f"'data.comments=\"{mark}\"'" in caplog.text
    with pytest.raises(InputError, match="lines of comments take") as caught:
        read(tmp_path, f"{mark} a file of mine\n{plain}", "f", separator="space" if separator == " " else "tab")
    assert f"'data.comments=\"{mark}\"'" in str(caught.value)


def test_a_mark_that_is_a_word_among_columns_with_spaces_stays_one(tmp_path):
    content = "; O\n; a comment of some words\n;x A\nx A\ny O\n"
    assert read(tmp_path, content, comments=";") == [((";", ";x", "x", "y"), ("O", "A", "A", "O"))]


def test_files_of_several_widths_are_refused_unless_the_column_of_tags_is_given(tmp_path):
    (tmp_path / "two").write_text(PLAIN)
    (tmp_path / "three").write_text(PLAIN.replace(" ", " N "))
    both = [tmp_path / "two", tmp_path / "three"]
    with pytest.raises(InputError, match=r"three has 3 columns and .*two 2: .* data\.tag_column=-1") as caught:
        TaggedFiles(both).read("train")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"three has 3 columns"):
        TaggedFiles(Files(None, both[0], both[1], thrice(both[0])["test"])).read("train")
    tags = Counter(
        tag
        for split in ("train", "validation", "test")
        for one in from_options(TaggedFiles, both, tag_column=-1).read(split)
        for tag in one.tags
    )
    assert tags == {"A": 20, "B": 20, "O": 40}


def test_a_line_of_names_that_is_data_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"b:1: the line of column names looks like data, for its tag 'A' .* leave"):
        read(tmp_path, PLAIN, "b", header=True)
    with pytest.raises(InputError, match=r"there is no column 'token' among 'w0', 'A'"):
        read(tmp_path, PLAIN, header=True, word_column="token", tag_column="tag")
    found = source(tmp_path, f"token tag\n{PLAIN}\nToken TAG\n{PLAIN}", header=True)
    assert [len(one.words) for one in found.read("train")] == [2] * 40
    assert found.left_out("train") == {"lines of column names": 2}


def test_a_split_that_is_one_sentence_is_told(tmp_path, caplog):
    read(tmp_path, "The/DT cat/NN\nA/DT dog/NN\n" * 6)
    assert "data.train is one sentence of 12 words: sentences end with a blank line" in caplog.text


def test_a_file_of_one_column_or_of_json_is_told_what_it_seems_to_be(tmp_path):
    with pytest.raises(InputError, match=r"are one column of 1; give data\.separator=comma"):
        read(tmp_path, "a,X\nb,Y\n")
    for line in ('{"tokens": ["a"]}', '{"tokens":["a"],"tags":["X"]}'):
        with pytest.raises(InputError, match=r"a\.conll:1: this is a line of JSON"):
            read(tmp_path, f"{line}\n" * 3)
    assert read(tmp_path, "{ O\n[ X\n") == [(("{", "["), ("O", "X"))]


def test_a_table_that_another_separator_reads_is_told_which(tmp_path):
    with pytest.raises(InputError, match=r"no column 'word' among 'word,tag': give data\.separator=comma"):
        read(tmp_path, "word,tag\na,X\nb,Y\n", header=True, word_column="word", tag_column="tag")
    with pytest.raises(InputError, match=r":2: expected 2 columns as in line 1, got 1; give data\.separator=semicolon"):
        read(tmp_path, "No #;word;tag\n1;a;X\n;b;Y\n")
    with pytest.raises(InputError, match=r"words with spaces take data\.separator=tab"):
        read(tmp_path, "a X\nb c Y\n")
