"""A run that goes on from another, and one that begins with another's weights."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from seqlab.config.hash import config_hash
from seqlab.data import ClassificationSpec, MusicSpec, RegressionSpec, TaggingSpec, TranscriptionSpec
from seqlab.errors import InputError
from seqlab.nn import CRF, bio_constraints
from seqlab.run import training, weights
from seqlab.run.checkpoints import load_checkpoint
from seqlab.run.folder import RunFolder, start_run
from seqlab.run.load import load_run
from seqlab.run.parents import CONTINUES, INIT_FROM, continued_config, continued_folder, resolve_init_from
from tests.conftest import config_of, run_here, small

SHORT = ("trainer=cpu", "runtime.num_threads=1", "runtime.keep_freed_memory=false", "logger=none", "data.batch_size=16")
DROPOUT = ("model.dropout=0.3", "model.output_dropout=0.2")


def overrides_of(text_file: Path, *overrides: str) -> list[str]:
    return [*small(text_file), *SHORT, *DROPOUT, *overrides]


def weights_of(run_dir: Path, name: str = "last.ckpt") -> dict[str, torch.Tensor]:
    return load_checkpoint(run_dir / "checkpoints" / name)["state_dict"]


def go_on(run_dir: Path, *overrides: str) -> Path:
    """Continues a completed run in this process; the new run's folder."""
    state = RunFolder(run_dir).state()
    config = state.record["config"]
    for text in overrides:
        key, _, value = text.partition("=")
        group, _, name = key.partition(".")
        config = {**config, group: {**config[group], name: int(value)}}
    config = continued_config(run_dir, state, config)
    folder = continued_folder(run_dir, overrides, config)
    origin = {name: state.record[name] for name in ("data_hash", "code")}
    with start_run(folder, config, overrides, parent=config[CONTINUES], **origin) as claim:
        training.execute(claim)
    return folder


@pytest.fixture(scope="module")
def short(tmp_path_factory, text_file) -> Path:
    run_dir = tmp_path_factory.mktemp("short") / "run"
    run_here(run_dir, *overrides_of(text_file, "trainer.max_epochs=1"))
    return run_dir


def test_a_run_that_goes_on_for_longer_equals_one_that_was_as_long_from_the_start(tmp_path, text_file, short):
    longer = go_on(short, "trainer.max_epochs=2")
    run_here(tmp_path / "long", *overrides_of(text_file, "trainer.max_epochs=2"))
    for name, value in weights_of(tmp_path / "long").items():
        assert torch.equal(value, weights_of(longer)[name]), name
    record, whole = (RunFolder(folder).state().record for folder in (longer, tmp_path / "long"))
    assert record["metrics"] == whole["metrics"]
    assert record["parent"]["run"] == str(short.resolve())
    assert record["config_hash"] != whole["config_hash"]  # one is never taken for the other
    assert RunFolder(short).state().record["config"]["trainer"]["max_epochs"] == 1


def test_a_cosine_goes_by_the_new_horizon(tmp_path, text_file, caplog):
    run_here(tmp_path / "run", *overrides_of(text_file, "trainer.max_steps=20", "scheduler=cosine"))
    ended = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert ended["optimizer_states"][0]["param_groups"][0]["lr"] == 0.0
    with caplog.at_level("INFO", logger="seqlab"):
        longer = go_on(tmp_path / "run", "trainer.max_steps=40")
    assert "the schedule's horizon is 40 steps, where it was 20" in caplog.text
    assert "the rate at step 20 is " in caplog.text and "where it was 0" in caplog.text
    assert load_checkpoint(longer / "checkpoints" / "last.ckpt")["global_step"] == 40


def test_a_run_that_stopped_early_trains_on(tmp_path, text_file, caplog):
    early = ("callbacks/early_stopping=plateau", "callbacks.early_stopping.patience=1")
    never = ("callbacks.early_stopping.min_delta=100.0", "trainer.val_check_interval=0.25")  # none improves by as much
    run_here(tmp_path / "run", *overrides_of(text_file, "trainer.max_epochs=3", *early, *never))
    stopped = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["global_step"]
    with caplog.at_level("INFO", logger="seqlab"):
        longer = go_on(tmp_path / "run", "trainer.max_epochs=4")
    assert "early stopping keeps its count: 1 of 1 validations in a row without improvement" in caplog.text
    assert load_checkpoint(longer / "checkpoints" / "last.ckpt")["global_step"] > stopped


