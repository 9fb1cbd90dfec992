"""Captioning from the configuration to the record: it learns, is asked about a file, and resumes exactly."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from seqlab.cli import main
from seqlab.config import build
from seqlab.data import CaptionSpec, Scenes
from seqlab.data.captions.pictures import NamedPicture
from seqlab.run.load import load_run
from seqlab.tasks import CaptionTask
from seqlab.tasks.captions import scored
from tests.conftest import config_of, run_here
from tests.run.test_exact_resume import StoppedError, assert_the_same_end, carry_out

ONE = ("runtime.num_threads=1", "runtime.keep_freed_memory=false")
SMALL = ("experiment=scenes", "data.sizes=[64,8,8]", "model.hidden_size=24", "model.place_size=16", *ONE)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "run"
    overrides = ("data.sizes=[800,60,20]", "data.batch_size=16", "trainer.max_epochs=6", "optimizer.lr=0.005")
    sizes = ("model.hidden_size=48", "model.place_size=24", "model.embedding_dropout=0")
    return folder, run_here(folder, *SMALL, *overrides, *sizes).fields["metrics"]


def test_it_sees_more_than_the_grammar_alone_tells(trained):
    _, metrics = trained
    blind = (math.log(40 * 39) + math.log(2)) / 8.5  # nats a token who knows the grammar and no picture, at the least
    assert metrics["val/loss"] < 0.95 * blind


def test_a_picture_is_described_from_its_file_as_it_is_from_the_data(trained, tmp_path, capsys):
    folder, _ = trained
    run = load_run(folder)
    data = build.build_data(run.config)
    row = Scenes(sizes=(1, 1, 1), noise=0.0).read("test")[0]
    picture = (row.values.transpose(1, 2, 0) * 255).round().astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "scene.png")
    assert main(["predict", str(folder), str(tmp_path / "scene.png"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    task = build.build_task(run.config, run.spec, run.model())
    (named,) = run.spec.read_inputs(tmp_path / "scene.png")
    np.testing.assert_allclose(named.values, row.values, atol=0.003)
    options = {key: run.config["task"][key] for key in ("beam_size", "length_penalty", "max_length")}
    (again,) = CaptionTask.predict(run.model(), run.spec, {"target": data.vocabulary}, [named], **options)
    assert answer == {"picture": "scene.png", "text": again.values["text"]} and answer["text"].startswith("a ")
    assert task.examples(data, "test", 2, None).lines[0].count("(reference: a ") == 1
    assert main(["predict", str(folder), str(tmp_path / "none.png")]) == 2
    assert "none.png is not there" in capsys.readouterr().err


def test_the_speed_counts_the_words_that_are_written(trained):
    run = load_run(trained[0])
    data = build.build_data(run.config)
    batch = data.collate("train", [0, 1, 2])
    words = sum(len(data.vocabulary.encode(row.texts[0])) for row in data.rows("train")[:3])
    output = build.build_task(run.config, run.spec, run.model()).training_step(batch, 0)
    assert output["steps"] == output["tokens"] == words + 3  # each has its end


def test_shown_descriptions_name_the_pictures_file(tmp_path):
    rows = ["picture,text"]
    for number in range(3):
        Image.new("RGB", (16, 8), (80 * number, 0, 0)).save(tmp_path / f"red{number}.png")
        rows.append(f"red{number}.png,a red of {number}")
    (tmp_path / "captions.csv").write_text("\n".join(rows) + "\n")
    sizes = ("data.picture_size=[3,8,16]", "model.hidden_size=8", "model.place_size=8", "data.split=[0.4,0.3,0.3]")
    config = config_of("experiment=pictures", f"data.path={tmp_path / 'captions.csv'}", *sizes)
    data = build.build_data(config)
    task = build.build_task(config, data.spec, build.build_model(config, data.spec))
    table = task.examples(data, "test", 3, None).text
    (row,) = data.rows("test")
    assert f"| {row.name} |" in table and row.name.endswith(".png") and "captions.csv" not in table


def test_features_of_pictures_are_described(tmp_path):
    names = [f"{number}.npy" for number in range(6)]
    for number, name in enumerate(names):
        np.save(tmp_path / name, np.full((4, 5), number, dtype=np.float32))
    (tmp_path / "table.csv").write_text("picture,text\n" + "".join(f"{name},a {name[0]}\n" for name in names))
    size = ("data.picture_size=[4,5]", "model/input=features", "data.split=[0.4,0.3,0.3]", "trainer.max_steps=1")
    run_here(tmp_path / "run", "experiment=pictures", f"data.path={tmp_path / 'table.csv'}", *size, *ONE, "logger=none")
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "0.npy")]) == 0


@pytest.mark.parametrize("trained_on", [None, 3])
def test_the_test_describes_pictures_as_predict_does_however_long_a_description_would_be(trained_on):
    config = config_of(*SMALL)
    data = build.build_data(config)
    if trained_on is not None:  # data that are read for the evaluation of a run
        data.trained = CaptionSpec(len(data.vocabulary), "word", (3, 32, 32), trained_on)
    task = build.build_task(config, data.spec, build.build_model(config, data.spec)).eval()
    with torch.no_grad():
        task.model.decoder.head.output.bias[data.spec.eos] = -1e4  # it goes on for as long as it may
    batch = data.collate("test", [0, 1])
    task._trainer = type("Trainer", (), {"datamodule": data})()
    task.on_test_epoch_start()
    task.evaluate(batch, "test")
    pictures = [NamedPicture(row.place, row.values) for row in data.rows("test")[:2]]
    answers = CaptionTask.predict(task.model, data.spec, {"target": data.vocabulary}, pictures)
    assert task.hypotheses["test"] == [answer.values["text"] for answer in answers]
    longest = trained_on or max(len(row.texts[0].split()) for row in data.rows("train"))
    assert all(0 < len(text.split()) <= 2 * longest for text in task.hypotheses["test"])


def test_a_description_may_equal_any_reference():
    scores, _ = scored(["a b c d", "a b c"], [["x y", "a b c d"], ["a c"]], lowercase=False)
    assert scores["exact_match"] == 0.5 and 0 < scores["bleu"] < 100
    for lowercase, share in ((True, 1.0), (False, 0.0)):
        assert scored(["a b"], [["A  B", "z"]], lowercase)[0]["exact_match"] == share
    assert scored(["a b c d"], [["a b c d", "z"]], False)[0] == {"bleu": pytest.approx(100), "exact_match": 1.0}


def test_a_run_that_is_stopped_and_resumed_ends_as_one_that_was_left_alone(tmp_path, monkeypatch):
    overrides = [*SMALL, "trainer.max_epochs=2", "trainer.val_check_interval=1", "logger=none", "data.batch_size=16"]
    overrides += ["model.output_dropout=0.2", "task.bleu_every_n_validations=2"]
    carry_out(tmp_path / "alone", overrides)
    original = CaptionTask.training_step

    def stopping(self, batch, batch_idx):
        if self.trainer.global_step == 5:
            monkeypatch.setattr(CaptionTask, "training_step", original)
            raise StoppedError
        return original(self, batch, batch_idx)

    monkeypatch.setattr(CaptionTask, "training_step", stopping)
    with pytest.raises(StoppedError):
        carry_out(tmp_path / "continued", overrides)
    carry_out(tmp_path / "continued", overrides, resume=True)
    assert_the_same_end(tmp_path / "alone", tmp_path / "continued")
