"""Classification of DNA: both strands, the Bayes accuracy beside the model's, and answers to FASTA files."""

import gzip
import json
import re
from dataclasses import replace

import pytest
import torch

from seqlab.cli import main
from seqlab.commands.export import export
from seqlab.config import build
from seqlab.data import BaseReading, CharacterVocabulary, ClassificationBatch, DnaSpec, FastaRecord
from seqlab.data.formats.bases import reverse_complement
from seqlab.errors import InputError
from seqlab.nn.models.strands import opposite_strand
from seqlab.run import load
from seqlab.tasks import DnaTask
from tests.conftest import config_of, run_here
from tests.run.test_exact_resume import StoppedError, assert_the_same_end, carry_out

TINY = (
    "experiment=dna",
    "data.sizes=[120,40,60]",
    "model.hidden_size=8",
    "trainer.max_epochs=2",
    "runtime.num_threads=1",
    "runtime.keep_freed_memory=false",
)
QUIET = ("logger=none", "callbacks.examples=null")


@pytest.fixture(scope="module")
def made():
    """A task of each use of strands, with one model and its data."""
    config = config_of(*TINY)
    data = build.build_data(config)
    data.prepare_data()
    torch.manual_seed(0)
    model = build.build_model(config, data.spec)

    def task(strands, **options):
        settings = {**config, "task": {**config["task"], "reverse_complement": strands, **options}}
        return build.build_task(settings, data.spec, model)

    return task, data


def encoded(data, *sequences):
    rows = [torch.from_numpy(data.vocabulary.encode(sequence)) for sequence in sequences]
    inputs = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    lengths = torch.tensor([len(row) for row in rows])
    return ClassificationBatch(inputs, lengths, torch.zeros(len(rows), dtype=torch.int64))


def test_the_opposite_strand_is_the_reverse_complement_of_each_row_whatever_its_length(made):
    _, data = made
    sequences = ["AACGT", "G", "TTC", "ACGTACGTAA"]
    batch = encoded(data, *sequences)
    turned = opposite_strand(batch.inputs, batch.lengths, data.spec.complement)
    for row, length, sequence in zip(turned, batch.lengths, sequences, strict=True):
        assert data.vocabulary.decode(row[:length]) == reverse_complement(sequence)
        assert not row[length:].any()
    assert torch.equal(opposite_strand(turned, batch.lengths, data.spec.complement), batch.inputs)


def test_the_answer_is_the_mean_of_both_strands_and_so_the_same_for_both(made):
    task_of, data = made
    sequences = ["AACGTTGCA", "GGT", "TTCAGGTAAGT"]
    batch, turned = encoded(data, *sequences), encoded(data, *map(reverse_complement, sequences))
    plain, averaging = task_of("train").eval(), task_of("predict").eval()
    with torch.no_grad():
        one, other = (plain.logits(each).softmax(-1) for each in (batch, turned))
        mean = averaging.logits(batch).exp()
        torch.testing.assert_close(mean, (one + other) / 2)
        torch.testing.assert_close(averaging.logits(turned).exp(), mean)
    assert not torch.allclose(one, other)
    torch.testing.assert_close(averaging.probabilities(batch.inputs, batch.lengths), mean)
    torch.testing.assert_close(plain.probabilities(batch.inputs, batch.lengths), one)


def test_training_turns_half_of_the_sequences_and_evaluation_none(made):
    task_of, data = made
    numbers = list(range(100))
    batch = data.collate("train", numbers)
    turned = opposite_strand(batch.inputs, batch.lengths, data.spec.complement)
    read = []
    for strands in ("none", "train", "both", "predict"):
        task = task_of(strands).train()
        task.model.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
        torch.manual_seed(1)
        task.training_step(batch, 0)
        task.model._forward_pre_hooks.clear()
    assert len(read) == 4 and torch.equal(read[0], batch.inputs) and torch.equal(read[3], batch.inputs)
    assert torch.equal(read[1], read[2])
    is_turned = (read[1] == turned).all(1)
    assert ((read[1] == batch.inputs).all(1) ^ is_turned).all() and 35 <= int(is_turned.sum()) <= 65
    assert torch.equal(batch.inputs, data.collate("train", numbers).inputs)  # the batch itself stays


def test_wrong_options_and_other_data_are_refused(made):
    task_of, _ = made
    with pytest.raises(InputError, match=r"task\.reverse_complement=always must be one of none, train, predict, both"):
        task_of("always")
    texts, bases = ("experiment=tiny_sentiment", "task=dna"), ("experiment=dna", *TINY[1:], "task=classification")
    for overrides, kinds in ((texts, "dna, .* of kind classification"), (bases, "classification, .* of kind dna")):
        config = config_of(*overrides)
        spec = build.build_data(config).spec
        with pytest.raises(InputError, match=rf"for data of kind {kinds}"):
            build.build_task(config, spec, build.build_model(config, spec))


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dna") / "run"
    run_here(folder, *TINY, *QUIET, "task.reverse_complement=both")
    return folder


def test_the_bayes_accuracy_of_the_same_test_stands_beside_the_models(run_dir):
    run = load.load_run(run_dir)
    metrics, data = run.record["metrics"], build.build_data(run.config)
    decided = data.source.decide([row.text for row in data.rows("test")])
    right = sum(label == row.label for label, row in zip(decided, data.rows("test"), strict=True))
    assert metrics["test/bayes_accuracy"] == pytest.approx(right / 60) and 0.8 < right / 60 < 1
    assert metrics["test/accuracy"] < metrics["test/bayes_accuracy"]  # two epochs of 120 sequences
    assert "val/bayes_accuracy" in metrics and (run_dir / "confusion.csv").exists()


