"""Two processes contend for the same runs, are killed at random moments, and lose, double and damage nothing.

``python experiments/resume/contend.py --transitions 1000 --folder FOLDER``; called again, it goes on where it was
stopped, and prints its figures at the end.

Each contender picks a run, attempts it as a command does, trains a random number of steps (a step writes a checkpoint
that says how many there were, then an event), leaves the claim to a child now and then, as a command does to the run's
process, and ends in a random way: well, failed, interrupted, pruned, withdrawn or by SIGKILL. A completed run is
replaced by a new one now and then. The script kills contenders and children with SIGKILL at random moments, looks at
all runs all the time as a report does. Afterwards it compares what is there with what the contenders saw done, which
they note: an event is done once the method that writes it has returned. The events of a run that was replaced are kept
in ``archive`` for that.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seqlab.errors import InputError
from seqlab.files import write_atomically
from seqlab.run import replacement
from seqlab.run.claim import Claim
from seqlab.run.events import COMPLETED, RUNNING, STATUSES
from seqlab.run.folder import RunFolder
from seqlab.run.history import History, parse, read_lines
from seqlab.run.layout import EVENTS_NAME, REPLACEMENT
from seqlab.run.ownership import AtWorkError
from seqlab.run.record import read_record
from seqlab.run.supervisor import open_attempt

STEPS = 6
"""Steps after which a run completes."""
LIVES = ("contender", "child")


# A contender


class Contender:
    """One of the processes that contend.

    Args:
        folder: where the runs, and what was done, lie.
        number: which contender it is.
        seed: of what it does.
    """

    def __init__(self, folder: Path, number: int, seed: int) -> None:
        self.folder = folder
        self.draw = random.Random(seed)
        self.done = os.open(folder / f"done-{number}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.number = number

    def note(self, **what: Any) -> None:
        """Notes what is done by now; in one write, so that a kill tears nothing."""
        os.write(self.done, (json.dumps(what) + "\n").encode())

    def watch(self) -> None:
        """Has each event that was written noted, and the events of a run that is replaced or dropped kept."""
        append, move, drop = Claim._append, replacement._move, replacement.drop

        def appended(claim: Claim, event: str, **fields: Any) -> None:
            append(claim, event, **fields)
            self.note(claim=claim.ownership.token, line=claim._journal.history.num_lines, event=event)

        def moved(source: Path, target: Path) -> None:
            if target.name == EVENTS_NAME and target.exists():
                self.keep(target)
            move(source, target)

        def dropped(run_dir: Path) -> None:
            events = RunFolder(run_dir).replacement.events_path
            if events.exists():
                self.keep(events)
            drop(run_dir)

        Claim._append, replacement._move, replacement.drop = appended, moved, dropped  # type: ignore[method-assign]

    def keep(self, events: Path) -> None:
        os.link(events, self.folder / "archive" / f"{time.monotonic_ns()}-{os.getpid()}.jsonl")

    def work(self) -> None:
        """Attempts runs until it is killed."""
        while True:
            run_dir = self.folder / f"run-{self.draw.randrange(2)}"
            try:
                self.attempt(run_dir)
            except AtWorkError:
                self.note(refused=run_dir.name, why="at work")
            except InputError as error:
                if "overwrite=true" in str(error):
                    self.note(refused=run_dir.name, why="another run")
                else:
                    self.note(broken=f"{run_dir.name}: {error}")

    def attempt(self, run_dir: Path) -> None:
        config = {"seed": self.draw.randrange(2)}
        with open_attempt(run_dir, config, [], overwrite=self.draw.random() < 0.3) as attempt:
            if attempt.is_complete:
                attempt.note_end(0)
                return
            if attempt.is_resumed and self.draw.random() < 0.2:
                attempt.claim.withdraw("it could not start")
                return
            if self.draw.random() < 0.3:
                code = self.hand_over(attempt.claim)
            else:
                self.train(attempt.claim)
                code = 0
            attempt.note_end(code)

    def hand_over(self, claim: Claim) -> int:
        """Has a child train; returns how it ended."""
        descriptor = claim.fileno()
        arguments = ["child", str(self.folder), str(self.number), str(self.draw.randrange(2**31))]
        child = subprocess.Popen(
            [sys.executable, __file__, *arguments, str(claim.run_dir), str(descriptor)], pass_fds=[descriptor]
        )
        return child.wait()

    def train(self, claim: Claim) -> None:
        """Trains some steps of a claimed run, and ends it in one way or another."""
        path = claim.run_dir / "checkpoints" / "last.ckpt"
        step = int(path.read_text()) if path.exists() else 0
        for _ in range(self.draw.randrange(STEPS)):
            step += 1
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, str(step).encode())
            claim.note(num_parameters=step, trains=True)
        if step >= STEPS:
            claim.complete({"val/loss": float(step)}, path)
            return
        end = self.draw.choice(["fail", "interrupt", "prune", "kill", "leave"])
        if end == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if end != "leave":
            getattr(claim, end)("as it is drawn")


def child(folder: Path, number: int, seed: int, run_dir: Path, descriptor: int) -> None:
    """The part of a run's own process."""
    contender = Contender(folder, number, seed)
    contender.watch()
    contender.train(Claim.inherit(run_dir, descriptor))


