"""How far a run is, told through a pipe; one that hangs is named, and ended where that is asked for."""

import os
import signal
import subprocess
import sys
import time

import pytest

from seqlab.run import start as starts
from seqlab.run.folder import RunFolder
from seqlab.run.progress import Place, ProgressReceiver, ProgressSender
from seqlab.run.start import Start
from seqlab.run.supervisor import open_attempt
from tests.command import train_in_this_process
from tests.conftest import small


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_a_listener_hears_the_last_word_and_how_long_ago_it_was():
    clock = Clock()
    with ProgressReceiver(clock) as receiver:
        sender = ProgressSender(os.dup(receiver.writing))
        assert not receiver.receive() and receiver.place == Place("starting")
        clock.seconds = 7.0
        assert receiver.silence == 7.0
        sender.send("reading its data")
        sender.send("training", 1, 100)
        assert receiver.receive() and receiver.silence == 0.0
        assert str(receiver.place) == "training, step 1 of 100"
        clock.seconds = 9.0
        assert not receiver.receive() and receiver.silence == 2.0


def test_within_a_stage_it_is_told_at_most_once_a_second(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("seqlab.run.progress.time.monotonic", clock)
    with ProgressReceiver() as receiver:
        sender = ProgressSender(os.dup(receiver.writing))
        for step in range(1000):
            sender.send("training", step)
        assert receiver.receive() and receiver.place.step == 0
        clock.seconds = 1.5
        sender.send("training", 1000)
        assert receiver.receive() and receiver.place.step == 1000


def test_a_word_that_is_read_in_two_parts_is_heard_once_it_is_whole():
    with ProgressReceiver() as receiver:
        os.write(receiver.writing, b'["training", 1')
        assert not receiver.receive()
        os.write(receiver.writing, b'2, null]\n["eval')
        assert receiver.receive() and receiver.place == Place("training", 12)


def test_a_run_does_not_wait_for_whoever_listens():
    with ProgressReceiver() as receiver:
        sender = ProgressSender(os.dup(receiver.writing))
        for number in range(20_000):  # more than a pipe holds
            sender.send(f"stage {number}")
        descriptor = os.dup(receiver.writing)
    sender = ProgressSender(descriptor)
    sender.send("training")  # nobody is there any more
    ProgressSender().send("training")


def test_a_run_tells_its_stages_and_its_steps(tmp_path, text_file):
    told = []

    class Heard(ProgressSender):
        def send(self, *place):
            told.append(place)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seqlab.run.training_process.ProgressSender", Heard)
        assert train_in_this_process(tmp_path, *small(text_file, "trainer.max_steps=12", "logger=none")) == 0
    stages = list(dict.fromkeys(stage for stage, *_ in told))
    assert stages == ["reading its data", "building its model", "training", "evaluating", "ending"]
    assert [step for stage, *step in told if stage == "training"] == [[step, 12] for step in range(1, 13)]


@pytest.fixture
def attempt(tmp_path):
    with open_attempt(tmp_path / "run", {"seed": 1}, []) as attempt:
        yield attempt


@pytest.fixture
def start(monkeypatch):
    """Runs of a program that is given, which are looked at often."""
    monkeypatch.setattr(starts, "_POLL_SECONDS", 0.02)
    monkeypatch.setattr(starts, "_ABORT_SECONDS", 0.3)

    def of(program: str, **how) -> Start:
        def run(arguments, server, **options):
            descriptor = arguments[arguments.index("--progress") + 1]
            return subprocess.Popen([sys.executable, "-c", program, descriptor], **options)

        monkeypatch.setattr(starts, "RunProcess", run)
        return Start(**how)

    return of


def tells(*steps: int, before: float = 0.0, after: float = 0.1) -> str:
    """A program that tells of these steps, with so many seconds before and after each."""
    word = "os.write(int(sys.argv[1]), b'[\"training\", %d, 12]\\n' % step)"
    lines = ["import os, sys, time", f"for step in {steps}:", f"    time.sleep({before})", f"    {word}"]
    return "\n".join([*lines, f"    time.sleep({after})"])


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_run_that_hangs_is_ended_as_failed(attempt, start, capfd, stubborn):
    ignore = (
        "import signal; signal.signal(signal.SIGABRT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    )
    began = time.monotonic()
    assert start(f"{ignore if stubborn else ''}\nimport time; time.sleep(60)", job_timeout=0.5).carry_out(attempt) == 1
    assert time.monotonic() - began < 20
    state = RunFolder(attempt.run_dir).state()
    assert state.status == "failed" and "no progress for " in state.record["error"]
    assert "launcher.job_timeout ended the run" in capfd.readouterr().err


def test_a_run_that_comes_further_is_not_ended_however_long_it_takes(attempt, start):
    def program_ends(code, timeout=None):
        assert timeout is None
        return code

    attempt.note_end = program_ends
    assert start(tells(*range(12)), job_timeout=0.8).carry_out(attempt) == 0


def test_one_that_could_not_go_on_for_it_hung_is_what_it_was(tmp_path, start):
    config = {"seed": 1}
    with open_attempt(tmp_path, config, []) as attempt:
        attempt.claim.interrupt("stopped")
    with open_attempt(tmp_path, config, []) as attempt:
        assert start("import time; time.sleep(60)", job_timeout=0.3).carry_out(attempt) == 1
    assert RunFolder(tmp_path).state().status == "interrupted"


def test_a_run_without_progress_is_named_once_and_again_after_the_next_progress(attempt, start, monkeypatch, capfd):
    monkeypatch.setattr(starts, "SILENCE", 0.3)
    program = tells(5, before=1.0, after=1.0)
    start(program).carry_out(attempt)
    lines = [line for line in capfd.readouterr().err.splitlines() if "no progress" in line]
    assert len(lines) == 2 and "(starting)" in lines[0] and "(training, step 5 of 12)" in lines[1]
    assert all(line.startswith(f"seqlab: {attempt.run_dir}: ") and "launcher.job_timeout" in line for line in lines)


def test_whoever_waits_is_told_of_progress_and_of_silence(attempt, start, monkeypatch):
    monkeypatch.setattr(starts, "SILENCE", 0.3)
    monkeypatch.setattr(starts, "_PROGRESS_SECONDS", 0.0)
    places, silences = [], []
    how = {"on_progress": places.append, "on_silence": lambda place, seconds: silences.append((place, seconds))}
    start(tells(3, 11, after=1.0), **how).carry_out(attempt)
    assert places[-1] == Place("training", 11, 12)
    assert silences[-1][0] == Place("training", 11, 12) and silences[-1][1] > 0.3


def test_a_second_request_kills_a_run_that_does_not_heed_the_first(attempt, start, monkeypatch):
    monkeypatch.setattr(starts, "_PROGRESS_SECONDS", 0.0)
    begun: list[Place] = []
    ignore = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
    how = {"on_progress": begun.append, "give_up": lambda: begun and signal.raise_signal(signal.SIGINT)}
    assert start(f"{ignore}\n{tells(1, after=60.0)}", to_file=True, **how).carry_out(attempt) == 1
    record = RunFolder(attempt.run_dir).state().record
    assert record["status"] == "interrupted" and "SIGKILL ended the run" in record["error"]
