"""What a command does with a run: begins it, goes on with it, replaces it or refuses; and how its end is noted."""

import contextlib
import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from seqlab.errors import InputError
from seqlab.run import process_end
from seqlab.run.claim import Claim
from seqlab.run.folder import RunFolder
from seqlab.run.layout import REPLACEMENT
from seqlab.run.ownership import AtWorkError
from seqlab.run.start import Start
from seqlab.run.supervisor import Attempt, open_attempt
from tests.command import environment, forked, seqlab
from tests.run.owners import CONFIG, owner_process, taken_by_another

OTHER = {**CONFIG, "seed": 2}


@pytest.fixture
def run(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def attempt(run: RunFolder, config=CONFIG, **options) -> Attempt:
    return open_attempt(run.path, config, [], **options)


def train(claim: Claim, content: str = "weights") -> None:
    """What a run's process leaves behind in the middle of training."""
    claim.note(trains=True)
    (claim.run_dir / "checkpoints").mkdir(exist_ok=True)
    for name in ("last.ckpt", "best.ckpt"):
        (claim.run_dir / "checkpoints" / name).write_text(content)


def interrupted(run: RunFolder, config=CONFIG, **options) -> None:
    """A run with a checkpoint that was interrupted, with a file of the user's beside."""
    with attempt(run, config, **options) as made:
        train(made.claim, f"seed {config['seed']}")
        made.claim.interrupt("told to stop")
    (run.path / "notes.txt").write_text("mine")


def completed(run: RunFolder, config=CONFIG, **options) -> None:
    with attempt(run, config, **options) as made:
        train(made.claim, f"seed {config['seed']}")
        made.claim.complete({"val/loss": float(config["seed"])}, "checkpoints/best.ckpt")
        assert made.note_end(0) == 0
    (run.path / "notes.txt").write_text("mine")


def weights(run: RunFolder) -> str:
    return (run.checkpoints / "last.ckpt").read_text()


# How it begins


def test_of_many_at_the_same_time_one_begins(tmp_path):
    program = (
        "import os, sys, time; from pathlib import Path\n"
        "from seqlab.run.ownership import AtWorkError\nfrom seqlab.run.supervisor import open_attempt\n"
        "while not os.path.exists(sys.argv[2]): time.sleep(0.001)\n"
        "try: attempt = open_attempt(Path(sys.argv[1]), {'seed': 1}, [])\n"
        "except AtWorkError: print('refused', flush=True)\n"
        "else: print('claimed', flush=True)\n"
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "run"), str(tmp_path / "go")]
    with contextlib.ExitStack() as stack:
        others = [
            stack.enter_context(
                subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(4)
        ]
        time.sleep(1.0)
        (tmp_path / "go").touch()
        said = [other.stdout.readline().strip() for other in others]
        for other in others:
            other.stdin.close()
    assert sorted(said) == ["claimed"] + 3 * ["refused"]


def test_an_interrupted_run_goes_on_with_the_same_command(run):
    interrupted(run)
    with attempt(run, {**CONFIG, "trainer": {"devices": 2}}) as made:
        assert made.is_resumed and made.claim.status == "running"
        assert made.claim.fields["resumes"] == 1 and made.claim.fields["config"]["trainer"] == {"devices": 2}
    assert weights(run) == "seed 1"


def test_a_failed_run_that_is_the_same_goes_on_from_its_checkpoint(run):
    with attempt(run) as made:
        train(made.claim)
        made.claim.fail("a passing I/O error")
    with attempt(run) as made:
        assert made.is_resumed and weights(run) == "weights"


@pytest.mark.parametrize("end", ["fail", "interrupt"])
def test_without_a_checkpoint_its_steps_are_logged_again(run, end):
    with attempt(run) as made:
        for name in ("events.out.tfevents.1.host.1.0", "notes.txt"):
            (run.path / name).touch()
        getattr(made.claim, end)("x")
    with attempt(run) as made:
        assert made.is_resumed == (end == "interrupt")
        assert made.claim.fields["resumes"] == int(end == "interrupt")
    assert sorted(path.name for path in run.path.iterdir()) == ["events.jsonl", "notes.txt", "run.json"]


def test_with_a_checkpoint_what_was_logged_stays(run):
    interrupted(run)
    (run.path / "events.out.tfevents.1").touch()
    attempt(run).release()
    assert (run.path / "events.out.tfevents.1").exists()


@pytest.mark.parametrize("end", ["fail", "interrupt", "prune"])
def test_another_run_that_left_no_checkpoint_makes_way(run, end):
    with attempt(run, OTHER) as made:
        getattr(made.claim, end)("x")
    with attempt(run) as made:
        assert not made.is_resumed and made.claim.fields["config"] == CONFIG
        assert len(made.claim.fields["attempts"]) == 2


def test_without_a_checkpoint_a_run_whose_code_has_changed_begins_anew(run, tmp_path, capfd):
    cells = tmp_path / "cells.py"
    cells.write_text("one")
    for go_on in (False, True, False):
        with attempt(run) as made:
            assert made.is_resumed is go_on
            sha256 = hashlib.sha256(cells.read_bytes()).hexdigest()
            made.claim.note(code={"hash": "x", "files": [{"module": "cells", "path": str(cells), "sha256": sha256}]})
            made.claim.interrupt("stopped before the first checkpoint")
        if go_on:
            cells.write_text("two")
    assert "cells.py has changed; the run left no checkpoint" in capfd.readouterr().err


@pytest.mark.parametrize("end", ["fail", "interrupt", "prune"])
def test_another_run_that_can_go_on_is_refused_with_what_differs(run, end):
    with attempt(run, OTHER) as made:
        train(made.claim)
        getattr(made.claim, end)("x")
    before = run.events_path.read_bytes()
    with pytest.raises(InputError, match=r"holds another run, .*which differs in seed \(2, 1\).*overwrite=true"):
        attempt(run)
    assert run.events_path.read_bytes() == before and weights(run) == "weights"


def test_the_copies_of_the_code_are_named_where_there_are_any_and_the_code_is_what_differs(run, tmp_path):
    cells, text = tmp_path / "cells.py", tmp_path / "text.txt"
    cells.write_text("one"), text.write_text("one")
    of_cells, of_text = (
        {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()} for path in (cells, text)
    )
    with attempt(run) as made:
        made.claim.note(code={"hash": "x", "files": []}, data_files=[{**of_text, "size": 3, "key": None}])
        train(made.claim)
        made.claim.interrupt("x")
    text.write_text("two")
    with pytest.raises(InputError, match=r"text\.txt has changed; restore it to continue"):
        attempt(run)
    text.write_text("one")
    with attempt(run) as made:
        made.claim.note(code={"hash": "x", "files": [{"module": "cells", **of_cells}]})
        made.claim.interrupt("x")
    (run.path / "code").mkdir()
    cells.write_text("two")
    with pytest.raises(
        InputError, match=r"cells\.py has changed; restore it \(copies of the code are in .*code\) to continue"
    ):
        attempt(run)


@pytest.mark.parametrize("config", [CONFIG, OTHER])
def test_a_completed_run_is_refused_and_stays(run, config):
    completed(run)
    (run.path / "events.out.tfevents.0.seqlab").touch()
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    which = "this same run" if config is CONFIG else "another run"
    with pytest.raises(InputError, match=rf"holds {which}, completed: .*overwrite=true"):
        attempt(run, config)
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_a_completed_run_of_other_data_or_code_is_not_taken_for_the_same(run, tmp_path):
    cells, text = tmp_path / "cells.py", tmp_path / "text.txt"
    cells.write_text("one"), text.write_text("one")
    of_cells, of_text = (
        {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()} for path in (cells, text)
    )
    with attempt(run) as made:
        made.claim.note(
            code={"hash": "x", "files": [{"module": "cells", **of_cells}]},
            data_files=[{**of_text, "size": 3, "key": None}],
        )
        train(made.claim)
        made.claim.complete({"val/loss": 1.0}, "checkpoints/best.ckpt")
    for path in (cells, text):
        with pytest.raises(InputError, match="holds this same run, completed"):
            attempt(run)
        path.write_text("two")
        with pytest.raises(InputError, match=rf"a run of other data or code \(.*{path.name} has changed\), completed"):
            attempt(run)
        path.write_text("one")


@pytest.mark.parametrize(
    "name",
    ["checkpoints/last.ckpt", "tokenizer.json", "target/tokenizer.json", "code/cells.py", "events.out.tfevents.1"],
)
def test_files_of_nobody_knows_which_run_are_not_written_over(run, name):
    path = run.path / name
    path.parent.mkdir(parents=True)
    path.write_text("whose?")
    (run.path / "output.log").write_text("of the shell that started this")
    for _ in range(2):
        named = name.partition("/")[0] if name.startswith("code") else name
        with pytest.raises(InputError, match=rf"holds {named}, which .* no events\.jsonl .* another folder"):
            attempt(run)
    assert path.read_text() == "whose?"
    with attempt(RunFolder(run.path / "beside")) as made:
        assert made.claim.status == "running"


def test_what_is_at_work_is_left_alone(run):
    with owner_process(run.path) as other, pytest.raises(AtWorkError, match=f"process {other.pid} on"):
        attempt(run)


# What cannot start


def test_an_attempt_that_cannot_start_leaves_an_interrupted_run_as_it_was_and_the_next_goes_on(run):
    interrupted(run)
    before = run.state()
    with attempt(run) as made:
        made.claim.withdraw("InputError: data.path=/mnt/data: no such file")  # the run's process: it is not mounted
        assert made.note_end(2) == 2
    state = run.state()
    assert (state.status, state.record["error"], state.record["resumes"]) == ("interrupted", "told to stop", 0)
    assert {**state.record, "attempts": None} == {**before.record, "attempts": None}
    assert weights(run) == "seed 1" and "no such file" in state.record["attempts"][-1]["withdrawn"]
    with attempt(run) as made:
        assert made.is_resumed and made.claim.fields["resumes"] == 1


@pytest.mark.parametrize("had_begun", [True, False])
def test_a_process_that_the_system_cannot_start_is_noted(run, monkeypatch, had_begun):
    def no_memory(*_, **__):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    if had_begun:
        interrupted(run)
    monkeypatch.setattr(subprocess, "Popen", no_memory)
    with attempt(run) as made, pytest.raises(OSError, match="Cannot allocate memory"):
        Start().carry_out(made)
    assert run.state().status == ("interrupted" if had_begun else "failed")


# How it ends


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        (0, "failed", "the run's process ended with exit code 0, before the run was complete"),
        (3, "failed", "the run's process ended with exit code 3, before the run was complete"),
        (75, "interrupted", "the run was interrupted, and the disk was too full to note why"),
        (-signal.SIGKILL, "interrupted", "SIGKILL ended the run; the kernel does that when memory runs out"),
        (-signal.SIGTERM, "interrupted", "SIGTERM ended the run"),
        (-40, "interrupted", "signal 40 ended the run"),
        (-signal.SIGSEGV, "failed", "SIGSEGV ended the run"),
        (-signal.SIGABRT, "failed", "SIGABRT ended the run"),
    ],
)
def test_a_process_that_noted_no_end_did_not_complete(run, code, status, error):
    with attempt(run) as made:
        assert made.note_end(code) == 1
    state = run.state()
    assert (state.status, state.record["error"]) == (status, error)


