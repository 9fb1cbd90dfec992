"""Thousands of runs: time, memory, and the same numbers as from a few."""

import json
import statistics
import subprocess
import sys

import pytest

from seqlab.run.record import RECORD_NAME
from tests.conftest import config_of

RUNS = 10_000


@pytest.fixture
def many_runs(tmp_path, write_run):
    """A record as training leaves it, written again with other depths, rates, seeds and results."""
    config = config_of("experiment=kjv_char_lstm")
    config["model"]["num_layers"], config["optimizer"]["lr"], config["seed"] = "DEPTH", "RATE", "SEED"
    config["data"]["seed"] = "SEED"
    written = {
        "config": config,
        "seed": "SEED",
        "config_hash": "#NUMBER",
        "started_at": "at NUMBER",
        "status": "completed",
    }
    written |= {"metrics": {"test/perplexity": "RESULT", "val/loss": 1.0}, "tokens_per_second": 70_000.0}
    folder = write_run(tmp_path / "template", end="running", written=written)
    text = json.dumps(json.loads((folder / RECORD_NAME).read_text()), indent=2)
    (folder / RECORD_NAME).unlink()
    for number in range(RUNS):
        depth, rate, seed = number % 5 + 1, 10.0 ** -(number // 5 % 4), number // 20
        filled = text.replace("NUMBER", str(number))
        for word, value in {"DEPTH": depth, "RATE": rate, "SEED": seed, "RESULT": depth + rate + seed / RUNS}.items():
            filled = filled.replace(f'"{word}"', str(value))
        place = tmp_path / f"job-{number}"
        (place / "checkpoints").mkdir(parents=True)
        (place / RECORD_NAME).write_text(filled)
    return tmp_path


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the memory")
def test_ten_thousand_runs_take_seconds_and_little_memory(many_runs, tmp_path):
    code = (
        "import re, resource; from pathlib import Path; from seqlab.cli import main; "
        f"main(['report', {str(many_runs)!r}, '--format', 'json', '--output', {str(tmp_path / 'report.json')!r}]); "
        "used = resource.getrusage(resource.RUSAGE_SELF); "
        # Not ru_maxrss: it remembers the process that started this one.
        "peak = re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text()); "
        "print(used.ru_utime + used.ru_stime, int(peak[1]) / 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, megabytes = map(float, done.stdout.splitlines()[-1].split())
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["by"] == ["model.num_layers", "optimizer.lr"]
    assert [group["n"] for group in report["groups"]] == [RUNS // 20] * 20
    best = report["groups"][0]
    assert best["best"] and best["key"] == {"model.num_layers": 1, "optimizer.lr": 0.001}
    assert best["mean"] == pytest.approx(1.001 + statistics.fmean(range(RUNS // 20)) / RUNS)
    assert report["groups"][1]["difference"]["pairs"] == RUNS // 20
    assert seconds < 5, f"{seconds:.1f} s of processor time"
    assert megabytes < 500, f"{megabytes:.0f} MB"
