"""A run that is asked to stop saves first, and goes on as if nothing had been: wherever the request finds it."""

import contextlib
import signal

import pytest
import torch

from seqlab.callbacks import ShowExamples
from seqlab.commands.resume import resume
from seqlab.run import training
from seqlab.run.checkpoints import find_resumption
from seqlab.run.folder import RunFolder
from seqlab.run.record import RecordFile, read_record
from seqlab.run.signals import STOPPING, SignalForwarding, Stopped, StopRequest, forward_signals, stop_requests
from seqlab.tasks import LanguageModelTask
from tests.run import test_exact_resume as exact_resume
from tests.run.test_exact_resume import SETTINGS, assert_the_same_end, carry_out, curves, overrides_of, untrained

alone, text_file = exact_resume.alone, exact_resume.text_file  # fixtures


def ask(monkeypatch, stop, method, batch, call=1, draws=True):
    """Has ``stop`` hear a signal in the ``call``-th call of a method of the task for batch ``batch``."""
    original, calls = getattr(LanguageModelTask, method), []

    def asked(self, window, batch_idx):
        if batch_idx == batch:
            calls.append(batch)
            if len(calls) == call:
                stop.handle(signal.SIGTERM, None)
                if method == "validation_step" and draws:
                    torch.rand(5)  # what a validation draws, the one that is repeated draws again
        return original(self, window, batch_idx)

    monkeypatch.setattr(LanguageModelTask, method, asked)


# Epochs of 40 windows. "accumulated" steps every three windows and validates every seven.
@pytest.mark.parametrize(
    ("name", "method", "batch", "call"),
    [
        ("cosine", "training_step", 15, 1),
        ("cosine", "training_step", 39, 1),  # the last window of an epoch, where it is validated
        ("cosine", "validation_step", 1, 1),
        ("cosine", "validation_step", 1, 2),  # the last validation of all
        ("plateau", "training_step", 8, 1),
        ("plateau", "validation_step", 2, 3),
        ("accumulated", "training_step", 12, 1),  # the first of three windows
        ("accumulated", "training_step", 16, 2),
        ("accumulated", "training_step", 6, 1),
        ("accumulated", "validation_step", 0, 2),
        ("accumulated", "validation_step", 2, 4),
    ],
)
def test_stopped_and_resumed(tmp_path, alone, text_file, monkeypatch, name, method, batch, call):
    overrides, stop = overrides_of(text_file, *SETTINGS[name]), StopRequest()
    with monkeypatch.context() as patch:
        ask(patch, stop, method, batch, call)
        seen = []
        step = LanguageModelTask.training_step
        patch.setattr(LanguageModelTask, "training_step", lambda *call: seen.append(0) or step(*call))
        with pytest.raises(Stopped):
            carry_out(tmp_path, overrides, stop=stop)
    position = find_resumption(tmp_path).checkpoint["run"]["position"]
    assert position == len(seen)  # not a window is lost
    torch.rand(7)
    carry_out(tmp_path, overrides, resume=True)
    assert_the_same_end(alone / name, tmp_path)
    assert curves(tmp_path) == curves(alone / name)


def test_stopped_at_each_window_of_two_accumulations_and_a_validation(tmp_path, alone, text_file, monkeypatch):
    overrides = overrides_of(text_file, *SETTINGS["accumulated"])
    for number, batch in enumerate(range(3, 10)):
        stop = StopRequest()
        with monkeypatch.context() as patch:
            ask(patch, stop, "training_step", batch)
            with pytest.raises(Stopped):
                carry_out(tmp_path, overrides, resume=number > 0, stop=stop)
    carry_out(tmp_path, overrides, resume=True)
    assert_the_same_end(alone / "accumulated", tmp_path)
    assert curves(tmp_path) == curves(alone / "accumulated")