def test_so_does_one_that_lightnings_own_early_stopping_ended(tmp_path, text_file):
    stopping = "{_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: val/loss, patience: 1, min_delta: 9.0}"
    few = ("trainer.max_epochs=3", "trainer.limit_train_batches=4")
    run_here(tmp_path / "run", *overrides_of(text_file, *few, f"+callbacks.mine={stopping}"))
    longer = go_on(tmp_path / "run", "trainer.max_epochs=4")
    steps = [load_checkpoint(run / "checkpoints" / "last.ckpt")["global_step"] for run in (tmp_path / "run", longer)]
    assert steps == [8, 12]


@pytest.mark.parametrize("ended_by", ["max_steps", "max_epochs"])
def test_where_the_other_bound_ended_the_run_more_of_one_is_refused(tmp_path, text_file, ended_by):
    ended = {"max_steps": ("trainer.max_steps=3",), "max_epochs": ("trainer.max_epochs=1", "trainer.max_steps=50")}
    more = {"max_steps": "trainer.max_epochs=999", "max_epochs": "trainer.max_steps=99"}
    run_here(tmp_path / "run", *overrides_of(text_file, *ended[ended_by], "trainer.limit_train_batches=4"))
    with pytest.raises(InputError, match=f"trainer.{ended_by}=.* leave nothing to train beyond step"):
        go_on(tmp_path / "run", more[ended_by])


def test_only_the_length_may_change_and_only_to_more(short):
    state = RunFolder(short).state()
    config = state.record["config"]
    with pytest.raises(InputError, match=r"optimizer\.lr: only trainer.* may change .* init_from="):
        continued_config(short, state, {**config, "optimizer": {**config["optimizer"], "lr": 0.5}})
    with pytest.raises(InputError, match=r"trainer\.max_epochs=0: the completed run had 1; give a larger value"):
        continued_config(short, state, {**config, "trainer": {**config["trainer"], "max_epochs": 0}})


def test_the_checkpoint_that_is_continued_must_be_the_one_that_was_named(tmp_path, text_file):
    run_here(tmp_path / "run", *overrides_of(text_file, "trainer.max_steps=4"))
    state = RunFolder(tmp_path / "run").state()
    longer = {**state.record["config"], "trainer": {**state.record["config"]["trainer"], "max_steps": 8}}
    config = continued_config(tmp_path / "run", state, longer)
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes() + b"x")
    with (
        start_run(tmp_path / "new", config, parent=config[CONTINUES]) as claim,
        pytest.raises(InputError, match="it has changed since"),
    ):
        training.execute(claim)


def test_a_damaged_checkpoint_is_not_continued_from_an_earlier_step(tmp_path, short):
    shutil.copytree(short, tmp_path / "run")
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    with pytest.raises(InputError, match=r"run/checkpoints/last\.ckpt is damaged .* no run can continue from it"):
        go_on(tmp_path / "run", "trainer.max_epochs=2")


def test_a_run_begins_with_anothers_weights_where_they_fit(tmp_path, text_file, short, caplog):
    overrides = overrides_of(text_file, "trainer.max_steps=1", "optimizer.lr=1e-12", "model.num_layers=3")
    config = resolve_init_from(config_of(*overrides, f"init_from={short}"))
    with caplog.at_level("INFO", logger="seqlab"), start_run(tmp_path / "new", config) as claim:
        training.execute(claim)
    ours, theirs = weights_of(tmp_path / "new"), weights_of(short, "best.ckpt")
    shared = [name for name in theirs if name in ours and ours[name].shape == theirs[name].shape]
    assert len(shared) == len(theirs)
    for name in shared:
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=1e-9)
    assert f"init_from {short.resolve()}: {len(shared)} of this model's {len(ours)} tensors" in caplog.text
    assert "not in that run, initialised anew: model.encoder.layers.2" in caplog.text
    plain = config_of(*overrides)
    assert config_hash(config) != config_hash(plain)
    elsewhere = {**config, INIT_FROM: {**config[INIT_FROM], "run": "/elsewhere"}}
    assert config_hash(config) == config_hash(elsewhere)