# The script


class Observer(threading.Thread):
    """Looks at all runs all the time, as a report does."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder = folder
        self.broken: list[str] = []
        self.looks = 0
        self._completed: set[Path] = set()
        self._end = threading.Event()

    def run(self) -> None:
        while not self._end.is_set():
            for run_dir in sorted(self.folder.glob("run-*")):
                try:
                    self._look_at(run_dir)
                except Exception as error:
                    self.broken.append(f"{run_dir.name}: {error!r}")
            time.sleep(0.002)

    def _look_at(self, run_dir: Path) -> None:
        was_completed = run_dir in self._completed
        status = RunFolder(run_dir).state().status
        if was_completed and status != COMPLETED:
            self.broken.append(f"{run_dir.name} had completed, and is {status}")
        if status == COMPLETED:
            self._completed.add(run_dir)
        if (run_dir / "run.json").exists() and read_record(run_dir)["status"] not in STATUSES[1:]:
            self.broken.append(f"{run_dir.name}: run.json is {status}")
        self.looks += 1

    def end(self) -> None:
        self._end.set()
        self.join()


def contend(folder: Path, transitions: int, seed: int = 1, most_seconds: float = 3600) -> dict[str, Any]:
    """Has two processes contend until that many events were written; returns the figures.

    Args:
        folder: where everything lies; what is there is gone on with.
        transitions: how many events there are to be.
        seed: of what is drawn.
        most_seconds: after which it ends however many there are.
    """
    (folder / "archive").mkdir(parents=True, exist_ok=True)
    draw = random.Random(seed + _count(folder))  # where it goes on, something else is drawn
    observer = Observer(folder)
    observer.start()
    contenders = [_start(folder, number, draw) for number in range(2)]
    began, kills = time.monotonic(), Counter[str]()
    try:
        while _count(folder) < transitions and time.monotonic() - began < most_seconds:
            time.sleep(draw.uniform(0.05, 0.8))
            number = draw.randrange(2)
            victim = draw.choice(LIVES)
            if victim == "child" and (pid := _child_of(contenders[number].pid)) is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    kills["child"] += 1
            elif victim == "contender":
                contenders[number].kill()
                kills["contender"] += 1
            for number, contender in enumerate(contenders):
                if contender.poll() is not None:
                    contenders[number] = _start(folder, number, draw)
    finally:
        for contender in contenders:
            contender.kill()
            contender.wait()
    until = time.monotonic() + 60  # a child goes on when its contender was killed
    while any(RunFolder(path).latest().state().status == RUNNING for path in folder.glob("run-*")):
        if time.monotonic() > until:
            observer.broken.append("a run is at work, and nobody works")
            break
        time.sleep(0.05)
    observer.end()
    found = verify(folder)
    found["broken"] = [*observer.broken, *found["broken"]]
    return {**found, "kills": dict(kills), "looks": observer.looks, "seconds": round(time.monotonic() - began, 1)}


def _start(folder: Path, number: int, draw: random.Random) -> "subprocess.Popen[bytes]":
    arguments = ["contender", str(folder), str(number), str(draw.randrange(2**31))]
    with open(folder / "output.txt", "ab") as output:
        return subprocess.Popen([sys.executable, __file__, *arguments], stdout=output, stderr=output)


def _child_of(pid: int) -> int | None:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return None
    return int(children[-1]) if children else None


def _count(folder: Path) -> int:
    """The events that the contenders saw written."""
    return sum("event" in note for note in _notes(folder))


def _notes(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("done-*.jsonl")):
        for line in read_lines(path).splitlines():
            yield json.loads(line)


def verify(folder: Path) -> dict[str, Any]:
    """What is there, and what of it is broken."""
    broken = [note["broken"] for note in _notes(folder) if "broken" in note]
    for run_dir in sorted(folder.glob("run-*")):
        broken += _verify_run(run_dir)
    histories = {path.stat().st_ino: path for path in [*folder.rglob(EVENTS_NAME), *folder.glob("archive/*")]}
    lines: dict[str, dict[int, str]] = {}
    kinds = Counter[str]()
    for path in histories.values():
        name = path.relative_to(folder).as_posix()
        broken += [f"{name}: {text}" for text in _verify_history(path, lines, kinds)]
    notes = [note for note in _notes(folder) if "event" in note]
    broken += [f"lost: {note}" for note in notes if lines.get(note["claim"], {}).get(note["line"]) != note["event"]]
    return {
        "events": sum(kinds.values()),
        "seen done": len(notes),
        "kinds": dict(sorted(kinds.items())),
        "claims": len(lines),
        "refused": dict(Counter(note["why"] for note in _notes(folder) if "refused" in note)),
        "runs": len(histories),
        "broken": broken,
    }


def _verify_run(run_dir: Path) -> Iterator[str]:
    """A run's folder, once it has been claimed and given back."""
    run = RunFolder(run_dir)
    try:
        with run.claim() as claim:
            record = {name: value for name, value in claim.fields.items() if name not in ("trains", "worker_error")}
    except InputError as error:
        yield str(error)
        return
    if read_record(run_dir) != record:
        yield f"{run_dir.name}: run.json is not what its events say"
    if run.state().status == COMPLETED and (run.checkpoints / "last.ckpt").read_text() != str(record["num_parameters"]):
        yield f"{run_dir.name}: the checkpoint is not that of the completed run"
    hidden = {path.name for path in run_dir.glob(".*")} - {REPLACEMENT}
    if hidden:
        yield f"{run_dir.name}: {', '.join(sorted(hidden))} were left"


