"""A command that is asked to stop twice: a wrapper's repetition is no second request, and no note is cut short."""

import os
import signal

import pytest

from seqlab.commands.carry_out import carry_out
from seqlab.run.folder import RunFolder
from seqlab.run.start import Start
from seqlab.run.supervisor import Attempt
from seqlab.sweep.callback import stop_signals
from seqlab.sweep.sweep import StopSweep
from tests.run.owners import CONFIG


def test_a_request_that_comes_twice_at_once_is_one_and_a_later_one_ends_the_process(monkeypatch):
    now, ended = [5.0], []
    monkeypatch.setattr("seqlab.sweep.callback.time.monotonic", lambda: now[0])
    with stop_signals(lambda: False):
        with pytest.raises(StopSweep):
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) != signal.SIG_DFL  # which would end this process
        os.kill(os.getpid(), signal.SIGINT)
        now[0] = 5.5
        monkeypatch.setattr(signal, "raise_signal", lambda number: ended.append((number, signal.getsignal(number))))
        os.kill(os.getpid(), signal.SIGTERM)
    assert ended == [(signal.SIGTERM, signal.SIG_DFL)]


def test_one_that_comes_while_a_stop_is_noted_does_not_cut_the_note_short(tmp_path, monkeypatch, capfd):
    note_stop = Attempt.note_stop

    def interrupted(attempt):
        os.kill(os.getpid(), signal.SIGINT)
        note_stop(attempt)

    def stopped(start, attempt):
        raise KeyboardInterrupt

    monkeypatch.setattr(Attempt, "note_stop", interrupted)
    monkeypatch.setattr(Start, "carry_out", stopped)
    with pytest.raises(KeyboardInterrupt):
        carry_out(tmp_path, CONFIG, [], Start())
    state = RunFolder(tmp_path).state()
    assert (state.status, state.record["error"]) == ("interrupted", "stopped before its process started")
    assert "seqlab resume" in capfd.readouterr().err
