"""Kills runs at random moments, resumes them, and compares what they end with, bit for bit, with undisturbed runs.

    python experiments/resume/run.py --folder runs/resume            # fifty kills; called again, it goes on
    python experiments/resume/run.py --folder runs/resume --table    # what is known so far

Each round trains one of the settings anew, kills all its processes (SIGKILL) at a random moment of a phase that was
drawn beforehand, resumes it, perhaps kills it once more, and lets it end. A callback of the study notes each run's
phase in a file of one byte, so that a kill can be aimed and its phase is known. Only the command `seqlab` is used.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

PHASES = {"training": b"t", "validation": b"v", "saving": b"s", "evaluation": b"e"}
WEIGHTS = (4, 3, 3, 3)  # of the phases that kills are aimed at
START_SECONDS = 120.0

CALLBACK = '''\
"""Notes in a file of one byte what a run is about."""

import os

from seqlab.callbacks import AtTest


class Phase(AtTest):
    def __init__(self, path):
        self.file = os.open(path, os.O_RDWR | os.O_CREAT)

    def note(self, trainer, phase):
        if trainer.is_global_zero:
            os.pwrite(self.file, phase, 0)

    def on_train_start(self, trainer, pl_module):
        self.note(trainer, b"t")

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.note(trainer, b"t")

    def on_save_checkpoint(self, trainer, pl_module, checkpoint):
        self.note(trainer, b"s")

    def on_validation_start(self, trainer, pl_module):
        self.note(trainer, b"v" if trainer.state.fn == "fit" else b"e")

    def on_test_start(self, trainer, pl_module):
        self.note(trainer, b"e")
'''

SHARED = [
    "trainer=cpu",
    "runtime.num_threads=1",
    "trainer.log_every_n_steps=7",
    "callbacks.checkpoint.every_n_steps=11",
]
TEXT = [*SHARED, "data=text", "data.path={folder}/text.txt", "data.batch_size=16", "data.tbptt_steps=16"]
TEXT += ["model.hidden_size=32", "model.dropout=0.2", "model.output_dropout=0.2", "callbacks.examples.num_tokens=20"]
PAIRS = [*SHARED, "experiment=kjv_web_gru", "data=parallel", "data.unit=character", "data.batch_size=20"]
PAIRS += ["data.path.source={folder}/source.txt", "data.path.target={folder}/target.txt", "model.hidden_size=24"]
SETTINGS: dict[str, list[str]] = {
    "language model, cosine": [*TEXT, "trainer.max_epochs=3", "scheduler=cosine"],
    "language model, accumulation": [
        *TEXT,
        *("trainer.max_epochs=3", "trainer.accumulate_grad_batches=3", "trainer.val_check_interval=50"),
        *("trainer.gradient_clip_val=1.0",),
    ],
    "language model, early stopping": [
        *TEXT,
        *("trainer.max_epochs=20", "trainer.val_check_interval=0.25", "callbacks/early_stopping=plateau"),
        *("callbacks.early_stopping.min_delta=0.05", "callbacks.early_stopping.patience=2", "optimizer.lr=0.01"),
    ],
    "language model, plateau and accumulation": [
        *TEXT,
        *("trainer.max_epochs=3", "scheduler=plateau", "scheduler.threshold=0.05", "optimizer.lr=0.01"),
        *("trainer.accumulate_grad_batches=4", "trainer.val_check_interval=30"),
    ],
    "language model, two devices": [
        *(text for text in TEXT if text != "trainer=cpu"),
        *("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.max_epochs=2"),
        *("trainer.accumulate_grad_batches=3", "trainer.val_check_interval=25"),
    ],
    "tagging, accumulation": [
        *SHARED,
        *("experiment=grammar_tagger", "trainer.max_epochs=2", "trainer.accumulate_grad_batches=2"),
        *("trainer.val_check_interval=0.5",),
    ],
    "classification, plateau": [
        *SHARED,
        *("experiment=tiny_sentiment", "trainer.max_epochs=150", "trainer.check_val_every_n_epoch=5"),
        *("scheduler=plateau", "model.output_dropout=0.2"),
    ],
    "translation": [*PAIRS, "trainer.max_epochs=3", "trainer.val_check_interval=0.5"],
    "answers": [*SHARED, "experiment=world_answers", "trainer.max_epochs=2", "trainer.val_check_interval=0.5"],
}


def prepare(folder: Path) -> None:
    """Writes the study's text, sentence pairs and callback, the same on every machine."""
    draw = random.Random(0)
    words = ["".join(draw.choice("abcdefg") for _ in range(draw.randint(1, 6))) for _ in range(50)]
    lines = [" ".join(draw.choice(words) for _ in range(8)) for _ in range(900)]
    (folder / "text.txt").write_text("\n".join(lines))
    pairs = [" ".join(draw.choice(words) for _ in range(draw.randint(1, 4))) for _ in range(800)]
    (folder / "source.txt").write_text("\n".join(pairs))
    (folder / "target.txt").write_text("\n".join(pair[::-1] for pair in pairs))
    (folder / "phase.py").write_text(CALLBACK)
    (folder / "conf").mkdir(exist_ok=True)