def test_the_records_of_a_fasta_file_are_answered_in_their_order(run_dir, tmp_path, capsys):
    sequences = ["ACGTTTGGACCA", "GGT" * 30, "acgt", "TTTTTTTTTTTTT"]
    file = tmp_path / "new.fa.gz"
    file.write_bytes(gzip.compress("".join(f">r{n} what\n{s}\n" for n, s in enumerate(sequences)).encode()))
    assert main(["predict", str(run_dir), str(file), "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["id"] for answer in answers] == ["r0", "r1", "r2", "r3"]
    run = load.load_run(run_dir)
    task = build.build_task(run.config, run.spec, run.model())
    for answer, sequence in zip(answers, sequences, strict=True):
        inputs = torch.from_numpy(run.vocabulary.encode(sequence.upper())).unsqueeze(0)
        expected = task.probabilities(inputs, torch.tensor([len(sequence)]))[0].tolist()
        assert list(answer["probabilities"].values()) == pytest.approx(expected, abs=1e-6)
        assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)
    assert main(["predict", str(run_dir), str(file)]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith("  r0")


def test_a_file_answers_as_predict_does_with_both_strands(run_dir, tmp_path):
    run = load.load_run(run_dir)
    folder, metadata = export(run, "torch", tmp_path / "files")
    assert metadata["run"]["predict"] == {} and metadata["left_out"].keys() == {"step"}
    records = [FastaRecord(name, name, letters, "a.fa:1") for name, letters in (("a", "ACGTTGCAT"), ("b", "GGTAA"))]
    expected = DnaTask.predict(run.model(), run.spec, run.vocabularies, records, "both")
    rows = [torch.from_numpy(run.vocabulary.encode(record.sequence)) for record in records]
    inputs, lengths = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), torch.tensor([9, 5])
    (logits,) = torch.export.load(folder / "forward.pt2").module()(inputs, lengths)
    for row, answer in zip(logits.softmax(1).tolist(), expected, strict=True):
        assert row == pytest.approx(list(answer.values["probabilities"].values()), abs=1e-6)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (">a\nACGN\n", r"new\.fa:2: 'N' is ambiguous \(A/C/G/T\); files are read as training read its own"),
        (">a\n>b\nACGT\n", r"new\.fa:1: a has no base; leave the record out"),
        (">a\n>b\xe9\nACGT\n", r"not utf-8; the run's data is utf-8: convert the file to that"),
        ("ACGT\n", r"new\.fa:1: expected a header that begins with >"),
    ],
)
def test_what_cannot_be_answered_is_one_line(run_dir, tmp_path, capsys, content, words):
    (tmp_path / "new.fa").write_bytes(content.encode("latin-1"))
    assert main(["predict", str(run_dir), str(tmp_path / "new.fa")]) == 2
    shown = capsys.readouterr()
    assert not shown.out and len(shown.err.splitlines()) == 1 and re.search(words, shown.err)


def test_records_that_are_cut_as_in_training_are_told(made, caplog):
    task, data = made
    spec = replace(data.spec, max_length=4)
    records = [FastaRecord(name, name, letters, "a.fa:1") for name, letters in (("a", "ACGTT"), ("b", "ACGT"))]
    one, other = DnaTask.predict(task("none").model, spec, {"tokens": data.vocabulary}, records)
    assert one.values["probabilities"] == other.values["probabilities"]
    assert "1 of 2 records read to token 4 alone, as in training" in caplog.text


def test_letters_that_training_never_saw_are_told(made, caplog):
    _, data = made
    spec = DnaSpec(
        **{**vars(data.spec), "vocab_size": 5, "reading": BaseReading("n").as_values(), "unseen": "N"},
    )
    config = config_of(*TINY)
    model = build.build_model(config, spec)
    records = [FastaRecord("a", "a", "ACGT", "a.fa:1"), FastaRecord("b", "b", "ACNT", "a.fa:3")]
    assert len(DnaTask.predict(model, spec, {"tokens": CharacterVocabulary("ACGNT")}, records)) == 2
    assert "1 of 2 records have letters that training never saw (N), such as a.fa:3" in caplog.text


STOCHASTIC = (
    *(*TINY, *QUIET, "data.sizes=[64,8,8]", "data.batch_size=16", "callbacks.checkpoint.every_n_steps=3"),
    *("task.reverse_complement=train", "model.output_dropout=0.3"),
)


def test_stopped_in_the_middle_and_resumed_it_turns_the_same_sequences(tmp_path, monkeypatch):
    carry_out(tmp_path / "alone", list(STOCHASTIC))
    original = DnaTask.training_step

    def stopping(self, batch, batch_idx):
        if self.trainer.global_step == 5:
            raise StoppedError
        return original(self, batch, batch_idx)

    monkeypatch.setattr(DnaTask, "training_step", stopping)
    with pytest.raises(StoppedError):
        carry_out(tmp_path / "run", list(STOCHASTIC))
    monkeypatch.setattr(DnaTask, "training_step", original)
    torch.rand(5)
    carry_out(tmp_path / "run", [], resume=True)
    assert_the_same_end(tmp_path / "alone", tmp_path / "run")