@pytest.mark.parametrize(("batches", "windows", "epochs"), [(1.0, 40, 3), (1, 1, 6), (3, 3, 6)])
def test_at_the_ends_of_epochs_without_validation(tmp_path, text_file, monkeypatch, batches, windows, epochs):
    limits = (f"trainer.limit_train_batches={batches}", f"trainer.max_epochs={epochs}")
    seldom = ("trainer.check_val_every_n_epoch=3", *limits)
    overrides = [text for text in overrides_of(text_file, *seldom) if text != "trainer.max_epochs=2"]
    carry_out(tmp_path / "alone", overrides)
    for number in range(epochs - 1):
        stop = StopRequest()
        with monkeypatch.context() as patch:
            ask(patch, stop, "training_step", windows - 1)
            with pytest.raises(Stopped):
                carry_out(tmp_path / "run", overrides, resume=number > 0, stop=stop)
        assert find_resumption(tmp_path / "run").checkpoint["run"]["position"] == windows * (number + 1)
    carry_out(tmp_path / "run", overrides, resume=True)
    assert_the_same_end(tmp_path / "alone", tmp_path / "run")
    assert curves(tmp_path / "run") == curves(tmp_path / "alone")


def test_after_the_last_step_the_validation_is_finished_first(tmp_path, text_file, monkeypatch):
    overrides, stop = overrides_of(text_file, "trainer.max_steps=25", "logger=none"), StopRequest()
    carry_out(tmp_path / "alone", overrides)
    with monkeypatch.context() as patch:
        ask(patch, stop, "validation_step", 0, draws=False)
        with pytest.raises(Stopped):
            carry_out(tmp_path / "run", overrides, stop=stop)
    with monkeypatch.context() as patch:
        patch.setattr(LanguageModelTask, "training_step", untrained)
        carry_out(tmp_path / "run", overrides, resume=True)
    assert_the_same_end(tmp_path / "alone", tmp_path / "run")


@pytest.mark.parametrize("place", ["prepare_data", "save", "test_step"])
def test_stopped_outside_training(tmp_path, alone, text_file, monkeypatch, place):
    overrides, stop = overrides_of(text_file, *SETTINGS["rising"]), StopRequest()

    def asking(original):
        def asked(*arguments, **options):
            stop.handle(signal.SIGINT, None)
            return original(*arguments, **options)

        return asked

    owner, name = {
        "prepare_data": (training.build, "build_model"),
        "save": (torch, "save"),
        "test_step": (LanguageModelTask, "test_step"),
    }[place]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, asking(getattr(owner, name)))
        with pytest.raises(Stopped):
            carry_out(tmp_path, overrides, stop=stop)
    step = find_resumption(tmp_path).step
    assert step == {"prepare_data": 0, "save": 9, "test_step": 80}[place]
    carry_out(tmp_path, overrides, resume=True)
    assert_the_same_end(alone / "rising", tmp_path)


def test_a_request_while_the_run_completes_is_too_late(tmp_path, text_file, monkeypatch):
    stop, log = StopRequest(), training.log_results
    monkeypatch.setattr(
        training, "log_results", lambda *arguments: stop.handle(signal.SIGTERM, None) or log(*arguments)
    )
    carry_out(tmp_path, overrides_of(text_file, "trainer.max_steps=3"), stop=stop)
    assert read_record(tmp_path)["status"] == "completed"


def test_what_a_validation_draws_does_not_count_twice(tmp_path, text_file, monkeypatch):
    drawing = ShowExamples.on_validation_end

    def draw(self, *arguments):
        torch.rand(3)
        drawing(self, *arguments)

    monkeypatch.setattr(ShowExamples, "on_validation_end", draw)
    monkeypatch.setattr(ShowExamples, "on_validation_start", lambda self, *arguments: torch.rand(4), raising=False)
    overrides, stop = overrides_of(text_file, "model.dropout=0.5", "trainer.val_check_interval=15"), StopRequest()
    carry_out(tmp_path / "alone", overrides)
    with monkeypatch.context() as patch:
        ask(patch, stop, "validation_step", 2, call=2)
        with pytest.raises(Stopped):
            carry_out(tmp_path / "run", overrides, stop=stop)
    carry_out(tmp_path / "run", overrides, resume=True)
    assert_the_same_end(tmp_path / "alone", tmp_path / "run")


