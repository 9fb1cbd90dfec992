"""Runs that are forked from a server: each is what a process of its own would be, ends alone, and never outlives its
command."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from seqlab.run.forks import warm_server
from seqlab.run.forks.child import place_descriptors
from seqlab.run.forks.client import ForkedProcess, NoServerError, warn_cold_start
from seqlab.run.forks.run_process import RunProcess
from seqlab.run.forks.warm_server import Server
from seqlab.run.provenance import process_started
from tests.command import environment, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MODULE = "tests.run.forked"
ROOT = str(Path(__file__).parents[2])


def server_environment(**variables: str) -> dict[str, str]:
    return environment(PYTHONPATH=ROOT, **variables)


@pytest.fixture(scope="module")
def server():
    with Server(server_environment(), MODULE) as server:
        yield server


@pytest.fixture
def own_server():
    """A server that a test may kill."""
    with Server(server_environment(), MODULE) as server:
        yield server


def forked(server: Server, *argv: str, **options) -> ForkedProcess:
    return ForkedProcess(server.address, argv, **options)


def gone(pid: int) -> bool:
    return process_started(pid) is None


# What a process is


def test_a_process_has_its_arguments_environment_and_folder_and_none_of_the_servers_descriptors(
    server, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with open(tmp_path / "out", "w") as out:
        variables = {"ONE": "1", "ODD": "\udcff=\n"}
        process = forked(server, "tell", "facts.json", env=variables, stdout=out, stderr=out)
        assert process.wait(30) == 0
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts["argv"][1:] == ["tell", "facts.json"] and facts["argv"][0].endswith("forked.py")
    assert facts["main"] == MODULE  # by which Lightning starts the further processes of a run
    assert facts["environment"] == variables
    assert facts["folder"] == str(tmp_path)
    assert facts["parent"] == server.process.pid and process.pid not in (os.getpid(), server.process.pid)
    streams = {number: target for number, target in facts["descriptors"].items() if "/fd" not in target}
    assert streams.keys() == {"0", "1", "2"} and streams["1"] == streams["2"] == str(tmp_path / "out")
    assert facts["mask"] == []
    is_ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN  # by what started the tests, such as nohup
    assert ("1" if is_ignored else "default_int_handler") in facts["handlers"]["SIGINT"]
    assert facts["handlers"]["SIGTERM"] == facts["handlers"]["SIGCHLD"] == "0"


def test_its_streams_are_those_it_is_given(server, tmp_path):
    (tmp_path / "in").write_text("a line")
    with open(tmp_path / "in") as given, open(tmp_path / "out", "wb") as out, open(tmp_path / "err", "wb") as err:
        assert forked(server, "echo", stdin=given.fileno(), stdout=out, stderr=err).wait(30) == 0
    assert (tmp_path / "out").read_text() == "out\nread a line\n"
    assert (tmp_path / "err").read_text() == "err\n"


@pytest.mark.parametrize("unbuffered", [{}, {"PYTHONUNBUFFERED": "1"}])
def test_pipes_and_files_can_be_reconfigured_whatever_the_servers_streams_are(unbuffered, tmp_path):
    with Server(server_environment(**unbuffered), MODULE) as server:  # whose own output is the null device
        reading, writing = os.pipe()
        with open(reading, "rb") as out, open(tmp_path / "err", "wb") as err:
            process = forked(server, "reconfigure", stdout=writing, stderr=err)
            os.close(writing)
            assert out.read() == b"caf\\xe9\n"
            assert process.wait(30) == 0
    lines = (tmp_path / "err").read_text().splitlines()
    assert lines[0] == r"th\xe9" and lines[1].endswith("a handler that was made before the fork")


def test_a_stream_that_is_closed_here_is_the_null_device_there(server, tmp_path):
    number = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    os.close(number)
    assert forked(server, "echo", stdin=number, stdout=number, stderr=subprocess.DEVNULL).wait(30) == 0


def test_a_lock_that_is_handed_over_is_held_as_long_as_the_process_lives(server, tmp_path):
    holder = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(holder, fcntl.LOCK_EX)
    process = forked(server, "sleep", str(tmp_path / "pid"), pass_fds=[holder])
    wait_for((tmp_path / "pid").exists)
    assert os.readlink(f"/proc/{process.pid}/fd/{holder}") == str(tmp_path / "lock")  # by the same number
    os.close(holder)
    with open(tmp_path / "lock") as other:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process.kill()
        assert process.wait(30) == -signal.SIGKILL
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_descriptors_change_places():
    pairs = [os.pipe(), os.pipe()]
    (first, first_end), (second, second_end) = pairs
    os.write(first_end, b"1"), os.write(second_end, b"2")
    before = len(os.listdir("/proc/self/fd"))
    place_descriptors({first: os.dup(second), second: os.dup(first)})
    assert (os.read(first, 1), os.read(second, 1)) == (b"2", b"1")
    assert len(os.listdir("/proc/self/fd")) == before
    for descriptor in (*pairs[0], *pairs[1]):
        os.close(descriptor)


def test_the_imports_happen_once_and_at_the_first_request(tmp_path):
    with Server(server_environment(TEST_PRELOADS=str(tmp_path)), MODULE) as server:
        time.sleep(0.3)
        assert not (tmp_path / "preloads.txt").exists()
        processes = [forked(server, "end", "return", str(code)) for code in (0, 3, 4)]
        assert [process.wait(30) for process in processes] == [0, 3, 4]
        assert len({process.pid for process in processes}) == 3
        assert (tmp_path / "preloads.txt").read_text().split()[0::2] == [str(server.process.pid)]


def test_a_file_of_the_user_does_not_stand_in_for_a_library_s(tmp_path, monkeypatch):
    for name in ("random", "types", "tokenize", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')")
    monkeypatch.chdir(tmp_path)
    with Server(server_environment(), MODULE) as server:
        assert forked(server, "end", "return", "7").wait(30) == 7


# How it ends


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        (("return", "0"), 0, ""),
        (("return", "75"), 75, ""),
        (("exit", "2"), 2, ""),
        (("text",), 1, "why it ended"),
        (("raise",), 1, "ValueError: broken"),
        (("leave", "9"), 9, ""),
        (("signal", str(int(signal.SIGKILL))), -signal.SIGKILL, ""),
        (("signal", str(int(signal.SIGSEGV))), -signal.SIGSEGV, ""),
        (("interrupt",), -signal.SIGINT, "KeyboardInterrupt"),
    ],
)
def test_its_exit_code_is_that_of_a_process_of_its_own(server, tmp_path, how, code, said):
    with open(tmp_path / "err", "wb") as err:
        process = forked(server, "end", *how, stderr=err)
        assert process.wait(30) == process.returncode == code
    assert said in (tmp_path / "err").read_text()
    command = [sys.executable, "-c", f"import sys; from {MODULE} import main; sys.exit(main(sys.argv[1:]))"]
    own = subprocess.run([*command, "end", *how], env=server_environment(), capture_output=True, check=False)
    assert own.returncode == code


@pytest.mark.skipif(signal.getsignal(signal.SIGINT) == signal.SIG_IGN, reason="what started the tests ignores SIGINT")
def test_an_interrupt_before_its_module_begins_ends_it_as_one_of_its_own(server, tmp_path):
    many = {f"VARIABLE_{number}": "1" for number in range(20_000)}  # so that it is told to end while it begins
    with open(tmp_path / "err", "wb") as err:
        process = forked(server, "sleep", str(tmp_path / "pid"), env=many, stderr=err)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == -signal.SIGINT
    said = (tmp_path / "err").read_text()
    assert not said or "forked.py" in said  # on a machine this slow, its module has begun


def test_what_it_left_for_its_end_is_done(server, tmp_path):
    with open(tmp_path / "out", "wb") as out:
        assert forked(server, "last", str(tmp_path / "told"), stdout=out).wait(30) == 0
    assert (tmp_path / "told").read_text() == "thread atexit"
    assert (tmp_path / "out").read_text() == "not flushed"


def test_waiting_has_a_limit_and_signals_arrive(server, tmp_path):
    process = forked(server, "sleep", str(tmp_path / "pid"), "counts")
    wait_for((tmp_path / "pid").exists)
    assert process.returncode is None
    began = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.2)
    assert 0.2 <= time.monotonic() - began < 5
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert (tmp_path / "pid").read_text() == str(int(signal.SIGTERM))
    process.kill()  # nobody any more: its number may be another's


def test_a_signal_before_there_is_a_process_reaches_it(tmp_path):
    with Server(server_environment(TEST_PRELOAD="slow"), MODULE) as server:
        process = forked(server, "sleep", str(tmp_path / "pid"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == -signal.SIGTERM


def test_one_that_is_killed_leaves_the_others(server, tmp_path):
    killed, other = (forked(server, "sleep", str(tmp_path / name), "counts") for name in "ab")
    wait_for((tmp_path / "b").exists)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait(30) == -signal.SIGKILL
    with pytest.raises(subprocess.TimeoutExpired):
        other.wait(0)
    other.send_signal(signal.SIGTERM)
    assert other.wait(30) == 0


# Nothing outlives the command


def test_it_is_told_to_stop_once_where_whoever_asked_for_it_is_gone(server, tmp_path):
    process = forked(server, "sleep", str(tmp_path / "pid"), "counts")
    wait_for((tmp_path / "pid").exists)
    pid = process.pid
    process._connection.close()
    wait_for(lambda: gone(pid))
    assert (tmp_path / "pid").read_text() == str(int(signal.SIGTERM))
    assert forked(server, "end", "return", "3").wait(30) == 3


COMMAND = f"""
import sys
from seqlab.run.forks.client import ForkedProcess
from seqlab.run.forks.warm_server import Server
server = Server(module="{MODULE}")
process = ForkedProcess(server.address, ["sleep", sys.argv[1], "counts"])
print(server.process.pid, process.pid, flush=True)
process.wait()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_server_and_its_processes_end_with_the_command(tmp_path, number):
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(tmp_path / "pid")], env=server_environment(), stdout=subprocess.PIPE
    ) as command:
        assert command.stdout is not None
        pids = [int(pid) for pid in command.stdout.readline().split()]
        wait_for((tmp_path / "pid").exists)
        command.send_signal(number)
        command.wait()
        wait_for(lambda: all(gone(pid) for pid in pids))
    assert (tmp_path / "pid").read_text() == str(int(signal.SIGTERM))  # once: it has the time to write a checkpoint


