"""Ten thousand generated ``run.json`` files, and what ``seqlab report`` takes for them: seconds and memory.

``python experiments/sweeps/records.py --folder FOLDER``; records that are there already are not written again.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from shared import Checks

from seqlab.run.folder import start_run
from seqlab.run.record import RECORD_NAME

CELLS = ("LSTMCell", "GRUCell", "RNNCell", "MGUCell")
MOST_SECONDS, MOST_MEGABYTES = 5.0, 500.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/records"))
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    written = generate(args.folder, args.runs)
    size = sum(path.stat().st_size for path in args.folder.glob(f"*/{RECORD_NAME}")) / 1e6
    print(f"{args.runs:,} records, {size:.0f} MB, {written:,} of them written now")

    checks = Checks()
    for name, options in {
        "a table by depth, a column a cell": ("--by", "model.num_layers", "--columns", "model.cell._target_"),
        "json of the keys that differ": ("--format", "json"),
        "the page": ("--format", "html"),
    }.items():
        output = args.folder / "report.out"
        rounds = [measure(args.folder, *options, "--output", str(output)) for _ in range(args.rounds)]
        wall, processor = (statistics.median(found[index] for found in rounds) for index in (0, 1))
        worst, megabytes = max(found[0] for found in rounds), max(found[2] for found in rounds)
        command = f"seqlab report {args.folder} {' '.join(options)}"
        print(f"$ {command}: {wall:.2f} s ({worst:.2f} at worst), of a processor {processor:.2f} s, {megabytes:.0f} MB")
        checks.check(worst < MOST_SECONDS, f"{name}: under {MOST_SECONDS:.0f} s in each of {args.rounds} rounds")
        checks.check(megabytes < MOST_MEGABYTES, f"{name}: under {MOST_MEGABYTES:.0f} MB")
    counted = json.loads(report_of(args.folder))
    groups = sum(group["n"] for group in counted["groups"])
    checks.check(groups == args.runs, f"all {groups:,} runs are counted")
    return checks.end()


def generate(folder: Path, runs: int) -> int:
    """Records as training leaves them, of a preset's whole configuration; returns how many were written now."""
    with initialize_config_module("seqlab.conf", version_base="1.3"):
        config = compose("train", overrides=["experiment=kjv_char_lstm"])
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, start_run(scratch, plain) as claim:  # type: ignore[arg-type]
        template = claim.fields
    written = 0
    for number in range(runs):
        path = folder / f"job-{number:05d}" / RECORD_NAME
        if path.exists():
            continue
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(filled(template, number), indent=2))
        written += 1
    return written


def filled(template: dict[str, object], number: int) -> dict[str, object]:
    """The record of one job of a grid over depth, cell, rate and seed, its numbers made up."""
    depth, cell, rate, seed = number % 5 + 1, CELLS[number // 5 % 4], 10.0 ** -(number // 20 % 4), number // 80
    config = json.loads(json.dumps(template["config"]))
    config["model"]["num_layers"], config["model"]["cell"]["_target_"] = depth, f"seqlab.nn.{cell}"
    config["optimizer"]["lr"], config["seed"] = rate, seed
    loss = 1.0 + depth / 10 + rate + seed % 97 / 1000
    return {
        **template,
        "config": config,
        "config_hash": f"{number:012x}",
        "overrides": [f"model.num_layers={depth}", f"model/cell={cell}", f"optimizer.lr={rate}", f"seed={seed}"],
        "seed": seed,
        "status": "completed",
        "started_at": f"2026-01-01T00:00:00.{number:06d}+00:00",
        "ended_at": f"2026-01-01T00:01:00.{number:06d}+00:00",
        "num_parameters": 400_000 + depth,
        "tokens_per_second": 70_000.0 - number % 1000,
        "peak_memory_bytes": 600_000_000,
        "train_seconds": 20.0 + depth,
        "checkpoint": "checkpoints/best.ckpt",
        "data_hash": "0123456789ab",
        "device": "cpu",
        "metrics": {"val/loss": loss, "test/loss": loss + 0.01, "test/perplexity": 2.718281828**loss},
    }


def report_of(folder: Path) -> str:
    command = [sys.executable, "-m", "seqlab.cli", "report", str(folder), "--format", "json"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def measure(folder: Path, *options: str) -> tuple[float, float, float]:
    """The report in a process of its own: wall seconds, processor seconds, peak megabytes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # A process remembers the peak of the one that started it: a small one in between starts the report.
    program = (
        "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode; "
    )
    program += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
    command = [sys.executable, "-m", "seqlab.cli", "report", str(folder), *options]
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-S", "-c", program, *command], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, processor, int(done.stdout.split()[-1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
