"""FASTA files: their records as they stand, and which letters are read as what."""

import gzip
import logging

import pytest

from seqlab.data.formats.bases import CODES, BaseReading, count_letters, reverse_complement, strand_key
from seqlab.data.formats.fasta import read_fasta
from seqlab.errors import InputError

PLAIN = ">one class=x\nACGT\nAC\n>two\nTTT\n"


def records(path, content, reading=BaseReading()):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_fasta(path, reading)


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.rstrip("\n"),
        PLAIN.replace("\n", "\r\n"),
        ">one class=x\n  ACG T\n\nA C\t\n\n>two  \nTTT\n\n",
        "\n;made by hand\n" + PLAIN.replace("ACGT\n", "ACGT\n;half\n"),
    ],
    ids=["lines", "no last line end", "windows", "spaces and blank lines", "comments"],
)
def test_a_record_is_its_header_and_all_lines_below_it(tmp_path, content):
    one, two = records(tmp_path / "a.fasta", content)
    assert (one.name, one.header, one.sequence) == ("one", "one class=x", "ACGTAC")
    assert (two.name, two.header, two.sequence) == ("two", "two", "TTT")
    line = content[: content.index(">two")].count("\n") + 1
    assert two.place == f"{tmp_path / 'a.fasta'}:{line}"


def test_gzip_and_records_without_bases_are_read_as_they_stand(tmp_path):
    packed = records(tmp_path / "a.fa.gz", gzip.compress(b">a\n>b\nacgtN\n>c\n\n"))
    assert [(each.name, each.sequence) for each in packed] == [("a", ""), ("b", "acgtN"), ("c", "")]


def test_comments_are_counted(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "seqlab"):
        records(tmp_path / "a.fa", ">a\n;one\nAC\n;two\n")
    assert "comments, and are left out: 2" in caplog.text


BROKEN = {
    "empty": ("", r"a\.fa:1: expected a header that begins with >, got an empty file"),
    "no header": ("ACGT\n", r"a\.fa:1: expected a header .* 'ACGT'"),
    "fastq": ("@read1\nACGT\n+\nIIII\n", r"a\.fa:1: .*FASTQ\? Convert it"),
    "a space before the mark": (" >a\nACGT\n", r"a\.fa:1: .*take out the space"),
    "a header without a name": (">a\nAC\n> \nAC\n", r"a\.fa:3: the header is empty; give the record a name"),
    "a protein": (">a\nACGT\nMKLV\n", r"a\.fa:3: 'L' is no base: is 'MKLV' of a protein\?"),
    "a stop": (">a\nACGT*\n", r"a\.fa:2: '\*' is no base: is 'ACGT\*' of a protein"),
    "a gap": (">a\nAC--GT\n", r"a\.fa:2: '-' is no base, but a gap of an alignment: take the gaps out"),
    "numbers": (">a\n1 ACGT 4\n", r"a\.fa:2: '1' is no base: take numbers out"),
    "another letter": (">a\nACXGT\n", r"a\.fa:2: 'X' is no base in 'ACXGT': expected A, C, G, T, U"),
    "not utf-8": (b">caf\xe9\nAC\n", r"a\.fa:1: byte 0xe9 is not utf-8"),
    "binary": (b">a\nAC\0\n", r"a\.fa:2: a NUL byte"),
    "half a gzip file": (gzip.compress(b">a\nACGT\n" * 99)[:20], r"a\.fa is not a whole gzip file"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_one_line_with_its_place_and_the_mend(tmp_path, case):
    content, words = BROKEN[case]
    with pytest.raises(InputError, match=words) as caught:
        records(tmp_path / "a.fa", content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("ambiguous", "soft_masked", "letters", "read"),
    [
        ("n", "read", "ACGTN", "ACGTNNT"),
        ("n", "n", "ACGTN", "ACNNNNT"),
        ("keep", "read", "ACGTRYSWKMBDHVN", "ACGTRNT"),
        ("keep", "n", "ACGTRYSWKMBDHVN", "ACNNRNT"),
    ],
)
def test_each_letter_is_read_as_chosen(ambiguous, soft_masked, letters, read):
    reading = BaseReading(ambiguous, soft_masked)
    assert reading.letters == letters
    assert reading.read("ACgtRNU", "a:1") == read


def test_what_is_refused_names_the_letter_its_line_and_both_other_choices(tmp_path):
    with pytest.raises(InputError, match=r"a\.fa:3: 'R' is ambiguous \(A/G\); give data\.ambiguous=n .*keep"):
        records(tmp_path / "a.fa", ">a\nAC\nGRT\n", BaseReading("refuse"))
    with pytest.raises(
        InputError, match=r"a\.fa:2: 'c' is in lower case.*data\.soft_masked=read .*data\.soft_masked=n"
    ):
        records(tmp_path / "a.fa", ">a\nAcGT\n", BaseReading(soft_masked="refuse"))
    masked = BaseReading("refuse", "n")
    assert masked.letters == "ACGTN" and masked.read("ACnr", "a:1") == "ACNN"  # lower case is N, whatever the letter
    with pytest.raises(InputError, match="'N' is ambiguous"):
        masked.read("ACN", "a:1")
    assert BaseReading("refuse").letters == "ACGT"


def test_what_letters_became_is_told_with_counts():
    counts = count_letters(["ACgtRnU", "N"])
    assert BaseReading("n").told(counts) == [
        "3 soft-masked bases read as bases",
        "3 ambiguous bases read as N (R 1, N 2)",
        "1 U read as T",
    ]
    assert BaseReading("keep", "n").told(counts) == [
        "3 soft-masked bases read as N",
        "2 ambiguous bases kept (R 1, N 1)",
        "1 U read as T",
    ]
    assert BaseReading().told(count_letters(["ACGT"])) == []


def test_a_wrong_choice_is_refused():
    with pytest.raises(InputError, match=r"data\.ambiguous=drop must be one of refuse, n, keep"):
        BaseReading("drop")
    with pytest.raises(InputError, match=r"data\.soft_masked=keep must be one of read, n, refuse"):
        BaseReading(soft_masked="keep")


def test_the_complement_of_a_code_stands_for_the_complements_of_its_bases():
    for code, bases in CODES.items():
        (complement,) = reverse_complement(code)
        assert sorted(map(reverse_complement, bases)) == sorted(CODES[complement])
    assert reverse_complement(reverse_complement("ACGTRYSWKMBDHVN")) == "ACGTRYSWKMBDHVN"
    assert strand_key("GGA") == strand_key("TCC") == "GGA"
