"""Classification of series and clips from the configuration to the record: by hand, from files, and drawn."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from seqlab.callbacks.over_time import draw, over_time
from seqlab.cli import main
from seqlab.config import build
from seqlab.data import Waveforms, waveform_posteriors
from seqlab.errors import InputError
from seqlab.run import load
from seqlab.run.record import read_record
from seqlab.tasks import SeriesClassificationTask
from tests.conftest import config_of, run_here
from tests.run.test_exact_resume import StoppedError, assert_the_same_end, carry_out

ONE = ("runtime.num_threads=1", "runtime.keep_freed_memory=false")
SMALL = ("experiment=waveforms", "data.sizes=[60,12,12]", "model.hidden_size=6", "data.batch_size=8", *ONE)


def test_the_loss_is_the_mean_over_the_sequences_of_a_batch():
    config = config_of(*SMALL)
    data = build.build_data(config)
    torch.manual_seed(0)
    model = build.build_model(config, data.spec)
    task = build.build_task(config, data.spec, model)
    batch = data.collate("train", list(range(10)))
    logits = model(batch.inputs, batch.lengths)
    chosen = logits.log_softmax(-1)[torch.arange(10), batch.targets]
    step = task.training_step(batch, 0)
    assert step["loss"].item() == pytest.approx(-chosen.mean().item(), rel=1e-6)
    assert float(step["nll"]) == pytest.approx(-chosen.sum().item(), rel=1e-6)
    assert (int(step["tokens"]), int(step["steps"])) == (10, 210)
    torch.testing.assert_close(model.input.standardize.mean, data.spec.statistics()[0])


def test_the_preset_comes_near_to_the_best_possible_accuracy(tmp_path):
    overrides = ("data.sizes=[900,150,600]", "data.batch_size=20", "trainer.max_epochs=4", *ONE)
    metrics = run_here(tmp_path, "experiment=waveforms", *overrides).fields["metrics"]
    rows = Waveforms((900, 150, 600)).read("test")
    best = waveform_posteriors(np.stack([row.values[:, 0] for row in rows])).argmax(1)
    bayes = np.mean(best == np.array([int(row.label) - 1 for row in rows]))
    assert bayes - 0.06 < metrics["test/accuracy"] <= bayes + 0.02
    assert {"confusion.csv", "classes.csv", "answers.png"} <= {path.name for path in tmp_path.iterdir()}
    picture = Image.open(tmp_path / "answers.png")
    assert picture.format == "PNG" and np.asarray(picture.convert("L")).std() > 1  # something is drawn


def test_a_run_that_is_stopped_and_resumed_ends_as_one_that_was_left_alone(tmp_path, monkeypatch):
    overrides = [*SMALL, "trainer.max_epochs=2", "trainer.val_check_interval=3", "logger=none"]
    overrides += ["model.input_dropout=0.2", "model.output_dropout=0.2", "data.bucket_batches=2"]
    carry_out(tmp_path / "alone", overrides)
    original = SeriesClassificationTask.training_step

    def stopping(self, batch, batch_idx):
        if self.trainer.global_step == 10:
            monkeypatch.setattr(SeriesClassificationTask, "training_step", original)
            raise StoppedError
        return original(self, batch, batch_idx)

    monkeypatch.setattr(SeriesClassificationTask, "training_step", stopping)
    with pytest.raises(StoppedError):
        carry_out(tmp_path / "continued", overrides)
    carry_out(tmp_path / "continued", overrides, resume=True)
    assert_the_same_end(tmp_path / "alone", tmp_path / "continued")


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """Walks of unequal lengths with gaps: up or down by sensor y, while sensor x is noise; and a run on them."""
    folder = tmp_path_factory.mktemp("steps")
    draw_from = np.random.default_rng(0)
    rows = ["walk,second,direction,x,y"]
    for number in range(60):
        direction, length = ("up", "down")[number % 2], int(draw_from.integers(6, 15))
        height = np.cumsum(np.full(length, 1.0 if direction == "up" else -1.0)) * 50 + 500
        for second in range(length):
            x = "" if draw_from.random() < 0.1 else f"{draw_from.standard_normal():.4f}"
            rows.append(f"w{number},{second},{direction},{x},{height[second] + draw_from.standard_normal():.4f}")
    (folder / "walks.csv").write_text("\n".join(rows) + "\n")
    overrides = [
        *("experiment=series_classification", f"data.path={folder / 'walks.csv'}", "data.label=direction"),
        *("data.id=walk", "data.time=second", "data.missing=mask", "data.batch_size=8"),
        *("model.hidden_size=8", "optimizer.lr=0.02", "trainer.max_epochs=8", "callbacks.answers.num_examples=1", *ONE),
    ]
    run_here(folder / "run", *overrides)
    return folder


def test_a_users_table_is_learned_and_new_series_are_classified_from_files(steps, tmp_path, capsys):
    assert read_record(steps / "run")["metrics"]["test/accuracy"] == 1.0
    up = "y,walk,second,x\n" + "".join(f"{500 + 50 * t},new,{t},0\n" for t in range(9))  # other columns, no label
    (tmp_path / "new.csv").write_text(up)
    np.save(tmp_path / "down.npy", np.column_stack([np.zeros(9), 500 - 50.0 * np.arange(9)]))
    assert main(["predict", str(steps / "run"), str(tmp_path / "new.csv"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["sequence"] == "new" and answer["label"] == "up"
    assert answer["probabilities"]["up"] + answer["probabilities"]["down"] == pytest.approx(1, abs=1e-6)
    run = load.load_run(steps / "run")
    values = torch.tensor([[[0.0, 500 + 50.0 * t] for t in range(9)]])
    expected = run.model()(values, torch.tensor([9])).softmax(-1)[0]
    assert [answer["probabilities"][label] for label in run.spec.labels] == pytest.approx(expected.tolist(), abs=1e-6)
    with pytest.raises(InputError, match=r"there is no column 'second', which data.time names"):  # arrays have none
        run.spec.read_inputs(tmp_path / "down.npy")


def test_answers_come_in_the_order_of_the_series_whatever_their_lengths(steps):
    run = load.load_run(steps / "run")
    series = run.spec.read_inputs(steps / "walks.csv")
    answers = SeriesClassificationTask.predict(run.model(), run.spec, {}, series)
    assert [answer.values["sequence"] for answer in answers] == [f"w{number}" for number in range(60)]
    assert [answer.values["label"] for answer in answers] == ["up", "down"] * 30


def test_files_that_cannot_be_classified_are_refused_in_one_line(steps, tmp_path, capsys):
    for name, content, error in (
        ("other.csv", "walk,second,x\na,1,1\n", "there is no column 'y', which the data names; it has walk, second, x"),
        ("back.csv", "walk,second,x,y\na,2,1,1\na,1,1,1\n", "back.csv:3: second runs backwards"),
        ("wide.csv", "walk,second,x,y\na,1,1\n", "wide.csv:2: expected 4 values"),
        ("inf.csv", "walk,second,x,y\na,1,inf,1\n", "inf.csv:2: x is infinite"),
    ):
        (tmp_path / name).write_text(content)
        assert main(["predict", str(steps / "run"), str(tmp_path / name)]) == 2
        line = capsys.readouterr().err.strip()
        assert len(line.splitlines()) == 1 and error in line, line
    assert main(["predict", str(steps / "run"), str(tmp_path)]) == 2
    assert "is a folder; give a file" in capsys.readouterr().err


def test_evaluation_reads_other_files_by_the_names_of_features_and_the_order_of_classes(steps, tmp_path, capsys):
    lines = (steps / "walks.csv").read_text().splitlines()
    fields = [line.split(",") for line in lines]
    (tmp_path / "turned.csv").write_text("\n".join(",".join([row[4], *row[:4]]) for row in fields) + "\n")
    assert main(["evaluate", str(steps / "run"), f"data.path={tmp_path / 'turned.csv'}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["test/accuracy"] == 1.0
    (tmp_path / "other.csv").write_text("\n".join(lines).replace("x,y", "x,z") + "\n")
    assert main(["evaluate", str(steps / "run"), f"data.path={tmp_path / 'other.csv'}"]) == 2
    assert "there is no column 'y'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A bright dot that moves right or left, in folders of pictures; and a run on them."""
    folder = tmp_path_factory.mktemp("clips")
    lines = ["file,label"]
    for number in range(48):
        name, label, start = f"clip{number}", ("right", "left")[number % 2], number // 2 % 8
        (folder / name).mkdir()
        for step in range(4):
            frame = np.zeros((8, 8), dtype=np.uint8)
            frame[4, (start + (step if label == "right" else -step)) % 8] = 255
            Image.fromarray(frame).save(folder / name / f"{step + 8}.png")
        lines.append(f"{name},{label}")
    (folder / "clips.csv").write_text("\n".join(lines) + "\n")
    overrides = [
        *("experiment=clips", f"data.path={folder / 'clips.csv'}", "data.batch_size=8", "model.channels=[8]"),
        *("model.hidden_size=16", "model.embedding_size=16", "optimizer.lr=0.01", "trainer.max_epochs=15", *ONE),
    ]
    run_here(folder / "run", *overrides)
    return folder