def test_a_signal_to_the_whole_group_reaches_a_process_once_and_not_the_server(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(tmp_path / "pid")],
        env=server_environment(),
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as command:
        assert command.stdout is not None
        pids = [int(pid) for pid in command.stdout.readline().split()]
        wait_for((tmp_path / "pid").exists)
        os.killpg(command.pid, signal.SIGUSR1)
        wait_for(lambda: all(gone(pid) for pid in pids))
    assert (tmp_path / "pid").read_text().split()[0] == str(int(signal.SIGUSR1))


def test_a_server_that_is_killed_takes_its_processes_with_it_and_it_is_said(own_server, tmp_path, capfd):
    process = forked(own_server, "sleep", str(tmp_path / "pid"), "counts")
    wait_for((tmp_path / "pid").exists)
    assert process.pid  # the server has reported it: the process itself may be quicker
    own_server.process.kill()
    assert process.wait(30) == -signal.SIGTERM
    assert gone(process.pid)
    assert (tmp_path / "pid").read_text() == str(int(signal.SIGTERM))
    assert f"process {process.pid} ends with it" in capfd.readouterr().err


def test_a_process_that_outlives_its_server_can_still_be_killed(own_server, tmp_path):
    process = forked(own_server, "sleep", str(tmp_path / "pid"), "ignores")
    wait_for((tmp_path / "pid").exists)
    assert process.pid  # the server has reported it: the process itself may be quicker
    own_server.process.kill()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.kill()
    assert process.wait(30) < 0