def test_a_run_is_told_whose_test_may_hold_rows_that_trained_its_first_weights(tmp_path, text_file, short, caplog):
    more = tmp_path / "more.txt"
    more.write_text(text_file.read_text() + "\n")
    for name, change in (
        ("same", "seed=2"),
        ("other", "data.split=[0.5,0.25,0.25]"),
        ("more", f"data.path=[{more},{text_file}]"),
    ):
        overrides = [*overrides_of(text_file, "trainer.max_steps=1", f"data.vocabulary={short}"), change]
        config = resolve_init_from(config_of(*overrides, f"init_from={short}"))
        caplog.clear()
        with start_run(tmp_path / name, config) as claim:
            training.execute(claim)
        told = "trained on the same data cut otherwise (other data.split)" in caplog.text
        assert told is (name == "other")
        told = f"was trained on {text_file}: rows of its training may be in this run's test" in caplog.text
        assert told is (name == "more")


def test_a_run_that_begins_with_anothers_weights_keeps_the_statistics_of_its_own_data(tmp_path, caplog):
    for name, scale, start in (("one", 1.0, 0.0), ("other", 1.8, 32.0)):
        rows = [f"s{n},{scale * (n + step) + start},{scale * n + start}" for n in range(20) for step in range(2)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["id,x,y", *rows]) + "\n")

    def options(name: str) -> list[str]:
        own = (f"data.path={tmp_path / name}.csv", "data.id=id", "data.targets=y", "model.hidden_size=4")
        return ["experiment=regression", *SHORT, *own, "trainer.max_steps=1", "optimizer.lr=1e-12"]

    run_here(tmp_path / "parent", *options("one"))
    config = resolve_init_from(config_of(*options("other"), f"init_from={tmp_path / 'parent'}"))
    with caplog.at_level("INFO", logger="seqlab"), start_run(tmp_path / "new", config) as claim:
        training.execute(claim)
    spec = load_run(tmp_path / "new").spec
    ours, theirs = weights_of(tmp_path / "new"), weights_of(tmp_path / "parent", "best.ckpt")
    for part, (mean, std) in (("input", spec.statistics()), ("head", spec.target_statistics())):
        names = [f"model.{part}.standardize.{name}" for name in ("mean", "std")]
        assert [ours.pop(name).tolist() for name in names] == [mean.tolist(), std.tolist()]
        assert theirs[names[0]].item() < mean.item() - 32
        assert ", ".join(names) in caplog.text
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=0, atol=1e-9)
    assert f"{len(ours)} of this model's {len(ours)} tensors" in caplog.text


def test_which_tags_may_follow_which_is_kept_too():
    crf = CRF(3, bio_constraints(["O", "B-x", "I-x"]))
    assert sorted(dict(crf.named_buffers())) == sorted(crf.data_buffers)


def test_weights_of_other_tokens_are_refused(tmp_path, text_file, short):
    other = tmp_path / "other.txt"
    other.write_text(text_file.read_text().replace("a", "z"))
    overrides = overrides_of(other, "trainer.max_steps=1")
    config = resolve_init_from(config_of(*overrides, f"init_from={short}"))
    with (
        start_run(tmp_path / "new", config) as claim,
        pytest.raises(InputError, match=f"its tokens vocabulary .* give data.vocabulary={short}"),
    ):
        training.execute(claim)


def test_vectors_of_tokens_of_a_vocabulary_of_another_name_are_refused(tmp_path, text_file, short):
    """A translator reads "source" where a language model reads "tokens"; with as many tokens, the vectors fit."""
    parent = load_run(short)
    size, width = parent.model().input.embedding.weight.shape
    for side in ("source", "target"):
        (tmp_path / side).write_text("\n".join(f"{side}{n} {side}{n + 1}" for n in range(2 * size)) + "\n")
    files = [f"data.path.{side}={tmp_path / side}" for side in ("source", "target")]
    words = ("data.unit=word", "data.min_frequency=1", f"data.max_vocab_size={size}")
    sizes = (f"model.embedding_size={width}", "model.hidden_size=4", "trainer.max_steps=1")
    overrides = ["experiment=translation", *SHORT, *files, *words, *sizes]
    with (
        start_run(tmp_path / "new", resolve_init_from(config_of(*overrides, f"init_from={short}"))) as claim,
        pytest.raises(InputError, match=f"its tokens vocabulary .* give data.vocabulary={short}"),
    ):
        training.execute(claim)


