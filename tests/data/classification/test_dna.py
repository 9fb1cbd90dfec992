"""Sequences of DNA with classes: FASTA files, the published junctions, and what a model reads of them."""

import gzip
import logging

import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from seqlab.data import ClassificationSpec, DnaSpec, fasta_data, read_spec, splice_data
from seqlab.data.formats.bases import reverse_complement
from seqlab.errors import InputError

SPLITS = ("train", "validation", "test")
LABELLED = "class=(\\w+)"


def fasta(records):
    return "".join(f">{name} {rest}\n{sequence}\n" for name, rest, sequence in records)


def rows_of(count):
    """Sequences that differ, every third of class x, as base-4 numbers of six letters."""
    letters = ["".join("ACGT"[number >> 2 * place & 3] for place in range(6)) for number in range(count)]
    return [(f"s{n}", f"class={'y' if n % 3 else 'x'}", letters[n]) for n in range(count)]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.fasta"
    path.write_text(fasta(rows_of(60)))
    return path


def every(data):
    return sorted((row.text, row.label) for split in SPLITS for row in data.source.read(split))


def test_classes_stand_in_headers_or_in_a_table_of_any_kind(tmp_path, file):
    expected = sorted((sequence, rest.removeprefix("class=")) for _, rest, sequence in rows_of(60))
    found = fasta_data(file, label_pattern=LABELLED)
    assert every(found) == expected and {len(found.source.read(split)) for split in SPLITS} == {48, 6}
    named = fasta_data(file, label_pattern=r"(class)=(?P<label>\w+)")
    assert every(named) == expected
    table = pd.DataFrame({"name": [n for n, _, _ in rows_of(60)], "kind": [r[6:] for _, r, _ in rows_of(60)]})
    table.to_csv(tmp_path / "a.csv", index=False)
    table.to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    table.to_parquet(tmp_path / "a.parquet")
    for ending in ("csv", "tsv", "parquet"):
        of_table = fasta_data(file, label_table=tmp_path / f"a.{ending}", id="name", label="kind")
        assert every(of_table) == expected
        assert of_table.input_files() == [str(file), str(tmp_path / f"a.{ending}")]
    table.to_csv(tmp_path / "b.csv", index=False, sep=";")
    with pytest.raises(InputError, match=r"no column 'name'.*give data.separator=semicolon"):
        fasta_data(file, label_table=tmp_path / "b.csv", id="name", label="kind").spec  # noqa: B018
    written = fasta_data(file, label_table=tmp_path / "b.csv", id="name", label="kind", separator="semicolon")
    assert every(written) == expected


def test_numbers_are_names_and_classes_too(tmp_path):
    (tmp_path / "n.fa").write_text(fasta([(str(n), "", sequence) for n, (_, _, sequence) in enumerate(rows_of(20))]))
    pd.DataFrame({"id": range(20), "label": [n % 2 for n in range(20)]}).to_parquet(tmp_path / "n.parquet")
    data = fasta_data(tmp_path / "n.fa", label_table=tmp_path / "n.parquet")
    assert data.spec.labels == ("0", "1")


def test_a_sequence_and_its_opposite_strand_stay_in_one_split_of_what_is_cut(tmp_path):
    doubled = [row for n, e, s in rows_of(40) for row in ((n, e, s), (f"{n}r", e, reverse_complement(s).lower()))]
    (tmp_path / "d.fa").write_text(fasta(doubled))

    def shared(**options):
        data = fasta_data(tmp_path / "d.fa", label_pattern=LABELLED, **options)
        read = {split: [row.text for row in data.rows(split)] for split in SPLITS}
        assert sum(map(len, read.values())) == 80
        return set(read["train"]) & set(map(reverse_complement, read["test"] + read["validation"]))

    assert not shared() and not shared(folds=4, fold=1)
    assert shared(split_unique=False)


def test_folds_test_every_record_once(file):
    tested = []
    for fold in range(3):
        data = fasta_data(file, label_pattern=LABELLED, folds=3, fold=fold, validation_share=0.25)
        assert data.spec.num_examples == {"train": 30, "validation": 10, "test": 20}
        tested += [row.text for row in data.rows("test")]
    assert len(set(tested)) == 60


