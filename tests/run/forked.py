"""What tests have a server fork: a module as :mod:`seqlab.run.process` is, without torch."""

import atexit
import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path


def preload() -> None:
    """Does what the environment of the server says."""
    if folder := os.environ.get("TEST_PRELOADS"):
        with open(Path(folder, "preloads.txt"), "a") as file:
            file.write(f"{os.getpid()} {os.getcwd()}\n")
    logging.basicConfig()
    match os.environ.get("TEST_PRELOAD"):
        case "raise":
            raise ImportError("broken on purpose")
        case "thread":
            threading.Thread(target=time.sleep, args=(60,), name="a-thread", daemon=True).start()
        case "slow":
            time.sleep(1.0)


def main(argv: list[str]) -> int:
    action, *arguments = argv
    return int(globals()[action](*arguments) or 0)


def tell(path: str) -> None:
    """Writes what this process is."""
    import __main__

    facts = {
        "argv": sys.argv,
        "main": __main__.__spec__.name,
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "parent": os.getppid(),
        "descriptors": {name: os.readlink(f"/proc/self/fd/{name}") for name in _descriptors()},
        "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "handlers": {name: str(signal.getsignal(getattr(signal, name))) for name in ("SIGINT", "SIGTERM", "SIGCHLD")},
        "path": sys.path,
    }
    Path(path).write_text(json.dumps(facts))


def _descriptors() -> list[str]:
    return [name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")]


def echo() -> None:
    print("out")
    print("err", file=sys.stderr)
    print(f"read {sys.stdin.read()}")


def reconfigure() -> None:
    """Prints what ASCII lacks, as runs do."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="ascii", errors="backslashreplace")
    print("caf\u00e9")
    print("th\u00e9", file=sys.stderr)
    logging.warning("a handler that was made before the fork")


def end(how: str, number: str = "0") -> None:
    """Ends this process."""
    match how:
        case "return":
            return int(number)  # type: ignore[return-value]
        case "signal":
            os.kill(os.getpid(), int(number))
        case "exit":
            sys.exit(int(number))
        case "text":
            sys.exit("why it ended")
        case "raise":
            raise ValueError("broken")
        case "interrupt":
            raise KeyboardInterrupt
        case "leave":
            os._exit(int(number))


def last(path: str) -> None:
    """Leaves work for the end: a thread that is no daemon, and a function."""
    atexit.register(lambda: Path(path).write_text(Path(path).read_text() + " atexit"))
    threading.Thread(target=lambda: (time.sleep(0.2), Path(path).write_text("thread"))).start()
    sys.stdout.write("not flushed")


def sleep(path: str, answer: str = "dies") -> None:
    """Sleeps until a signal comes; counts those that it takes where it ``answer``s."""
    taken: list[int] = []
    if answer == "counts":
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, lambda number, _: taken.append(number))
    if answer == "ignores":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(path).write_text(str(os.getpid()))
    until = time.monotonic() + 60
    while not taken and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.3)
    Path(path).write_text(" ".join(map(str, taken)))
