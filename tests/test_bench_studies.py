"""The studies of the test bench: their commands make configurations, and their tables tell runs apart."""

import importlib.util
from pathlib import Path

import pytest

import seqlab
from seqlab.run.folder import start_run
from tests.conftest import config_of

STUDIES = Path(seqlab.__file__).parents[1] / "experiments"


def load(name):
    script = STUDIES / name / "run.py"
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
            metrics = {"test/accuracy_64": value, "test/accuracy_1024": value / 2}
            record(tmp_path / f"{data}-{seed}", config, metrics)
    lines = study.table(study.runs_below(tmp_path))
    assert len(lines) == 2 + len(study.TASKS)
    rows = {line.split(" | ")[0].strip("| "): line for line in lines}
    assert "| 0.167 | not run | not run | not run | 0.500 ± 0.000; 0.250 ± 0.000 | not run |" in rows["S3"]
    assert "0.250 ± 0.000 (2); 0.125 ± 0.000 (2)" in rows["S5"]
    assert rows["copy"].count("not run") == len(study.CELLS)