# Where there is no server


@pytest.fixture
def starts(monkeypatch):
    """The commands that would be started as processes of their own; in their place, one that ends with code 5."""
    commands = []
    real = subprocess.Popen

    def start(command, **options):
        commands.append(command)
        return real([sys.executable, "-c", "raise SystemExit(5)"], **options)

    warn_cold_start.cache_clear()
    monkeypatch.setattr(subprocess, "Popen", start)
    return commands


@pytest.mark.parametrize("preload", ["raise", "thread"])
def test_a_server_that_can_not_fork_safely_forks_nothing_and_a_process_of_its_own_serves(preload, starts, capfd):
    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(subprocess, "Popen", _REAL)
            server = stack.enter_context(Server(server_environment(TEST_PRELOAD=preload), MODULE))
        process = RunProcess(["train", "run"], server.address)
        assert process.wait(30) == 5 and process.pid > 0
        assert RunProcess(["train", "run"], server.address).wait(30) == 5
    assert [command[1:] for command in starts] == 2 * [["-Pm", "seqlab.run.process", "train", "run"]]
    (line,) = capfd.readouterr().err.splitlines()  # once
    assert line.startswith("seqlab: no warm start, so each run imports on its own: ")
    assert {"raise": "ImportError: broken on purpose", "thread": "2 threads"}[preload] in line