def test_what_the_process_noted_itself_stands(tmp_path, capfd):
    run = RunFolder(tmp_path / "one")
    with attempt(run) as made:
        made.claim.complete({"val/loss": 1.0})
        assert made.note_end(-signal.SIGABRT) == 0
    assert "SIGABRT ended the run's process after the run was complete" in capfd.readouterr().err
    assert run.state().status == "completed"
    run = RunFolder(tmp_path / "two")
    with attempt(run) as made:
        made.claim.fail("wrong input")
        assert made.note_end(2) == 2
    assert run.state().record["error"] == "wrong input"


def test_a_stack_of_a_crash_is_in_the_error_once(run):
    with attempt(run) as made:
        others = "".join(f'Thread {number} (most recent call first):\n  File "b.py"\n\n' for number in range(30))
        crashed = 'Current thread 1 (most recent call first):\n  File "cells.py", line 3 in pointwise\n\n'
        text = f"Fatal Python error: Segmentation fault\n\n{others}{crashed}Extension modules: numpy (total: 1)\n"
        (run.path / ".crash.txt").write_text(text)
        made.note_end(-signal.SIGSEGV)
    assert run.state().record["error"].splitlines() == [
        "Fatal Python error: Segmentation fault",
        "Current thread 1 (most recent call first):",
        '  File "cells.py", line 3 in pointwise',
        "SIGSEGV ended the run",
    ]
    assert not (run.path / ".crash.txt").exists()