def _verify_history(path: Path, lines: dict[str, dict[int, str]], kinds: Counter[str]) -> Iterator[str]:
    """One run's events: whole, in an order that can be, of one owner after the other, no step twice."""
    try:
        History(path).take_lines(read_lines(path))
    except InputError as error:
        yield str(error)
        return
    owner, step = None, 0
    for number, line in enumerate(read_lines(path).splitlines(), start=1):
        event = parse(line)
        token = event["claim"]
        kinds[event["event"]] += 1
        if token != owner and token in lines:
            yield f"line {number}: claim {token} again, after another's"
        owner = token
        lines.setdefault(token, {})[number] = event["event"]
        if event["event"] == "note":
            if event["num_parameters"] <= step:
                yield f"line {number}: step {event['num_parameters']} after step {step}"
            step = event["num_parameters"]


def main() -> int:
    if sys.argv[1:2] == ["child"]:
        folder, number, seed, run_dir, descriptor = sys.argv[2:]
        child(Path(folder), int(number), int(seed), Path(run_dir), int(descriptor))
        return 0
    if sys.argv[1:2] == ["contender"]:
        folder, number, seed = sys.argv[2:]
        contender = Contender(Path(folder), int(number), int(seed))
        contender.watch()
        contender.work()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/contend"))
    parser.add_argument("--transitions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    figures = contend(args.folder.absolute(), args.transitions, args.seed)
    for name, value in figures.items():
        print(f"{name}: {value}")
    return int(bool(figures["broken"]))


if __name__ == "__main__":
    sys.exit(main())