def test_init_from_names_a_completed_run(tmp_path):
    with pytest.raises(InputError, match="expected the folder of a completed run; there is none"):
        resolve_init_from({INIT_FROM: str(tmp_path / "nothing")})
    with start_run(tmp_path / "run", {"seed": 1}) as claim:
        claim.interrupt()
    with pytest.raises(InputError, match="this one is interrupted"):
        resolve_init_from({INIT_FROM: str(tmp_path / "run")})
    with start_run(tmp_path / "done", {"seed": 1}) as claim:
        (tmp_path / "done" / "checkpoints").mkdir()
        for name in ("best.ckpt", "last.ckpt"):
            (tmp_path / "done" / "checkpoints" / name).write_text(name)
        claim.complete({}, "checkpoints/best.ckpt")
    assert resolve_init_from({INIT_FROM: str(tmp_path / "done")})[INIT_FROM]["checkpoint"]
    (tmp_path / "done" / "checkpoints" / "best.ckpt").unlink()
    with pytest.raises(InputError, match=r"no checkpoint at .*best\.ckpt"):
        resolve_init_from({INIT_FROM: str(tmp_path / "done")})


def test_weights_of_an_output_layer_for_other_classes_are_told(caplog):
    one, other, more = (ClassificationSpec(9, "word", labels) for labels in (("a", "b"), ("b", "a"), ("a", "b", "c")))
    for theirs, ours in ((one, one), (one, more)):  # more classes: the layer begins anew
        weights.warn_of_other_classes(theirs, ours)
    assert not caplog.text
    weights.warn_of_other_classes(one, other)
    assert "its labels are a, b, but here they are b, a: the output layer begins with weights for" in caplog.text


def test_weights_of_an_input_layer_for_other_columns_are_told(caplog):
    one, other = (
        RegressionSpec(names, names, ("y",), "refuse", (0.0, 0.0), (1.0, 1.0), (0.0,), (1.0,), {})
        for names in (("a", "b"), ("b", "a"))
    )
    weights.warn_of_other_classes(one, other)
    assert "its features are a, b, but here they are b, a: the input layer begins with weights for" in caplog.text


def test_weights_of_an_output_layer_for_what_another_task_answers_are_told(caplog):
    labels = ClassificationSpec(9, "word", ("a", "b"))
    weights.warn_of_other_classes(TaggingSpec(9, ("B-a", "O"), 0), labels)
    assert "its tags are B-a, O, but here the labels are a, b: the output layer begins with weights for" in caplog.text


def test_weights_of_other_pitches_are_told(caplog):
    one, other = (MusicSpec(lowest, 3, 4) for lowest in (60, 61))
    weights.warn_of_other_classes(one, one)
    assert not caplog.text
    weights.warn_of_other_classes(one, other)
    assert "its pitches are 60, 61, 62, but here they are 61, 62, 63: the input layer begins with" in caplog.text


def test_weights_for_sound_or_steps_that_were_read_otherwise_are_told(caplog):
    rates = [TranscriptionSpec(9, "word", {"rate": rate, "hop": 0.01}, (0.0,), (1.0,)) for rate in (8000, 16000)]
    pieces, texts = [MusicSpec(60, 3, n) for n in (4, 8)], [ClassificationSpec(9, "word", ("a",)) for _ in range(2)]
    weights.warn_of_other_classes(rates[0], rates[0])
    weights.warn_of_other_classes(texts[0], replace(texts[1], max_length=9))  # more or less of the same is read
    weights.warn_of_other_classes(rates[0], pieces[0])
    assert not caplog.text
    weights.warn_of_other_classes(*rates)
    assert "its data were read with rate 8000, but here with rate 16000: the model begins with" in caplog.text
    weights.warn_of_other_classes(*pieces)
    assert "read with steps_per_quarter 4, but here with steps_per_quarter 8" in caplog.text


def test_a_value_that_a_variable_gives_names_the_folder_and_not_the_variable():
    for epochs in (3, 4):
        folder = continued_folder(Path("run"), ["trainer.max_epochs=${oc.env:N}"], {"trainer": {"max_epochs": epochs}})
        assert folder == Path(f"run+max_epochs={epochs}")