def test_a_run_that_is_killed_over_the_error_of_a_worker_has_failed_with_it(run):
    with attempt(run) as made:
        made.claim.report_worker("RuntimeError: the second device alone")
        assert made.note_end(-signal.SIGKILL) == 1
    state = run.state()
    assert (state.status, state.record["error"]) == ("failed", "RuntimeError: the second device alone")


def test_an_end_is_not_noted_in_a_run_that_another_has_taken(run, capfd):
    with attempt(run) as made:
        before = run.events_path.read_bytes()
        taken_by_another(run.path)
        assert made.note_end(-signal.SIGKILL) == 1
    assert run.events_path.read_bytes() == before
    assert "another process has taken this run" in capfd.readouterr().err


def test_a_run_whose_supervisor_was_killed_while_it_imported_ends_before_it_trains(run):
    """Linux tells a process of its parent's end, but not where the parent had ended before the process asked for it."""
    with subprocess.Popen(["true"]) as supervisor:
        supervisor.wait()
    with attempt(run):
        before = sorted(run.path.iterdir())
        with forked("train", str(run.path), "--supervisor", str(supervisor.pid), folder=run.path.parent) as process:
            _, err = process.communicate(60)
        assert process.returncode == 1 and err == "seqlab: the process that started this run is gone\n"
        assert sorted(run.path.iterdir()) == before


