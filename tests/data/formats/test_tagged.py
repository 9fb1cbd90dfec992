"""Tagged sentences: every source gives the same examples, and what is wrong in a file is told with its line."""

import gzip
from pathlib import Path

import datasets
import pytest

from seqlab.data import TaggedFiles, TaggedHub, from_options, tagged_data
from seqlab.errors import InputError
from tests.data.copies import thrice

CONLLU = """\
# newdoc
# text = Don't go to 5 # Rd.
1-2	Don't	_	_	_	_	_	_	_	_
1	Do	do	AUX	VBP	_	3	aux	_	_
2	n't	not	PART	RB	_	3	advmod	_	_
3	go	go	VERB	VB	_	0	root	_	_
3.1	away	away	ADV	RB	_	_	_	_	_
4	_	_	PUNCT	NFP	_	3	punct	_	_

1	#	#	SYM	NN	_	0	root	_	_
"""
SENTENCES = [(("Do", "n't", "go", "_"), ("AUX", "PART", "VERB", "PUNCT")), (("#",), ("SYM",))]
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def written(folder: Path, name: str, content: str | bytes) -> Path:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def of(file: Path, **options) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    source = from_options(TaggedFiles, **thrice(file), **options)
    return [(sentence.words, sentence.tags) for sentence in source.read("test")]


def test_multiword_tokens_empty_nodes_and_comments_are_left_out_of_conllu(tmp_path):
    file = written(tmp_path, "a.conllu", CONLLU)
    assert of(file) == SENTENCES
    assert [tags for _, tags in of(file, tag_column="xpos")] == [("VBP", "RB", "VB", "NFP"), ("NN",)]
    first, second = from_options(TaggedFiles, **thrice(file)).read("train")
    assert (first.place(0), first.place(3), second.place(0)) == (f"{file}:4", f"{file}:8", f"{file}:10")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.conllu.gz", gzip.compress(CONLLU.encode())),
        ("a.conllu", CONLLU.replace("\n", "\r\n").encode("utf-8-sig")),
        ("b.conllu", CONLLU + "\n\n"),
        ("a.conll", "Do x AUX\nn't x PART\ngo\tx   VERB\n_ x PUNCT \n \n\n-DOCSTART- -X- O O\n\n# x SYM"),
        ("a.tsv.gz", gzip.compress(b"Do\tAUX\nn't\tPART\ngo\tVERB\n_\tPUNCT\n\t\n#\tSYM\n")),
    ],
    ids=[
        "gzip",
        "CRLF and a byte order mark",
        "blank lines",
        "columns",
        "columns, gzip",
    ],  # a gzip holds the time
)
def test_every_form_of_a_file_gives_the_same_sentences(tmp_path, name, content):
    assert of(written(tmp_path, name, content)) == SENTENCES


def test_columns_and_what_stands_between_them_are_chosen(tmp_path):
    file = written(tmp_path, "a.txt", "NN|New York|B-LOC\nX||O|\n".replace("X||O|", "VB|is here|O"))
    options = {"word_column": 1, "tag_column": 0, "separator": "|"}
    assert of(file, **options) == [(("New York", "is here"), ("NN", "VB"))]
    assert of(file, **{**options, "tag_column": -1}) == [(("New York", "is here"), ("B-LOC", "O"))]
    conllu = written(tmp_path, "a.conllu", CONLLU.replace("1-2\tDon't\t_\t_\t_\t_\t_\t_\t_\t_\n", "").split("\n\n")[1])
    assert of(conllu, format="columns", word_column=1, tag_column=4) == [(("#",), ("NN",))]


def test_one_file_is_shuffled_by_the_split_seed_and_cut_by_sentences(tmp_path):
    file = written(tmp_path, "a.conll", "".join(f"w{i} A\nx B\n\n" for i in range(20)))

    def cut(seed):
        source = from_options(TaggedFiles, file, split=(0.5, 0.25, 0.25), split_seed=seed)
        return [[sentence.words[0] for sentence in source.read(split)] for split in ("train", "validation", "test")]

    assert [len(part) for part in cut(0)] == [10, 5, 5] and cut(0) == cut(0) != cut(1)
    assert sorted(word for part in cut(0) for word in part) == sorted(f"w{i}" for i in range(20))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf_datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()
    (tmp_path / "set").mkdir()

    def write(split: str, rows: list, names: list[str] | None = None) -> Path:
        tag = datasets.Value("string") if names is None else datasets.ClassLabel(names=names)
        features = {
            "tokens": datasets.List(datasets.Value("string")),
            "tags": datasets.List(tag),
            "text": datasets.Value("string"),
        }
        content = {"tokens": [row[0] for row in rows], "tags": [row[1] for row in rows], "text": ["t"] * len(rows)}
        table = datasets.Dataset.from_dict(content, features=datasets.Features(features))
        table.to_parquet(str(tmp_path / "set" / f"{split}.parquet"))
        return tmp_path / "set"

    return write