def test_what_a_model_reads_is_bases_and_what_became_of_others_is_told(tmp_path):
    for split in SPLITS:
        (tmp_path / f"{split}.fa").write_text(">a x\nacgT\nRU\n>b y\nTTNA\n")
    files = {split: tmp_path / f"{split}.fa" for split in SPLITS}
    data = fasta_data(**files, label_pattern=r"(\w)$", batch_size=2)
    batch = data.collate("train", [0, 1])
    assert [data.vocabulary.decode(row) for row in batch.inputs] == ["ACGTNT", "TTNAAA"]  # padding is 0, like A
    assert batch.lengths.tolist() == [6, 4] and batch.targets.tolist() == [0, 1]
    told = "3 soft-masked bases read as bases; 2 ambiguous bases read as N (R 1, N 1); 1 U read as T"
    assert data.summaries()[0].line() == f"train: 2 rows; 2 classes: x 1, y 1; {told}"
    complement = [data.vocabulary.tokens[number] for number in data.spec.complement]
    assert list(zip(data.vocabulary.tokens, complement, strict=True)) == [*zip("ACGNT", "TGCNA", strict=True)]
    assert data.spec.unseen == "" and fasta_data(**files, label_pattern=r"(\w)$", ambiguous="keep").spec.unseen == (
        "BDHKMSVWY"
    )


def test_the_vocabulary_is_that_of_the_bases_whatever_training_has(file, tmp_path):
    data = fasta_data(file, label_pattern=LABELLED)
    assert data.vocabulary.tokens == tuple("ACGNT") and data.spec.unseen == "N"
    saved = data.vocabulary.save(tmp_path)
    same = fasta_data(file, label_pattern=LABELLED, vocabulary=saved)
    assert same.spec == data.spec
    with pytest.raises(InputError, match=r"has the letters ACGNT, but data\.ambiguous=refuse .* makes ACGT: give"):
        fasta_data(file, label_pattern=LABELLED, vocabulary=saved, ambiguous="refuse").prepare_data()


def test_the_spec_is_read_back_as_what_it_was(file):
    spec = fasta_data(file, label_pattern=LABELLED, max_length=4).spec
    again = read_spec({"kind": "dna", **{**vars(spec), "complement": list(spec.complement)}})
    assert type(again) is DnaSpec and again == spec and isinstance(again, ClassificationSpec)
    assert spec.read_by() == {"max_length": 4, "ambiguous": "n", "soft_masked": "read"}
    assert spec.output_names()["bases"] == {"ambiguous": "n", "soft_masked": "read"}
    older = {name: value for name, value in vars(spec).items() if name != "encoding"}
    assert read_spec({"kind": "dna", **older}).encoding == "utf-8"
    assert read_spec({"kind": "classification", "vocab_size": 4, "unit": "word", "labels": ["a", "b"]}).kind != "dna"


def test_new_records_are_read_in_the_encoding_of_training(tmp_path):
    file = tmp_path / "latin.fasta"
    file.write_bytes("".join(f">é{n} class={'ab'[n % 2]}\nACGT{'T' * n}\n" for n in range(20)).encode("latin-1"))
    spec = fasta_data(file, label_pattern=LABELLED, encoding="latin-1").spec
    assert [record.name for record in spec.read_inputs(file)] == [f"é{n}" for n in range(20)]


def test_records_without_bases_or_class_are_left_out_on_request_and_counted(tmp_path):
    (tmp_path / "a.fa").write_text(fasta(rows_of(20)) + ">e class=x\n>n\nACGT\n")
    with pytest.raises(
        InputError, match=r"a\.fa:41: e has no base; leave the record out, or give data\.skip_empty=true"
    ):
        fasta_data(tmp_path / "a.fa", label_pattern=LABELLED).prepare_data()
    with pytest.raises(InputError, match=r"a\.fa:42: .*finds nothing in 'n'; give .*data\.skip_unlabelled=true"):
        fasta_data(tmp_path / "a.fa", label_pattern=LABELLED, skip_empty=True).prepare_data()
    data = fasta_data(tmp_path / "a.fa", label_pattern=LABELLED, skip_empty=True, skip_unlabelled=True)
    left_out = {"records without a base (before the cut)": 1, "records without a class (before the cut)": 1}
    assert data.summaries()[0].left_out == left_out and len(every(data)) == 20
    folded = fasta_data(
        tmp_path / "a.fa", label_pattern=LABELLED, skip_empty=True, skip_unlabelled=True, folds=2, fold=0
    )
    assert folded.summaries()[0].left_out == left_out