def test_the_run_of_a_supervisor_that_is_killed_while_its_child_trains_stays_the_childs(run):
    """The child is told and ends; until then nobody else may begin."""
    program = """
import subprocess, sys
from pathlib import Path
from seqlab.run.supervisor import open_attempt
attempt = open_attempt(Path(sys.argv[1]), {"seed": 1, "model": {"num_layers": 2}}, [])
descriptor = attempt.claim.fileno()
child = '''
import sys
from seqlab.run.claim import Claim
claim = Claim.inherit(sys.argv[1], int(sys.argv[2]))
print("trains", flush=True)
sys.stdin.read()
claim.interrupt("told to stop")
'''
command = [sys.executable, "-c", child, sys.argv[1], str(descriptor)]
subprocess.run(command, pass_fds=[descriptor])
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(run.path)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stdout.readline() == "trains\n"
        os.kill(command.pid, signal.SIGKILL)
        with pytest.raises(AtWorkError):
            attempt(run)
        assert run.state().status == "running"
        command.stdin.close()
        until = time.monotonic() + 10
        while run.state().status == "running":
            assert time.monotonic() < until
            time.sleep(0.01)
    assert run.state().record["error"] == "told to stop"
    with attempt(run) as made:
        assert made.is_resumed


# Replaced


def test_a_completed_run_stays_until_the_one_that_replaces_it_completes(run):
    completed(run)
    with attempt(run, OTHER, overwrite=True) as made:
        assert made.claim.run_dir == run.replacement.path and not made.is_resumed
        train(made.claim, "seed 2")
        with pytest.raises(AtWorkError):  # both are claimed
            attempt(run, overwrite=True)
        assert run.state().record["metrics"] == {"val/loss": 1.0} and weights(run) == "seed 1"
        made.claim.complete({"val/loss": 2.0})
        assert made.note_end(0) == 0
    state = run.state()
    assert (state.status, state.record["metrics"], weights(run)) == ("completed", {"val/loss": 2.0}, "seed 2")
    assert (run.path / "notes.txt").read_text() == "mine"
    assert not list(run.path.glob(".*"))


@pytest.mark.parametrize("end", ["interrupt", "fail", "killed"])
def test_an_attempt_to_replace_that_ends_early_leaves_the_old_result_and_the_next_goes_on(run, end):
    completed(run)
    with attempt(run, OTHER, overwrite=True) as made:
        train(made.claim, "half of seed 2")
        if end == "killed":
            made.note_end(-signal.SIGKILL)
        else:
            getattr(made.claim, end)("x")
    assert run.state().record["metrics"] == {"val/loss": 1.0} and weights(run) == "seed 1"
    with pytest.raises(InputError, match="another run, completed"):
        attempt(run, OTHER)
    with attempt(run, OTHER, overwrite=True) as made:
        assert made.is_resumed and weights(run.replacement) == "half of seed 2"
        made.claim.complete({"val/loss": 2.0})
        made.note_end(0)
    assert weights(run) == "half of seed 2" and run.state().record["resumes"] == 1


def test_an_interrupted_run_is_replaced_on_request_and_stays_until_then(run):
    interrupted(run, OTHER)
    with attempt(run, overwrite=True) as made:
        train(made.claim, "new")
        made.claim.interrupt("told to stop")
    assert weights(run) == "seed 2"
    with attempt(run, OTHER) as made:  # it can still go on
        assert made.is_resumed and made.replaced is None


@pytest.mark.parametrize("end", ["fail", "interrupt", "prune"])
def test_a_replacement_that_stops_early_is_named(run, capfd, end):
    completed(run)
    with attempt(run, OTHER, overwrite=True) as made:
        getattr(made.claim, end)("x")
    status = {"fail": "failed", "interrupt": "was interrupted", "prune": "was pruned"}[end]
    err = capfd.readouterr().err
    assert f"the run in {run.path} is unchanged" in err and err.count("\n") == 1
    assert f"{status} and stays in {run.replacement.path}" in err and "remove that folder" in err


def test_a_replacement_that_completes_and_a_run_in_its_own_place_are_not(run, capfd):
    with attempt(run) as made:
        made.claim.interrupt("x")
    with attempt(run) as made:
        made.claim.complete({"val/loss": 1.0})
    with attempt(run, OTHER, overwrite=True) as made:
        made.claim.complete({"val/loss": 2.0})
        assert made.note_end(0) == 0
    assert capfd.readouterr().err == ""


def test_another_replacement_that_was_begun_is_dropped_and_told(run, capfd):
    completed(run)
    with attempt(run, OTHER, overwrite=True) as made:
        train(made.claim, "half of seed 2")
        made.claim.interrupt("x")
    with attempt(run, {**CONFIG, "seed": 3}, overwrite=True) as made:
        assert not made.is_resumed and not run.replacement.has_checkpoint()
    assert "dropped the unfinished run" in (told := capfd.readouterr().err) and "seed (2, 3)" in told


def test_overwrite_begins_anew_what_cannot_go_on_for_its_code_has_changed(run, tmp_path, capfd):
    cells = tmp_path / "cells.py"
    cells.write_text("one")

    def half(**options):
        with attempt(run, **options) as made:
            sha256 = hashlib.sha256(cells.read_bytes()).hexdigest()
            made.claim.note(code={"hash": "x", "files": [{"module": "cells", "path": str(cells), "sha256": sha256}]})
            train(made.claim, cells.read_text())
            made.claim.interrupt("x")
            return made.replaced is not None, made.is_resumed

    assert [half(), half(overwrite=True)] == [(False, False), (False, True)]
    cells.write_text("two")
    assert [half(overwrite=True), half(overwrite=True)] == [(True, False), (True, True)]
    assert (weights(run), weights(run.replacement)) == ("one", "two")
    cells.write_text("three")
    assert half(overwrite=True) == (True, False)
    assert "cells.py has changed" in capfd.readouterr().err


def test_a_command_that_was_killed_just_before_it_replaced_the_run_is_made_up_for(run, capfd):
    completed(run)
    with attempt(run, OTHER, overwrite=True) as made:
        train(made.claim, "seed 2")
        made.claim.complete({"val/loss": 2.0})  # and the command is killed
    assert run.state().record["metrics"] == {"val/loss": 1.0}
    with attempt(run, OTHER, overwrite=True) as made:
        assert made.is_complete
        assert Start().carry_out(made) == 0
    assert run.state().record["metrics"] == {"val/loss": 2.0} and weights(run) == "seed 2"
    assert "has completed already" in capfd.readouterr().err


def test_a_replacement_that_was_removed_by_half_is_begun_anew(run):
    completed(run)
    with attempt(run, OTHER, overwrite=True) as made:
        train(made.claim, "of nobody knows which run")
    run.replacement.events_path.unlink()
    with attempt(run, OTHER, overwrite=True) as made:
        assert not made.is_resumed and not run.replacement.has_checkpoint()


def test_a_disk_that_is_full_when_it_is_replaced_is_told_and_the_same_command_finishes_it(run, monkeypatch, capfd):
    completed(run)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "/disk")

    with attempt(run, OTHER, overwrite=True) as made:
        train(made.claim, "seed 2")
        made.claim.complete({"val/loss": 2.0})
        with monkeypatch.context() as patch:
            patch.setattr("seqlab.run.replacement.write_atomically", full)
            assert made.note_end(0) == 1
    assert "/disk: No space left on device" in (told := capfd.readouterr().err) and "same command" in told
    with attempt(run, OTHER, overwrite=True) as made:
        assert Start().carry_out(made) == 0
    assert weights(run) == "seed 2"


def test_resume_goes_on_with_what_was_to_replace_a_run(run, monkeypatch):
    from seqlab.commands import resume

    completed(run)
    with attempt(run, OTHER, overwrite=True) as made:
        train(made.claim, "half of seed 2")
        made.claim.interrupt("x")
    carried = []

    def carry_out(run_dir, config, overrides, start, *, overwrite):
        carried.append(run_dir)
        with open_attempt(run_dir, config, overrides, overwrite=overwrite) as made:
            assert made.is_resumed and made.claim.fields["config"]["seed"] == 2
            made.claim.interrupt("again")
            return 1

    monkeypatch.setattr(resume, "carry_out", carry_out)
    monkeypatch.setattr(resume, "check_config", lambda _: None)
    monkeypatch.setattr(resume, "add_user_folders", lambda _: None)
    for named in (run.path, run.replacement.path):  # the run's process knows the one, the user the other
        assert resume.resume(named, [], []) == 1
    assert carried == [run.path, run.path]


def test_a_completed_run_without_a_replacement_says_that_it_is_complete(run, capsys):
    from seqlab.commands import resume

    completed(run)
    assert resume.resume(run.path, [], []) == 0
    assert "is complete already" in capsys.readouterr().out


# Signals and errors


def test_a_full_disk_behind_another_error_is_found():
    full = OSError(errno.ENOSPC, "No space left on device")
    for way in ("cause", "context"):
        error = RuntimeError("unexpected pos 200256 vs 200208")
        setattr(error, f"__{way}__", full)
        assert process_end.no_room(error) is full
    assert process_end.no_room(OSError(errno.EIO, "x")) is None


def test_a_run_that_ends_by_a_real_signal_is_noted_by_its_command(run, monkeypatch, capfd):
    killing = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **options: popen(killing, **options))
    with attempt(run) as made:
        assert Start().carry_out(made) == 1
    assert run.state().status == "interrupted"
    assert f"SIGKILL ended the run; continue with: seqlab resume {run.path}" in capfd.readouterr().err


def test_where_to_go_on_is_said_of_the_folder_that_the_user_knows(run, capfd):
    completed(run)
    with attempt(run, OTHER, overwrite=True) as made:
        made.note_end(-signal.SIGKILL)
    assert f"continue with: seqlab resume {run.path}\n" in capfd.readouterr().err


def test_a_start_that_fails_without_room_reads_as_interrupted(run, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with attempt(run) as made, monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        made.note_start_failure("x")
    assert run.state().status == "interrupted"


@pytest.mark.slow
def test_a_command_with_a_mistake_or_of_another_run_takes_nothing_from_a_folder(run, tmp_path):
    hello = ("train", "experiment=hello", f"hydra.run.dir={run.path}", "trainer=cpu", "model.hidden_size=32")

    def contents() -> dict[str, bytes]:
        files = {path.relative_to(run.path): path for path in run.path.rglob("*") if path.is_file()}
        return {str(name): path.read_bytes() for name, path in files.items() if name.parts[0] != REPLACEMENT}

    for leave, more, told in (
        (interrupted, (), "holds another run, interrupted"),
        (completed, (), "holds another run, completed"),
        (None, ("optimizer.lr=abc",), "optimizer.lr=abc"),
        (None, ("model.cell._target_=seqlab.nn.NoCell", "overwrite=true"), "NoCell"),  # in the run's own process
    ):
        if leave is not None:
            shutil.rmtree(run.path, ignore_errors=True)
            leave(run)
        before = contents()
        done = seqlab(*hello, *more, folder=tmp_path)
        assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr, done.stderr
        assert contents() == before
    assert run.state().status == "completed" and weights(run) == "seed 1"
    assert (run.path / "notes.txt").read_text() == "mine"
