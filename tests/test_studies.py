"""Studies: their commands make configurations, their tables tell runs apart, their baselines are what they say."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import seqlab
from seqlab.errors import InputError
from seqlab.run.folder import start_run
from seqlab.run.provenance import seqlab_git
from seqlab.run.record import read_record
from tests.conftest import config_of

STUDIES = Path(seqlab.__file__).parents[1] / "experiments"


def load(name, file="run.py"):
    script = STUDIES / name / file
    if not script.is_file():
        pytest.skip("experiments/ is not beside the package")
    spec = importlib.util.spec_from_file_location(f"{name}_study", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def record(folder, config, metrics):
    with start_run(folder, config) as claim:
        claim.complete(metrics, train_seconds=60.0)


def test_each_contender_of_the_adding_study_is_told_apart_and_judged_at_the_rate_that_validation_chose(tmp_path):
    study = load("adding")
    for contender in study.CONTENDERS:
        overrides = study.command_of(contender, 600, tmp_path, ())[2:]
        keys = [each for each in overrides if not each.startswith(("hydra.", "seed=", "optimizer.lr="))]
        for rate in contender.rates.split(","):
            for seed, error in ((1, 0.01), (2, 0.02)):
                config = config_of(*keys, f"optimizer.lr={rate}", f"seed={seed}")
                best = rate == contender.rates.split(",")[1]
                metrics = {"val/mse": error if best else 0.16, "test/mse": error * (2 if best else 0.5)}
                record(tmp_path / f"{contender.name}-{rate}-{seed}", config, metrics)
    lines = study.table(study.runs_below(tmp_path))
    assert lines[-1].endswith("| 0.17 | |")
    expected = [f"| 600 | {each.name} | {each.rates.split(',')[1]} | 0.02, 0.04 | 1.0 |" for each in study.CONTENDERS]
    assert lines[2:-1] == expected
    recurrent = (
        study.runs_below(tmp_path).query("`model.cell._target_` == 'seqlab.nn.GRUCell'").dropna(axis=1, how="all")
    )
    assert study.table(recurrent)[2:-1] == expected[2:3]


def test_the_table_of_expressivity_has_a_row_a_task_and_says_which_cells_did_not_run(tmp_path):
    study = load("expressivity")
    for data, value in (("s3", 0.5), ("s5", 0.25), ("parity", 1.0)):
        for seed in (1, 2) if data == "s5" else (1, 2, 3):
            config = config_of("sweep=expressivity", f"data={data}", "model/cell=min_gru", f"seed={seed}")
            metrics = {"test/accuracy_64": value, "test/accuracy_1024": float("nan") if data == "parity" else value / 2}
            record(tmp_path / f"{data}-{seed}", config, metrics)
    lines = study.table(study.runs_below(tmp_path))
    assert len(lines) == 2 + len(study.TASKS)
    rows = {line.split(" | ")[0].strip("| "): line for line in lines}
    assert "| 0.167 | not run | not run | not run | 0.500 ± 0.000; 0.250 ± 0.000 | not run |" in rows["S3"]
    assert "0.250 ± 0.000 (2); 0.125 ± 0.000 (2)" in rows["S5"]
    assert "1.000 ± 0.000; not tested" in rows["parity"]
    assert rows["copy"].count("not run") == len(study.CELLS)


def test_the_table_of_the_chat_has_both_cells_and_the_counted_models(tmp_path):
    study = load("chat")
    for seed, perplexity in ((1, 80.0), (2, 82.0)):
        record(
            tmp_path / f"lstm-{seed}",
            config_of("experiment=chat", f"seed={seed}", "model/cell=lstm"),
            {"val/perplexity": perplexity, "test/perplexity": perplexity + 2},
        )
    counted = config_of("experiment=chat_kneser_ney", "model.order=3")
    record(tmp_path / "counted", counted, {"val/perplexity": 90.0, "test/perplexity": 91.0})
    lines = study.table(study.runs_below(tmp_path))
    assert lines[2:4] == [
        "| LSTM | 2 | 81.0 ± 1.4 | 83.0 ± 1.4 | 1.0 ± 0 |",
        "| GRU | 0 | not run | not run | not run |",
    ]
    assert "| Kneser-Ney, 3 words | 1 | 90.0 | 91.0 | 1.0 |" in lines
    assert len(lines) == 4 + len(study.ORDERS)


def test_the_templates_of_the_speech_study_warp_as_the_textbook_does():
    study = load("speech")
    draw = np.random.default_rng(0)
    sounds = [draw.normal(size=(draw.integers(1, 9), 3)) for _ in range(8)]
    templates = study.Templates(sounds, list("abcdefgh"))

    def distance(one, other):
        totals = np.full((len(one) + 1, len(other) + 1), np.inf)
        totals[0, 0] = 0.0
        for i, row in enumerate(one):
            for j, column in enumerate(other):
                step = min(totals[i, j], totals[i, j + 1], totals[i + 1, j])
                totals[i + 1, j + 1] = np.linalg.norm(row - column) + step
        return totals[-1, -1] / (len(one) + len(other))

    for sound in (draw.normal(size=(5, 3)), draw.normal(size=(1, 3)), sounds[3]):
        expected = [distance(sound, each) for each in sounds]
        np.testing.assert_allclose(templates.distances(sound), expected, atol=1e-6)
    assert templates.error(sounds, list("abcdefgh")) == 0.0
    assert templates.error(sounds[:2], ["a", "c"]) == 0.5


def test_a_table_counts_each_seed_of_a_setting_once(tmp_path):
    tables = load(".", "tables.py")
    for seed in (10, 9, 2):
        for fold in (0, 1):
            config = {"seed": seed, "trainer": {"max_steps": 800}, "data": {"fold": fold}}
            record(tmp_path / f"seed={seed},fold={fold}", config, {"test/loss": 1.0})
    with start_run(tmp_path / "broken", {"seed": 2, "data": {"fold": 0}}) as claim:
        claim.fail("broken")
    seeds = [each["seed"] for each in tables.completed(tmp_path, "data.fold").values()]
    assert seeds == [2, 2, 9, 9, 10, 10]
    trial = {"seed": 2, "trainer": {"max_steps": 3}, "data": {"fold": 0}}
    record(tmp_path / "trial", trial, {"test/loss": 9.0})
    with pytest.raises(SystemExit, match=r"seed=2,fold=0 and .*trial .* differ in trainer\.max_steps\."):
        tables.completed(tmp_path, "data.fold")
    assert tables.completed(tmp_path / "nowhere") == {}


def test_a_baseline_is_measured_once_and_never_stands_beside_runs_on_other_data(tmp_path):
    tables = load(".", "tables.py")
    config, folder = {"seed": 1, "data": {"path": "a.tsv", "split": [0.5, 0.5]}}, tmp_path / "copy"
    assert not tables.is_measured(folder, config["data"])
    tables.leave_record(folder, config, ["data=a"], {"test/loss": 1.0}, num_parameters=3, seconds=2.0)
    assert tables.is_measured(folder, config["data"])
    left = read_record(folder)
    assert (left["num_parameters"], left["train_seconds"], left["metrics"]) == (3, 2.0, {"test/loss": 1.0})
    assert left["seqlab_git"] == seqlab_git()
    with pytest.raises(InputError, match=r"copy was measured on other data \(data\.path\); remove it"):
        tables.is_measured(folder, {**config["data"], "path": "b.tsv"})