def test_a_data_set_of_the_hub_reads_names_of_tags_and_cuts_what_it_lacks_from_shuffled_rows(hub):
    rows = [([f"w{i}", "x"], [i % 2, 1]) for i in range(20)]
    hub("test", [(["a", "b"], [1, 0])], ["O", "B-LOC"])
    source = TaggedHub(str(hub("train", rows, ["O", "B-LOC"])), split=[0.5, 0.4, 0.1])
    (only,) = source.read("test")
    assert (only.words, only.tags) == (("a", "b"), ("B-LOC", "O"))
    assert only.place(1) == f"{source}, test row 1, word 2"
    cut = [row for split in ("train", "validation") for row in source.read(split)]
    assert sorted(row.words[0] for row in cut) == sorted(f"w{i}" for i in range(20))
    assert all(row.tags == (("B-LOC", "O")[int(row.words[0][1:]) % 2 == 0], "B-LOC") for row in cut)
    assert [row.words[0] for row in cut] != [f"w{i}" for i in range(20)]


def test_a_data_set_of_the_hub_with_tags_as_text(hub):
    folder = hub("train", [(["a", "b"], ["X", "Y"])] * 4)
    data = tagged_data(hub=str(folder), split=[0.5, 0.25, 0.25])
    assert data.spec.tags == ("X", "Y") and data.spec.num_words == {"train": 4, "validation": 2, "test": 2}


@pytest.mark.parametrize(
    ("rows", "names", "options", "words"),
    [
        ([([], [])], None, {}, "train row 1: the sentence has no words"),
        ([(["a"], ["X"]), (["a", "b"], ["X"])], None, {}, "train row 2: expected a tag for each of 2 words, got 1"),
        ([(["a", " "], ["X", "Y"])], None, {}, "train row 1, word 2: expected a word and its tag, got ' ' and 'Y'"),
        ([(["a", "b"], [0, None])], ["X"], {}, "train row 1, word 2: expected a word and its tag, got 'b' and None"),
        (
            [(["a"], [-1]), (["b"], [-1])],
            ["X"],
            {},
            r"'train' .* is empty, for 2 sentences with a hidden tag .*data\.train=SPLIT",
        ),
        ([(["a"], ["X"])], None, {"tag_column": "ner"}, r"no column 'ner' but .*'tags'.*: give data\.tag_column=NAME"),
        ([(["a"], ["X"])], None, {"word_column": "text"}, r"'text' .* holds no lists: give data\.word_column=NAME"),
    ],
)
def test_a_broken_data_set_of_the_hub_is_told_with_its_row(hub, rows, names, options, words):
    for split in ("train", "validation", "test"):
        folder = hub(split, rows, names)
    with pytest.raises(InputError, match=words):
        tagged_data(hub=str(folder), **options).prepare_data()


