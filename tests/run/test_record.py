"""The run record: whole at every moment, honest about how a run ended, and a hash that only what matters can change."""

import json
import math
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from seqlab.config.hash import config_hash
from seqlab.errors import InputError
from seqlab.files import write_atomically
from seqlab.run.record import RECORD_NAME, SILENCE, RunRecord, read_record
from seqlab.run.supervisor import show_alive

CONFIG = {
    "seed": 1,
    "name": "x",
    "model": {"num_layers": 2, "sizes": [3, 4]},
    "optimizer": {"lr": 0.5, "nesterov": True},
}

# A run of its own process: it opens a record, says so, and waits to be killed.
CHILD = """
import sys, time
from seqlab.run.record import RunRecord
RunRecord.start(sys.argv[1], {"seed": 1}, [], 1)
print("started", flush=True)
time.sleep(60)
"""


@pytest.fixture
def child(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def start(folder: Path) -> RunRecord:
    return RunRecord.start(folder, CONFIG, ["model.num_layers=2"], seed=1)


def edit(folder: Path, **fields: object) -> None:
    path = folder / RECORD_NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_run_from_start_to_end(tmp_path):
    record = start(tmp_path / "deep" / "run")
    begun = read_record(record.run_dir)
    assert begun["schema"] == 1
    assert begun["status"] == "running"
    assert (begun["config"], begun["overrides"], begun["seed"]) == (CONFIG, ["model.num_layers=2"], 1)
    assert begun["config_hash"] == config_hash(CONFIG)
    assert begun["process"]["pid"] == os.getpid()
    assert begun["ended_at"] is None
    (record.run_dir / "best.ckpt").touch()
    record.update(num_parameters=10, device="cpu")
    record.complete({"val/loss": 1.5}, "best.ckpt", train_seconds=2.5)
    ended = read_record(record.run_dir / RECORD_NAME)
    assert ended["status"] == "completed"
    assert (ended["num_parameters"], ended["device"], ended["train_seconds"]) == (10, "cpu", 2.5)
    assert (ended["metrics"], ended["checkpoint"], ended["error"]) == ({"val/loss": 1.5}, "best.ckpt", None)
    assert begun["started_at"] == ended["started_at"] < ended["ended_at"]
    assert ended["started_at"].endswith("+00:00")


def test_a_failure_keeps_the_last_lines_of_the_traceback(tmp_path):
    record = start(tmp_path)
    try:
        raise RuntimeError("first\n" * 100 + "the reason")
    except RuntimeError as error:
        record.fail(error)
    fields = read_record(tmp_path)
    assert fields["status"] == "failed"
    assert fields["error"].endswith("\nthe reason")
    assert len(fields["error"].splitlines()) == 30
    record.fail("killed by signal 9\n")
    assert read_record(tmp_path)["error"] == "killed by signal 9"


def test_numbers_that_are_not_finite_survive_strict_json(tmp_path):
    class Scalar:
        def item(self) -> float:
            return 2.5

    start(tmp_path).complete(
        {"a": math.nan, "b": math.inf, "c": -math.inf, "d": Scalar(), "e": 3}, tokens_per_second=math.inf
    )

    def refuse(word: str) -> None:
        pytest.fail(f"{word} is not JSON")

    text = (tmp_path / RECORD_NAME).read_text()
    assert json.loads(text, parse_constant=refuse)["metrics"] == {"a": "nan", "b": "inf", "c": "-inf", "d": 2.5, "e": 3}
    fields = read_record(tmp_path)
    assert math.isnan(fields["metrics"].pop("a"))
    assert fields["metrics"] == {"b": math.inf, "c": -math.inf, "d": 2.5, "e": 3}
    assert fields["tokens_per_second"] == math.inf


def test_the_checkpoint_is_a_path_below_the_run_that_exists(tmp_path):
    record = start(tmp_path / "run")
    (tmp_path / "run" / "checkpoints").mkdir()
    (tmp_path / "run" / "checkpoints" / "best.ckpt").touch()
    (tmp_path / "elsewhere.ckpt").touch()
    record.update(checkpoint=tmp_path / "run" / "checkpoints" / "best.ckpt")
    assert read_record(tmp_path / "run")["checkpoint"] == "checkpoints/best.ckpt"
    for wrong in (tmp_path / "elsewhere.ckpt", "../elsewhere.ckpt", "checkpoints/last.ckpt"):
        with pytest.raises(ValueError, match="checkpoint: expected an existing path below the run folder"):
            record.complete({}, wrong)
    assert read_record(tmp_path / "run")["status"] == "running"


def test_wrong_use_is_refused_and_changes_nothing(tmp_path):
    with pytest.raises(TypeError, match=r"config: expected a plain dict .* got list"):
        RunRecord.start(tmp_path, [("seed", 1)], [], 1)
    record = start(tmp_path)
    before = (tmp_path / RECORD_NAME).read_bytes()
    with pytest.raises(TypeError, match="status: not a field to set"):
        record.update(status="completed")
    with pytest.raises(TypeError, match="metrics: val/loss: expected a number, got 'low'"):
        record.complete({"val/loss": "low"})
    assert (tmp_path / RECORD_NAME).read_bytes() == before


# Atomicity


def test_a_reader_never_meets_a_part_of_a_record(tmp_path):
    record = RunRecord.start(tmp_path, {"seed": 1, "long": ["word"] * 50_000}, [], 1)
    seen, broken, done = set(), [], threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                seen.add(read_record(tmp_path)["num_parameters"])
            except InputError as error:
                broken.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(40):
        record.update(num_parameters=number)
    done.set()
    reader.join()
    assert not broken
    assert len(seen) > 5
    assert os.listdir(tmp_path) == [RECORD_NAME]


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path, monkeypatch):
    target = tmp_path / "file"
    write_atomically(target, b"old")

    def fail(*paths: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_file_has_the_mode_that_the_umask_gives(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "file", b"content")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask


def test_a_link_keeps_pointing_at_its_file(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "file")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk" / "file").read_bytes() == b"new"


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    (tmp_path / ".run.json.1-0.tmp").write_text("{")
    start(tmp_path)
    assert os.listdir(tmp_path) == [RECORD_NAME]


# Processes


def test_running_while_the_process_lives_and_interrupted_once_it_is_killed(tmp_path, child):
    assert read_record(tmp_path)["status"] == "running"
    child.send_signal(signal.SIGKILL)
    # Not waited for yet: at first it is a zombie, which still has an entry in the process table.
    deadline = time.monotonic() + 10
    while read_record(tmp_path)["status"] == "running" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert read_record(tmp_path)["status"] == "interrupted"
    child.wait()
    fields = read_record(tmp_path)
    assert fields["status"] == "interrupted"
    assert fields["error"] == f"process {child.pid} is gone and wrote no end"


def test_a_recycled_process_id_is_not_mistaken_for_the_run(tmp_path):
    record = start(tmp_path)
    edit(tmp_path, process={**record.fields["process"], "started": "another boot:1"})
    assert read_record(tmp_path)["status"] == "interrupted"


def test_a_process_on_another_host_is_taken_at_its_word(tmp_path):
    start(tmp_path)
    edit(tmp_path, process={"pid": 2**22 + 1, "host": "elsewhere", "started": "x"})
    assert read_record(tmp_path)["status"] == "running"


def test_a_process_on_another_host_that_shows_no_life_is_taken_for_gone(tmp_path):
    start(tmp_path)
    edit(tmp_path, process={"pid": 2**22 + 1, "host": "elsewhere", "started": "x"})
    long_ago = time.time() - SILENCE - 60
    os.utime(tmp_path / RECORD_NAME, (long_ago, long_ago))
    fields = read_record(tmp_path)
    assert fields["status"] == "interrupted"
    assert fields["error"] == f"process {2**22 + 1} on elsewhere has shown no life for {SILENCE} s"
    show_alive(tmp_path)
    assert read_record(tmp_path)["status"] == "running"


def test_a_claimed_run_is_taken_over_with_where_it_computes_now(tmp_path, child):
    with pytest.raises(InputError, match="was not prepared by seqlab train"):
        RunRecord.take_over(tmp_path, supervisor=os.getppid())
    elsewhere = {"seed": 1, "logger": {"limit": math.inf}}
    for config, expected in (({"seed": 2}, {"seed": 1}), (elsewhere, elsewhere)):
        record = RunRecord.take_over(tmp_path, child.pid, config)
        assert record.fields["config"] == expected and record.fields["process"]["pid"] == os.getpid()
        edit(tmp_path, process={**record.fields["process"], "pid": child.pid})
    RunRecord.load(tmp_path).complete({})
    with pytest.raises(InputError, match="was not prepared by seqlab train"):
        RunRecord.take_over(tmp_path, child.pid)


def test_an_ended_run_stays_ended_when_its_process_is_gone(tmp_path):
    for end in ("completed", "failed"):
        record = start(tmp_path)
        record.complete({}) if end == "completed" else record.fail("x")
        edit(tmp_path, process={**record.fields["process"], "started": "another boot:1"})
        assert read_record(tmp_path)["status"] == end


def test_resume_keeps_the_start_and_counts(tmp_path):
    record = start(tmp_path)
    record.update(train_seconds=12.5)
    record.fail("out of memory")
    started_at = record.fields["started_at"]
    for resumes in (1, 2):
        record = RunRecord.resume(tmp_path)
        fields = read_record(tmp_path)
        assert (fields["status"], fields["resumes"]) == ("running", resumes)
        assert (fields["started_at"], fields["train_seconds"]) == (started_at, 12.5)
        assert (fields["ended_at"], fields["error"]) == (None, None)
        assert fields["process"]["pid"] == os.getpid()
        record.interrupt()
        assert read_record(tmp_path)["status"] == "interrupted"


def test_a_run_at_work_can_be_neither_resumed_nor_replaced(tmp_path, child):
    for claim in (RunRecord.resume, start):
        with pytest.raises(InputError, match=f"process {child.pid} is still at work in this run"):
            claim(tmp_path)
    child.kill()
    child.wait()
    RunRecord.resume(tmp_path)
    assert read_record(tmp_path)["process"]["pid"] == os.getpid()


def test_a_process_may_begin_its_own_run_anew_and_resume_one_from_another_host(tmp_path):
    first = start(tmp_path).fields
    second = start(tmp_path).fields
    assert second["started_at"] > first["started_at"]
    edit(tmp_path, process={"pid": os.getppid(), "host": "elsewhere", "started": "x"})
    RunRecord.resume(tmp_path)
    assert read_record(tmp_path)["process"]["pid"] == os.getpid()


def test_a_supervisor_notes_how_its_child_ended_without_claiming_the_run(tmp_path, child):
    child.kill()
    child.wait()
    RunRecord.load(tmp_path).fail("killed by signal 9")
    fields = read_record(tmp_path)
    assert (fields["status"], fields["error"]) == ("failed", "killed by signal 9")
    assert (fields["process"]["pid"], fields["resumes"]) == (child.pid, 0)


# Reading


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"schema": 1, "status"', "not valid JSON"),
        ("", "not valid JSON"),
        ("\x00\xff", "not valid JSON"),
        ("[1]", "not a run record"),
        ('{"status": "completed"}', "not a run record"),
        ('{"schema": 2}', "record of schema 2, but seqlab .* reads schema 1"),
        ('{"schema": 1, "status": "done"}', "status: expected one of running, .* got 'done'"),
        ('{"schema": 1, "status": "failed", "config": []}', "config: expected an object, got list"),
        ('{"schema": 1, "status": "failed", "metrics": {"a": "low"}}', "metrics: a: expected a number, got 'low'"),
        ('{"schema": 1, "status": "failed", "config_hash": [1]}', r"config_hash: expected a text or null, got \[1\]"),
        ('{"schema": 1, "status": "failed", "started_at": 3}', "started_at: expected a text or null, got 3"),
        ('{"schema": 1, "status": "failed", "seed": true}', "seed: expected a whole number or null, got True"),
        ('{"schema": 1, "status": "failed", "overrides": "a=1"}', "overrides: expected a list or null, got 'a=1'"),
        ('{"schema": 1, "status": "failed", "git": {"commit": 3}}', "git: commit: expected a text or null, got 3"),
    ],
)
def test_a_damaged_record_is_refused_in_one_line(tmp_path, content, message):
    (tmp_path / RECORD_NAME).write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=message) as caught:
        read_record(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / RECORD_NAME) in str(caught.value)


def test_a_missing_record_is_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_record(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no such file"):
        RunRecord.resume(tmp_path)


def test_records_and_reports_import_nothing_heavy():
    heavy = ("torch", "lightning", "hydra", "omegaconf", "numpy", "matplotlib", "rich")
    code = f"import sys, seqlab.run.record, seqlab.report; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
