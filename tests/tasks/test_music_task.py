"""Music from the configuration to the record: loss by hand, exact resume, memory, pieces and their likelihood."""

import json
import math

import pytest
import torch

from seqlab.cli import main
from seqlab.config import build
from seqlab.data import Canon
from seqlab.run import load
from seqlab.run.record import read_record
from seqlab.tasks import MusicTask
from seqlab.tasks.music import MusicMetrics
from tests.conftest import config_of, run_here
from tests.run.test_exact_resume import StoppedError, assert_the_same_end, carry_out

ONE = ("runtime.num_threads=1", "runtime.keep_freed_memory=false")
SMALL = ("experiment=canon", "data.sizes=[10,4,4]", "data.frames=12", "data.batch_size=3", "model.hidden_size=16", *ONE)


def by_hand(logits, targets, mask):
    terms = []
    for row in range(mask.size(0)):
        for step in range(mask.size(1)):
            if mask[row, step]:
                chances = logits[row, step].double().sigmoid().tolist()
                wanted = targets[row, step].tolist()
                terms.append(-sum(math.log(p if f else 1 - p) for p, f in zip(chances, wanted, strict=True)))
    return terms


def test_the_loss_is_the_mean_over_frames_of_the_sum_over_keys_and_metrics_do_not_depend_on_batches():
    config = config_of(*SMALL, "data.tbptt_steps=5")
    data = build.build_data(config)
    torch.manual_seed(0)
    task = build.build_task(config, data.spec, build.build_model(config, data.spec))
    metrics, all_terms, notes = MusicMetrics(), [], []
    for number, batch in enumerate(data.val_dataloader()):
        logits, _ = task.model(batch.inputs, None, batch.lengths)
        terms = by_hand(logits.detach(), batch.targets, batch.mask)
        metrics.update(logits.detach(), batch.targets, batch.mask)
        all_terms += terms
        notes.append((logits.detach()[batch.mask] > 0, batch.targets[batch.mask] > 0.5))
        if number == 0:
            step = task.training_step(batch, 0)
            assert step["loss"].item() == pytest.approx(sum(terms) / len(terms), rel=1e-5)
            assert int(step["tokens"]) == len(terms)
    assert len(all_terms) == 4 * 11
    found = metrics.compute()
    assert float(found["loss"]) == pytest.approx(sum(all_terms) / len(all_terms), rel=1e-6)
    predicted, true = (torch.cat(side) for side in zip(*notes, strict=True))
    both = 2 * int((predicted & true).sum())
    assert float(found["note_f1"]) == pytest.approx(both / int(predicted.sum() + true.sum()))


@pytest.mark.parametrize("rows", [1, 3, 16])
def test_each_piece_is_measured_from_its_beginning_however_many_are_read_at_once(rows):
    config = config_of(*SMALL, f"data.eval_batch_size={rows}", "data.tbptt_steps=5")
    data = build.build_data(config)
    torch.manual_seed(0)
    task = build.build_task(config, data.spec, build.build_model(config, data.spec)).eval()
    for batch in data.test_dataloader():
        task.evaluate(batch, "test")
    alone = [
        answer.values["nll"]
        for answer in MusicTask.predict(
            task.model, data.spec, {}, [(piece.name, piece.roll) for piece in data.pieces["test"]]
        )
    ]
    assert float(task.eval_metrics["test"].compute()["loss"]) == pytest.approx(sum(alone) / len(alone), rel=1e-5)


def test_a_network_with_memory_comes_nearer_to_the_least_loss_than_one_without_could(tmp_path):
    metrics = run_here(tmp_path, "experiment=canon", "trainer.max_epochs=20", "data.sizes=[200,8,20]", *ONE).fields[
        "metrics"
    ]
    least = Canon(sizes=(200, 8, 20)).least_loss("test")
    assert least < metrics["test/loss"] < 2 * least  # who knows nothing of the lower voice pays as much for it again


def test_a_run_that_is_stopped_and_resumed_ends_as_one_that_was_left_alone(tmp_path, monkeypatch):
    overrides = [*SMALL, "data.tbptt_steps=5", "trainer.max_epochs=2", "trainer.val_check_interval=2", "logger=none"]
    overrides += ["model.output_dropout=0.2"]
    carry_out(tmp_path / "alone", overrides)
    original = MusicTask.training_step

    def stopping(self, batch, batch_idx):
        if self.trainer.global_step == 7:
            monkeypatch.setattr(MusicTask, "training_step", original)
            raise StoppedError
        return original(self, batch, batch_idx)

    monkeypatch.setattr(MusicTask, "training_step", stopping)
    with pytest.raises(StoppedError):
        carry_out(tmp_path / "continued", overrides)
    carry_out(tmp_path / "continued", overrides, resume=True)
    assert_the_same_end(tmp_path / "alone", tmp_path / "continued")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("canon") / "run"
    run_here(folder, *SMALL, "trainer.max_epochs=1")
    return folder


def test_pieces_are_written_as_midi_and_asked_about(trained, tmp_path, capsys):
    pytest.importorskip("music21", reason="the extra `music` is not installed")
    command = ["generate", str(trained), "--output", str(tmp_path / "pieces"), "--max-new-tokens", "16"]
    assert main([*command, "--num-samples", "2"]) == 0
    files = capsys.readouterr().out.split()
    assert files == [str(tmp_path / "pieces" / f"piece-{n}.mid") for n in (1, 2)]
    assert all((tmp_path / "pieces" / f"piece-{n}.png").stat().st_size > 1000 for n in (1, 2))
    run = load.load_run(trained)
    ((_, roll),) = run.spec.read_inputs(tmp_path / "pieces" / "piece-1.mid")
    assert (roll[:8] == build.build_data(run.config).pieces["test"][0].roll[:8]).all()
    assert main([*command, "--num-samples", "2"]) == 2
    assert "piece-1.mid is there already; give another --output" in capsys.readouterr().err
    assert main(["predict", str(trained), files[0], "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    frames = torch.from_numpy(roll).float().unsqueeze(0)
    logits, _ = run.model()(frames[:, :-1])
    terms = by_hand(logits.detach(), frames[:, 1:], torch.ones(1, len(roll) - 1, dtype=torch.bool))
    assert answer["nll"] == pytest.approx(sum(terms) / len(terms), rel=1e-5) and answer["frames"] == len(roll)


def test_options_of_text_are_refused_for_music_and_those_of_music_for_text(trained, tmp_path, capsys):
    for options, error in (
        (["--greedy", "--output", str(tmp_path)], "--greedy, --top-k and --top-p are for tokens"),
        ([], "writes music: give --output FOLDER"),
        (["--output", str(tmp_path), "--prompt", "none.mid"], "none.mid is not there; give a MIDI file"),
        (["--output", str(tmp_path), "--temperature", "0"], "temperature: expected a number above 0"),
        (["--output", str(tmp_path), "--seed", "-1"], "seed=-1 must be a whole number, 0 or more"),
    ):
        assert main(["generate", str(trained), *options]) == 2
        assert error in capsys.readouterr().err
    hello = tmp_path / "hello"
    run_here(hello, "experiment=hello", "trainer.max_epochs=1", *ONE)
    for options, error in ((["--prompt", "h", "--output", "x"], "leave out --output"), ([], "give --prompt TEXT")):
        assert main(["generate", str(hello), *options]) == 2
        assert error in capsys.readouterr().err
    assert read_record(hello)["status"] == "completed"
