"""What a command does with a run: begins it, goes on with it, or refuses."""

import contextlib
import errno
import hashlib
import shutil
import subprocess
import sys
import time

import pytest

from seqlab.errors import InputError
from seqlab.run.folder import RunFolder
from seqlab.run.layout import REPLACEMENT
from seqlab.run.ownership import AtWorkError
from seqlab.run.start import Start
from tests.command import environment, seqlab
from tests.run.attempts import OTHER, attempt, completed, interrupted, train, weights
from tests.run.owners import CONFIG, owner_process


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