def test_a_table_is_told_where_it_and_the_records_do_not_match(tmp_path, file, caplog):
    names = [name for name, _, _ in rows_of(60)]
    (tmp_path / "t.csv").write_text("id,label\n" + "".join(f"{n},{n[-1]}\n" for n in [*names, "gone1", "gone2"]))
    with caplog.at_level(logging.WARNING, "seqlab"):
        fasta_data(file, label_table=tmp_path / "t.csv").prepare_data()
    assert "t.csv: 2 rows of 62 without a record, such as gone1, gone2" in caplog.text
    (tmp_path / "t.csv").write_text("id,label\n" + "".join(f"{name},{name[-1]}\n" for name in names[1:]))
    with pytest.raises(InputError, match=r"a\.fasta:1: 's0' is not in the column id of .*t\.csv; give the record"):
        fasta_data(file, label_table=tmp_path / "t.csv").prepare_data()
    (tmp_path / "t.csv").write_text("id,label\ns0,x\ns1,y\ns0,y\n")
    with pytest.raises(InputError, match=r"t\.csv:4: 's0' is y here and x at .*t\.csv:2; give it one class"):
        fasta_data(file, label_table=tmp_path / "t.csv").prepare_data()
    (tmp_path / "t.csv").write_text("id,label\ns0,x\n\u200bs0\u00a0,y\n")
    with pytest.raises(InputError, match=r"t\.csv:3: 's0' is y here and x at .*t\.csv:2; give it one class"):
        fasta_data(file, label_table=tmp_path / "t.csv").prepare_data()
    (tmp_path / "t.csv").write_text("id,label\ns0,x\n ,y\n")
    with pytest.raises(InputError, match=r"t\.csv:3: id is empty; every row names a record"):
        fasta_data(file, label_table=tmp_path / "t.csv").prepare_data()
    (tmp_path / "t.csv").write_text("id,label\ns0,\n")
    with pytest.raises(InputError, match=r"t\.csv:2: expected a label in 'label', got ''"):
        fasta_data(file, label_table=tmp_path / "t.csv").prepare_data()
    (tmp_path / "t.csv").write_text("name,label\ns0,x\n")
    with pytest.raises(InputError, match=r"t\.csv: there is no column 'id', which data\.id names; it has name, label"):
        fasta_data(file, label_table=tmp_path / "t.csv").prepare_data()


def test_records_that_share_a_name_are_told(tmp_path, caplog):
    (tmp_path / "a.fa").write_text(fasta([("same", "", sequence) for _, _, sequence in rows_of(30)] + rows_of(30)))
    names = ["same", *(name for name, _, _ in rows_of(30))]
    (tmp_path / "t.csv").write_text("id,label\n" + "".join(f"{name},{len(name)}\n" for name in names))
    with caplog.at_level(logging.WARNING, "seqlab"):
        fasta_data(tmp_path / "a.fa", label_table=tmp_path / "t.csv").prepare_data()
    assert "t.csv: 1 row for several records each, such as same for 30" in caplog.text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, r"data\.label_pattern and data\.label_table: neither is given"),
        ({"label_pattern": "(x)", "label_table": "t.csv"}, r"both are given"),
        ({"label_pattern": "x"}, r"data\.label_pattern='x' has 0 groups; it needs one"),
        ({"label_pattern": "(x)(y)"}, r"has 2 groups; it needs one"),
        ({"label_pattern": "("}, r"data\.label_pattern='\(' is no regular expression"),
        ({"label_table": "gone.csv"}, r"data\.label_table=gone\.csv: there is no such file"),
        ({"label_pattern": "(x)", "fold": 3}, r"data\.fold=3 is for a cross-validation"),
        ({"label_pattern": "(x)", "ambiguous": "drop"}, r"data\.ambiguous=drop must be one of"),
    ],
    ids=str,
)
def test_wrong_options_are_refused(file, options, words):
    with pytest.raises(InputError, match=words):
        fasta_data(file, **options)


def test_what_is_for_files_that_are_cut_is_refused_where_each_split_has_its_own(tmp_path, file):
    copies = {}
    for split in SPLITS:
        copies[split] = tmp_path / f"{split}.fasta"
        copies[split].write_bytes(file.read_bytes())
    with pytest.raises(InputError, match=r"data\.folds=5 is for rows that are cut"):
        fasta_data(**copies, label_pattern=LABELLED, folds=5, fold=0)
    with pytest.raises(InputError, match=r"data\.split_unique=true is for rows that are cut"):
        fasta_data(**copies, label_pattern=LABELLED, split_unique=True)
    assert fasta_data(**copies, label_pattern=LABELLED).spec.num_examples == dict.fromkeys(SPLITS, 60)


ARFF = "% a comment\n@relation splice\n@attribute 'Class' { EI, IE, N}\n@data\n"