def test_a_validation_of_averaged_weights_is_finished_first(tmp_path, text_file, monkeypatch):
    average = "+callbacks.average={_target_: lightning.pytorch.callbacks.EMAWeightAveraging, decay: 0.9}"
    overrides = overrides_of(text_file, average, "trainer.limit_train_batches=8", "trainer.val_check_interval=4")
    stop = StopRequest()
    carry_out(tmp_path / "alone", overrides)
    with monkeypatch.context() as patch:
        ask(patch, stop, "validation_step", 1, call=1, draws=False)
        with pytest.raises(Stopped):
            carry_out(tmp_path / "run", overrides, stop=stop)
    assert find_resumption(tmp_path / "run").step == 4
    carry_out(tmp_path / "run", overrides, resume=True)
    assert_the_same_end(tmp_path / "alone", tmp_path / "run")


def test_a_request_is_kept_where_it_can_be_lost_and_raised_once():
    with stop_requests() as stop:
        with pytest.raises(Stopped, match="SIGUSR1"), stop.deferred():
            for signum in STOPPING[::-1]:
                signal.raise_signal(signum)
            stop.signum = signal.SIGUSR1
        signal.raise_signal(signal.SIGTERM)  # a second one finds the process ending
    with stop_requests() as stop:
        with pytest.raises(Stopped, match="SIGHUP"):
            signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGINT)


def test_handlers_are_put_back_and_a_hang_up_that_is_ignored_stays_so():
    earlier = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    before = [signal.getsignal(signum) for signum in STOPPING]
    try:
        with stop_requests() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert stop.signum is None
        assert [signal.getsignal(signum) for signum in STOPPING] == before
    finally:
        signal.signal(signal.SIGHUP, earlier)


def test_a_supervisor_asks_once_and_ends_at_the_second_request(monkeypatch):
    now, calls = [0.0], []
    monkeypatch.setattr("seqlab.run.signals.time.monotonic", lambda: now[0])
    with forward_signals(calls.append, lambda: calls.append("end")):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # of a wrapper that passes the terminal's on
        now[0] = 0.5
        signal.raise_signal(signal.SIGHUP)  # the shell and the kernel both send it
        assert calls == [signal.SIGINT]
        signal.raise_signal(signal.SIGTERM)
    assert calls == [signal.SIGINT, "end"]


def test_the_handler_that_a_requeuing_launcher_had_set_is_called_after_the_run():
    called = []
    earlier = signal.signal(signal.SIGUSR2, lambda *arguments: called.append("requeued"))
    try:
        with forward_signals(called.append, lambda: None) as forwarding:
            signal.raise_signal(signal.SIGUSR2)
        forwarding.call_earlier_handler()
    finally:
        signal.signal(signal.SIGUSR2, earlier)
    assert called == [signal.SIGUSR2, "requeued"]
    SignalForwarding(print, print).call_earlier_handler()  # no signal came


def test_signals_are_left_alone_in_other_threads():
    import threading

    found = []

    def elsewhere():
        with contextlib.suppress(ValueError), stop_requests() as stop:
            found.append(stop.signum)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [None]


def test_a_command_that_was_stopped_comes_to_its_end_however_often_it_is_asked():
    before = {signum: signal.getsignal(signum) for signum in STOPPING}
    try:
        with forward_signals(lambda signum: None, lambda: None) as forwarding:
            pass
        forwarding.ignore_further_signals()
        assert signal.getsignal(signal.SIGINT) == before[signal.SIGINT]  # nobody asked
        with forward_signals(lambda signum: None, lambda: None) as forwarding:
            signal.raise_signal(signal.SIGINT)
        forwarding.ignore_further_signals()
        for signum in STOPPING:
            signal.raise_signal(signum)
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def test_a_run_killed_between_its_completion_and_its_record_is_shown_as_complete(tmp_path, monkeypatch):
    with RunFolder(tmp_path).claim() as claim:
        claim.begin({"seed": 1}, [])
        with monkeypatch.context() as patch:
            patch.setattr(RecordFile, "write", lambda self, record: None)
            claim.complete({"val/loss": 1.0})
    assert '"status": "running"' in (tmp_path / "run.json").read_text()
    assert resume(tmp_path, [], []) == 0
    assert '"status": "completed"' in (tmp_path / "run.json").read_text()