ROW = "1\ta\ta\tX\tXX\t_\t0\troot\t_\t_\n"
BROKEN = {
    "too few columns": ("a.conllu", f"{ROW}2\tb\tb\tX\n", r"a\.conllu:2: expected 10 columns .*, got 4"),
    "spaces for tabs": ("a.conllu", ROW.replace("\t", " "), r"a\.conllu:1: expected 10 columns with tabs .*, got 1"),
    "no blank line": ("a.conllu", ROW * 2, r"a\.conllu:2: expected the id 2, got '1'; sentences end with a blank"),
    "no id": ("a.conllu", ROW.replace("1", "a"), r"a\.conllu:1: expected the id 1, got 'a'"),
    "no upos": ("a.conllu", f"\n{ROW}".replace("\tX\t", "\t\t"), r"a\.conllu:2: the word has no upos: ''"),
    "no form": ("a.conllu", ROW.replace("1\ta", "1\t "), r"a\.conllu:1: the word has no form: ' '"),
    "no word": ("a.conllu", f"{ROW}\n# text\n1-2\t{ROW[2:]}\n\n{ROW}", r"a\.conllu:4: a sentence without words"),
    "no last word": ("a.conllu", f"{ROW}\n# text\n1-2\t{ROW[2:]}", r"a\.conllu:4: a sentence without words"),
    "an empty file": ("a.conllu", "\n\n", r"a\.conllu:1: the file has no sentence; expected conllu"),
    "ragged columns": ("a.conll", "a X\n\nb Y\nc\n", r"a\.conll:4: expected 2 columns as in line 1, got 1"),
    "more columns": ("a.conll", "a X\nb Y Z\n", r"a\.conll:2: expected 2 columns as in line 1, got 3"),
    "one column": ("a.conll", "a\nb\n", r"a\.conll:1: the word and the tag are one column of 1; give data\.separator="),
    "an empty tag": ("a.conll", "a\tX\nb\t\n", r"a\.conll:2: the tag is empty"),
    "an empty word": ("a.conll", "a\tX\n\tY\n", r"a\.conll:2: the word is empty"),
    "no columns at all": ("a.conll", "", r"a\.conll:1: the file has no sentence; expected columns"),
    "another encoding": ("a.conll", b"a X\ncaf\xe9 Y\n", r"a\.conll:2: byte 0xe9 is not utf-8; name the file's"),
    "one tag": ("a.conll", "a X\nb X\n", r"has one tag \(X\); two or more are needed"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_one_line_with_file_and_line_number(tmp_path, case):
    name, content, words = BROKEN[case]
    file = written(tmp_path, name, content)
    separator = "\t" if "empty" in case and name == "a.conll" else None
    with pytest.raises(InputError, match=words) as caught:
        tagged_data(**thrice(file), separator=separator).prepare_data()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, r"no file given; give data\.path=FILE"),
        ({"train": "a.conll"}, r"data\.train given; give data\.path=FILE, alone or with data\.test=FILE, or all of"),
        ({"path": "none.conll"}, r"data\.path=none\.conll: there is no such file"),
        ({"path": "a.conll", "hub": "b"}, r"data\.hub and data\.path are both given"),
        ({"path": "a.conll", "name": "b"}, r"data\.name=b is for a data set of the hub"),
        ({"hub": "b", "separator": "|"}, r"data\.separator='\|' is for files"),
        ({"format": "xml"}, r"data\.format=xml must be one of conllu, columns"),
        ({"format": "conllu", "tag_column": "feats"}, r"data\.tag_column=feats must be upos or xpos"),
        ({"format": "conllu", "word_column": 1}, r"data\.word_column=1 is for data\.format=columns"),
        ({"tag_column": "upos"}, r"data\.tag_column=upos must be a whole number in a file of columns"),
        ({"tag_column": 2}, r"a\.conll:1: there is no column 2 among 2: give data\.tag_column=NUMBER"),
        ({"tag_column": 0}, r"the word and the tag are one column of 2; give data\.word_column= and"),
        ({"separator": ""}, r"data\.separator='' must be a character, or one of comma"),
        ({"split": [0.5, 0.5]}, r"data\.split="),
        ({"max_length": 0}, r"data\.max_length=0 must be a whole number, 1 or more"),
        ({"max_word_length": 0}, r"data\.max_word_length=0 must be a whole number, 1 or more"),
    ],
    ids=str,
)
def test_wrong_options_are_refused(tmp_path, options, words, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "a.conll", "a X\nb Y\n\n" * 10)
    if options and not {"path", "train", "hub"} & options.keys():
        options = {"path": "a.conll", **options}
    with pytest.raises(InputError, match=words):
        tagged_data(**options).prepare_data()


def test_files_of_two_formats_need_to_be_told(tmp_path):
    one, other = written(tmp_path, "a.conllu", CONLLU), written(tmp_path, "a.conll", "a X\n")
    with pytest.raises(InputError, match=r"like conllu and .* like columns.*give data\.format=conllu or"):
        from_options(TaggedFiles, **{**thrice(one), "test": other}).read("train")


def test_sentences_with_hidden_tags_are_left_out_and_counted(hub):
    rows = [(["a", "b"], [0, 1]), (["c"], [-100]), (["d", "e"], [0, -1])]
    for split in ("train", "validation", "test"):
        folder = hub(split, rows, ["X", "Y"])
    data = tagged_data(hub=str(folder))
    assert data.spec.num_words == {"train": 2, "validation": 2, "test": 2}
    hidden = {"sentences with a hidden tag (-100)": 1, "sentences with a hidden tag (-1)": 1}
    assert data.summaries()[0].left_out == hidden