def junctions(folder, rows):
    (folder / "dna").mkdir(exist_ok=True)
    lines = [",".join([f"{name} ", *sequence, label]) for name, label, sequence in rows]
    (folder / "dna" / "splice.arff.gz").write_bytes(gzip.compress((ARFF + "\n".join([*lines, "%", ""])).encode()))
    return folder


def test_the_published_junctions_are_read_in_folds_with_equal_rows_together(tmp_path):
    rows = [(f"n{n}", ("EI", "IE", "N", "N")[n % 4], ("ACGT"[n // 2 % 4] + "CAGT"[n // 8]) * 30) for n in range(32)]
    rows[3] = ("n3", "N", rows[3][2][:-1] + "D")
    tested = []
    for fold in range(4):
        data = splice_data(junctions(tmp_path, rows), folds=4, fold=fold)
        read = {split: [row.text for row in data.rows(split)] for split in SPLITS}
        assert not set(read["test"]) & {*read["train"], *read["validation"]}
        tested += read["test"]
    assert len(tested) == 32 and sum(text.endswith("N") for text in tested) == 1
    assert data.spec.labels == ("EI", "IE", "N") and data.spec.bayes_accuracy is None


def test_a_broken_file_of_junctions_is_one_line(tmp_path):
    junctions(tmp_path, [("a", "EI", "ACGT" * 15), ("b", "IE", "ACGT" * 14)])
    with pytest.raises(InputError, match=r"splice\.arff\.gz:6: expected a name, 60 bases and a class, got 58 values"):
        splice_data(tmp_path).prepare_data()
    junctions(tmp_path, [("a", "EI", "ACGT" * 14 + "AC-T")])
    with pytest.raises(InputError, match=r"splice\.arff\.gz:5: '-' is no base"):
        splice_data(tmp_path).prepare_data()
    (tmp_path / "dna" / "splice.arff.gz").write_bytes(gzip.compress(b"a,b,c\n"))
    with pytest.raises(InputError, match=r"splice\.arff\.gz: expected rows behind @data, got no @data"):
        splice_data(tmp_path).prepare_data()


def make(*overrides):
    with initialize_config_module("seqlab.conf", version_base="1.3"):
        config = compose("train", overrides=list(overrides))
    return instantiate(config.data, _convert_="all")


def test_each_file_of_the_configuration_makes_its_data(tmp_path, file, monkeypatch):
    made = make("data=splice_grammar", "data.sizes=[40,10,20]", "seed=4")
    assert made.seed == 4 and made.spec.num_examples == {"train": 40, "validation": 10, "test": 20}
    assert made.spec.bayes_accuracy.keys() == {"validation", "test"} and made.vocabulary.tokens == tuple("ACGT")
    own = make("data=fasta", f"data.path={file}", "data.label_pattern='class=(\\w+)'", "data.ambiguous=refuse")
    assert own.vocabulary.tokens == tuple("ACGT") and own.spec.num_examples["train"] == 48
    rows = [(f"n{n}", ("EI", "IE", "N")[n % 3], sequence * 10) for n, (_, _, sequence) in enumerate(rows_of(60))]
    monkeypatch.setenv("SEQLAB_DATA", str(junctions(tmp_path, rows)))
    published = make("data=splice", "data.fold=7")
    assert published.spec.num_examples == {"train": 49, "validation": 5, "test": 6}
    batch = next(iter(published.train_dataloader()))
    assert batch.inputs.dtype == torch.int64 and batch.inputs.shape[1] == 60


def test_sequences_that_are_read_alike_stay_in_one_split_and_opposite_strands_are_told(tmp_path):
    tails = [(f"{n}{tail}", e, s + tail) for n, e, s in rows_of(40) for tail in ("AC", "GT")]
    (tmp_path / "t.fa").write_text(fasta(tails))
    data = fasta_data(tmp_path / "t.fa", label_pattern=LABELLED, max_length=len(rows_of(1)[0][2]))
    assert "in train too" not in " ".join(summary.line() for summary in data.summaries())
    files = {split: tmp_path / f"{split}.fa" for split in SPLITS}
    files["validation"].write_text(fasta(rows_of(20)[10:]))
    files["train"].write_text(fasta(rows_of(10)))
    files["test"].write_text(fasta([(n, e, reverse_complement(s)) for n, e, s in rows_of(10)]))
    (*_, test) = fasta_data(**files, label_pattern=LABELLED).summaries()
    assert "10 of 10 rows stand in train too" in test.line() and "reverse complements counted" in test.line()