def test_a_users_clips_are_learned_drawn_and_classified_from_folders_and_arrays(clips, capsys, caplog):
    record = read_record(clips / "run")
    assert record["metrics"]["test/accuracy"] == 1.0 and (clips / "run" / "answers.png").exists()
    frames = np.zeros((4, 8, 8), dtype=np.uint8)
    frames[range(4), 4, [6, 7, 0, 1]] = 255
    np.save(clips / "own.npy", frames)
    assert main(["predict", str(clips / "run"), str(clips / "clip1"), str(clips / "own.npy"), "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(answer["sequence"], answer["label"]) for answer in answers] == [("clip1", "left"), ("own", "right")]
    np.save(clips / "unit.npy", frames / 255)
    assert main(["predict", str(clips / "run"), str(clips / "unit.npy")]) == 0
    assert "unit.npy: its values are from 0 to 1" in caplog.text and capsys.readouterr().out
    np.save(clips / "large.npy", np.zeros((4, 9, 9)))
    for path, error in (
        (clips / "large.npy", "different shapes: 1 x 8 x 8 and 1 x 9 x 9"),
        (clips / "no", "not there"),
    ):
        assert main(["predict", str(clips / "run"), str(path)]) == 2
        assert error in capsys.readouterr().err


def test_beliefs_over_time_are_those_of_each_beginning_of_a_sequence(clips):
    run = load.load_run(clips / "run")
    model = run.model()
    frames = torch.from_numpy(run.spec.read_inputs(clips / "clip0")[0].values.astype(np.float32))
    counts, beliefs = over_time(model, frames.unsqueeze(0))
    assert counts == [1, 2, 3, 4]
    for count, belief in zip(counts, beliefs, strict=True):
        torch.testing.assert_close(belief, model(frames[None, :count]).softmax(-1)[0].detach())
    assert beliefs[0].max() < 0.9 < beliefs[-1].max()  # one frame does not tell a direction
    counts, _ = over_time(model, frames[:1].expand(1, 200, 1, 8, 8))
    assert len(counts) == 64 and counts[0] == 1 and counts[-1] == 200


def test_a_figure_has_a_strip_of_pictures_or_lines_above_the_beliefs():
    beliefs = torch.tensor([[0.5, 0.5], [0.1, 0.9]])
    pictures = ("a clip", np.random.default_rng(0).random((2, 1, 4, 4)).astype(np.float32), [1, 2], beliefs)
    lines = ("a $series$", np.zeros((2, 3), dtype=np.float32), [1, 2], beliefs)
    axes = draw([pictures, lines], ["left", "right"], ["x", "y", "z"]).axes
    assert [len(axes[0].images), len(axes[2].lines)] == [2, 3]
    for below in (axes[1], axes[3]):
        assert [line.get_label() for line in below.lines] == ["left", "right"]
        np.testing.assert_allclose(below.lines[1].get_ydata(), [0.5, 0.9])


def test_a_bag_of_frames_knows_nothing_of_the_order(clips):
    overrides = [f"data.path={clips / 'clips.csv'}", "model/encoder=bag", "model.pooling=mean"]
    config = config_of("experiment=clips", *overrides)
    data = build.build_data(config)
    model = build.build_model(config, data.spec).eval()
    batch = data.collate("test", [0, 1])
    torch.testing.assert_close(model(batch.inputs), model(batch.inputs.flip(1)))


def test_cross_entropy_of_the_record_is_that_of_the_model(clips):
    run = load.load_run(clips / "run")
    data = build.build_data(run.config)
    batch = data.collate("test", list(range(data.spec.num_examples["test"])))
    loss = F.cross_entropy(run.model()(batch.inputs, batch.lengths), batch.targets)
    assert read_record(clips / "run")["metrics"]["test/loss"] == pytest.approx(loss.item(), rel=1e-5)


def test_another_kind_of_data_or_of_figure_is_refused_by_name():
    data = build.build_data(config_of(*SMALL))
    with pytest.raises(InputError, match="num_features"):
        build.build_model(config_of(*SMALL, "model=classifier"), data.spec)
    with pytest.raises(InputError, match=r"callbacks.answers: AnswersOverTime is for SeriesClassificationTask"):
        build.check_parts(config_of("experiment=tiny_sentiment", "callbacks=series_classification"))