def command(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """``seqlab ARGUMENTS`` in a session of its own."""
    variables = {"OMP_NUM_THREADS": "1", "SEQLAB_COMPILE": "0", "SEQLAB_CACHE": str(folder / "cache")}
    return subprocess.Popen(
        [sys.executable, "-m", "seqlab.cli", *arguments],
        cwd=folder,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def training(folder: Path, setting: str, run_dir: Path) -> list[str]:
    """The arguments of the command that trains a setting into a folder."""
    overrides = [text.format(folder=folder) for text in SETTINGS[setting]]
    callback = ["+callbacks.phase._target_=phase.Phase", f"+callbacks.phase.path={run_dir}.phase"]
    return ["train", "--config-dir", "conf", "--allow", "phase", f"hydra.run.dir={run_dir}", *callback, *overrides]


def finish(folder: Path, arguments: list[str]) -> None:
    """Carries out a command to its end.

    Raises:
        RuntimeError: it fails.
    """
    process = command(folder, *arguments)
    output, _ = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)}: exit code {process.returncode}\n{output[-3000:]}")


def kill(folder: Path, arguments: list[str], run_dir: Path, aim: str, draw: random.Random) -> str | None:
    """Kills a run at a random moment of a phase; returns the phase it was in, None where it ended before."""
    phase = Path(f"{run_dir}.phase")
    phase.write_bytes(b"-")
    process = command(folder, *arguments)
    # Of training a random moment; of the others, which come by several times, a random one of the first few.
    visits = draw.randint(1, 3) if aim in ("validation", "saving") else 1
    deadline, seen, before = time.monotonic() + START_SECONDS, 0, b"-"
    while seen < visits and process.poll() is None and time.monotonic() < deadline:
        now = phase.read_bytes()
        seen += now == PHASES[aim] and now != before
        before = now
        time.sleep(0.0005)
    time.sleep({"training": draw.uniform(0, 1.5), "saving": draw.uniform(0, 0.02)}.get(aim, draw.uniform(0, 0.15)))
    if process.poll() is not None:
        process.communicate()
        return None
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    half_written = any((run_dir / "checkpoints").glob(".*.tmp"))
    found = phase.read_bytes()
    return "saving" if half_written else next((name for name, byte in PHASES.items() if byte == found), "start")


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """Where two checkpoints or records differ."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return [] if one.dtype == other.dtype and torch.equal(one, other) else [place]
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [found for key in one for found in differences(one[key], other[key], f"{place}.{key}")]
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)) and len(one) == len(other):
        return [
            found
            for i, pair in enumerate(zip(one, other, strict=True))
            for found in differences(*pair, f"{place}[{i}]")
        ]
    return [] if one == other or (one != one and other != other) else [place]


def state_of(run_dir: Path) -> dict[str, Any]:
    """All that a run ends with but times: both checkpoints, metrics and curves."""
    state: dict[str, Any] = {"metrics": json.loads((run_dir / "run.json").read_text())["metrics"]}
    for name in ("last", "best"):
        checkpoint = torch.load(run_dir / "checkpoints" / f"{name}.ckpt", weights_only=True)
        checkpoint.pop("events")  # TensorBoard's files are named by the time
        for key in ("tokens", "seconds", "train_seconds"):
            checkpoint["callbacks"]["TrainingMetrics"].pop(key)
        for loader in checkpoint["loops"]["fit_loop"]["state_dict"]["combined_loader"]:
            batches = loader.get("num_windows") or -(-loader["num_examples"] // loader["batch_size"])
            if loader["cursor"] >= batches:  # an epoch's end is the next one's beginning
                loader["cursor"] = 0
                loader["epoch"] = loader.get("epoch", 0) + 1
            elif "num_windows" in loader:
                loader["epoch"] = int(loader["cursor"] == 0)
        state[name] = checkpoint
    events = EventAccumulator(str(run_dir), size_guidance={"scalars": 0}).Reload()
    state["curves"] = {
        tag: [(point.step, point.value) for point in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
        if not tag.endswith("_per_second")
    }
    return state


def round_of(folder: Path, number: int, kills: int) -> dict[str, Any]:
    """One round: a setting trained, killed ``kills`` times, resumed and compared."""
    draw = random.Random(number)
    setting = list(SETTINGS)[number % len(SETTINGS)]
    alone, run_dir = folder / "alone" / str(number % len(SETTINGS)), folder / "killed" / str(number)
    run_dir.parent.mkdir(exist_ok=True)
    if not (alone / "run.json").exists() or json.loads((alone / "run.json").read_text())["status"] != "completed":
        alone.parent.mkdir(exist_ok=True)
        finish(folder, training(folder, setting, alone))
    phases: list[str] = []
    arguments, tries = training(folder, setting, run_dir), 0
    while len(phases) < kills and tries < 3 * kills:
        tries += 1
        (aim,) = draw.choices(list(PHASES), WEIGHTS)
        if phases[-1:] == ["evaluation"]:
            aim = "evaluation"  # there is nothing else left
        found = kill(folder, arguments, run_dir, aim, draw)
        if found is None:
            break  # it came to its end
        phases.append(found)
        if (run_dir / "run.json").exists():
            arguments = ["resume", str(run_dir), "--allow", "phase"]
    if json.loads((run_dir / "run.json").read_text())["status"] != "completed":
        finish(folder, arguments)
    found_differences = differences(state_of(alone), state_of(run_dir))
    return {"round": number, "setting": setting, "phases": phases, "differences": found_differences[:20]}


def table(rounds: list[dict[str, Any]]) -> str:
    """What the rounds show, as a table."""
    columns = ["start", *PHASES]
    lines = ["| setting | runs | kills | " + " | ".join(columns) + " | equal |", "|---|--:|--:|" + "--:|" * 6]
    total = dict.fromkeys(columns, 0)
    for setting in SETTINGS:
        own = [each for each in rounds if each["setting"] == setting]
        phases = [phase for each in own for phase in each["phases"]]
        counts = [phases.count(column) for column in columns]
        total = {column: total[column] + count for column, count in zip(columns, counts, strict=True)}
        equal = sum(not each["differences"] for each in own)
        cells = " | ".join(map(str, counts))
        lines.append(f"| {setting} | {len(own)} | {len(phases)} | {cells} | {equal} of {len(own)} |")
    equal = sum(not each["differences"] for each in rounds)
    cells = " | ".join(str(total[column]) for column in columns)
    lines.append(f"| all | {len(rounds)} | {sum(total.values())} | {cells} | {equal} of {len(rounds)} |")
    return "\n".join(lines)


def main() -> int:
    """Runs the study, or goes on with it; exit code 1 where a run ends otherwise than the undisturbed one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/resume"))
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--kills-per-run", type=int, default=2)
    parser.add_argument("--table", action="store_true", help="only print what is known so far")
    args = parser.parse_args()
    folder = args.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "rounds.jsonl"
    rounds = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    if not args.table:
        prepare(folder)
        while sum(len(each["phases"]) for each in rounds) < args.kills:
            number = len(rounds)
            if (folder / "killed" / str(number)).exists():  # this study itself was stopped in the round
                os.rename(folder / "killed" / str(number), folder / f"stopped-{number}-{time.time_ns()}")
            rounds.append(round_of(folder, number, args.kills_per_run))
            with log.open("a") as file:
                file.write(json.dumps(rounds[-1]) + "\n")
            print(rounds[-1], flush=True)
    print(table(rounds))
    return int(any(each["differences"] for each in rounds))


if __name__ == "__main__":
    sys.exit(main())
