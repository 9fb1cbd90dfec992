"""Sentence pairs in two columns of one table."""

import gzip

import datasets
import pytest

from seqlab.data import parallel_data
from seqlab.data.formats.pair_tables import PairFormat, read_pairs
from seqlab.errors import InputError
from tests.data.formats.pairs import texts

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


ROWS = [(f"Sentence {i}.", f"Phrase {i}.") for i in range(40)]


@pytest.mark.parametrize(
    "name", ["pairs.tsv", "pairs.txt.gz", "named.tsv", "named.csv", "pairs.jsonl", "pairs.parquet"]
)
def test_two_columns_of_one_file_are_pairs(tmp_path, name):
    columns: dict[str, str | int] = {"source": "de", "target": "en"}
    if name.startswith("named") or name.endswith(("jsonl", "parquet")):
        lines = ["en,id,de", *(f'"{b}",{i},{a}' for i, (a, b) in enumerate(ROWS))]
        if name == "named.tsv":
            lines = [line.replace('"', "").replace(",", "\t") for line in lines]
    else:
        columns = {"source": 0, "target": 1}
        lines = [f"{a}\t{b}\tattribution {i}" for i, (a, b) in enumerate(ROWS)]
    path = tmp_path / name
    if name.endswith("parquet"):
        datasets.Dataset.from_dict({"de": [a for a, _ in ROWS], "en": [b for _, b in ROWS]}).to_parquet(str(path))
    elif name.endswith("jsonl"):
        path.write_text("".join(f'{{"de": "{a}", "en": "{b}"}}\n' for a, b in ROWS))
    else:
        content = "".join(line + "\n" for line in lines).encode()
        path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    data = parallel_data(path, **columns, split=[0.5, 0.25, 0.25])
    every = [pair for split in ("train", "validation", "test") for pair in texts(data.source, split)]
    assert sorted(every) == sorted(ROWS) and data.spec.num_pairs["train"] == 20
    both = parallel_data({"source": path, "target": path}, **columns)
    assert len(both.source.read("train")) == 36


QUOTES = {
    "a stray quote": ('"Hi," he said.\tHallo\nb "x"\tc\n', None, [('"Hi," he said.', "Hallo"), ('b "x"', "c")]),
    "a spreadsheet's": ('"He said ""hi"""\tb\nc\td\n', None, [('He said "hi"', "b"), ("c", "d")]),
    "asked for": ('"a"\tb\nc\td\n', "none", [('"a"', "b"), ("c", "d")]),
    "the other": ('"a"\tb\nc\td\n', "standard", [("a", "b"), ("c", "d")]),
    "a lone CR and a form feed": ("a\rb\x0c\tc\n", None, [("a\rb\x0c", "c")]),
    "blank lines": ("\na\tb\n \nc\td\n\n", None, [("a", "b"), ("c", "d")]),
}


@pytest.mark.parametrize("case", QUOTES)
def test_quotes_of_a_table_of_pairs_are_read_as_the_file_shows_or_as_told(tmp_path, case):
    content, quoting, rows = QUOTES[case]
    (tmp_path / "a.tsv").write_bytes(content.encode())
    form = PairFormat(0, 1, quoting=quoting)
    assert [row[:2] for row in read_pairs(tmp_path / "a.tsv", form)] == rows


BROKEN_TABLES = {
    "quotes that read both ways": (
        'a\tb\n"c"\td\n',
        (0, 1),
        r"a\.tsv:2: .*data\.quoting=none or data\.quoting=standard",
    ),
    "a ragged row": ("a\tb\n\nc\n", (0, 1), r"a\.tsv:3: expected 2 columns as in the first line, got 1"),
    "no such number": ("a\tb\n", (0, 5), r"a\.tsv:1: there is no column number 5"),
    "no such name": (
        "de\ten\nx\ty\n",
        ("de", "fr"),
        r"a\.tsv:1: there is no column 'fr' but 'de', 'en': give data\.target",
    ),
    "two of a name": ("de\tde\ten\nx\ty\tz\n", ("de", "en"), r"a\.tsv:1: 2 columns are named 'de'"),
    "the same column": ("de\ten\nx\ty\n", ("de", 0), r"a\.tsv:1: data\.source and data\.target name the same column"),
}


@pytest.mark.parametrize("case", BROKEN_TABLES)
def test_a_broken_table_of_pairs_is_one_line_with_its_line(tmp_path, case):
    content, columns, words = BROKEN_TABLES[case]
    (tmp_path / "a.tsv").write_text(content)
    with pytest.raises(InputError, match=words):
        list(read_pairs(tmp_path / "a.tsv", PairFormat(*columns)))


def test_lines_of_names_of_a_table_of_pairs_are_told_or_refused(tmp_path, caplog):
    rows = "".join(f"ein {i} haus\ta {i} house\n" for i in range(40))
    table = tmp_path / "a.tsv"
    table.write_text("de\ten\n" + rows)
    parallel_data(path=table, source=0, target=1).prepare_data()
    assert "a.tsv:1: the first line looks like column names (de, en), and is read as a pair" in caplog.text
    caplog.clear()
    assert len(parallel_data(path=table, source=0, target=1, header=True).rows("train")) == 36
    assert "looks like" not in caplog.text
    table.write_text("de\ten\n" + rows + "EN\tDE \n" + rows)
    with pytest.raises(InputError, match=r"a\.tsv:42: the column names come again, in another order \(EN, DE"):
        parallel_data(path=table, source="de", target="en").prepare_data()
    table.write_text("Das ist ein Haus\tThis is a house\n" + rows)
    parallel_data(path=table, source=0, target=1, header=True).prepare_data()
    assert "left out as column names (Das ist ein Haus, This is a house): if it is a row" in caplog.text