_REAL = subprocess.Popen


def test_a_sweep_goes_on_without_its_server(own_server, starts, tmp_path):
    own_server.process.kill()
    own_server.process.wait()
    assert RunProcess(["train", "run"], own_server.address).wait(30) == 5


def test_no_address_is_a_process_of_its_own(starts):
    assert RunProcess(["train", "run"], None).wait(30) == 5


def test_a_request_that_does_not_arrive_whole_harms_nobody(server, capfd):
    for content in (b"", b"\0\0", b"\0\0\0\4nope", b"\0\0\0\2{}"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(server.address)
            connection.sendall(content)
    assert forked(server, "end", "return", "3").wait(30) == 3


def test_a_worker_elsewhere_has_a_server_of_its_own(server, monkeypatch, tmp_path):
    monkeypatch.setattr(warm_server, "_own_server", None)
    monkeypatch.setattr(warm_server, "Server", lambda environment: Server(environment, MODULE))
    assert warm_server.local_server(None, {}) is None
    assert warm_server.local_server(server.address, {}) == server.address
    own = warm_server.local_server(str(tmp_path / "of another machine"), server_environment())
    with warm_server._own_server:
        assert own not in (None, server.address)
        assert warm_server.local_server(str(tmp_path / "of another machine"), {"ANOTHER": "1"}) == own
        assert ForkedProcess(own, ["end", "return", "3"]).wait(30) == 3


def test_the_folder_of_a_server_is_its_user_s_alone_and_goes_with_it(tmp_path, monkeypatch):
    long = tmp_path / ("long" * 30)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with Server(server_environment(), MODULE) as server:
        assert server.folder.stat().st_mode & 0o777 == 0o700
        assert forked(server, "end", "return", "3").wait(30) == 3
    assert not server.folder.exists()
    with pytest.raises(NoServerError):
        forked(server, "end", "return", "3")


def test_a_server_that_ends_late_is_waited_for_in_the_background(monkeypatch):
    monkeypatch.setattr(warm_server, "_CLOSE_SECONDS", 0.0)
    with Server(server_environment(), MODULE) as server:
        pass
    wait_for(lambda: server.process.returncode == 0)  # or it would be a zombie, of which Python warns
