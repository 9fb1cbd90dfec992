"""The ``seqlab`` command, as the studies beside this file call it, and what their own command lines share.

A study in a folder of its own finds this module from wherever it is started:

    sys.path.append(str(Path(__file__).resolve().parents[1]))
    from command import seqlab
"""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T", int, str)


def seqlab(*arguments: str) -> int:
    """Runs the command as a user would type it, by this script's Python, and returns its exit code.

    Ctrl-C reaches the command too: it saves what it has and ends, and this waits for it.
    """
    print("$ seqlab " + shlex.join(arguments), flush=True)
    process = subprocess.Popen([sys.executable, "-m", "seqlab.cli", *arguments])
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def some_of(choices: Iterable[T]) -> Callable[[str], list[T]]:
    """The type of an option that takes several of ``choices`` as one value, with commas between them.

    An option that took them with spaces between them would take the overrides behind it, too.
    """
    known = {str(choice): choice for choice in choices}

    def read(text: str) -> list[T]:
        names = [name.strip() for name in text.split(",")]
        if unknown := [name for name in names if name not in known]:
            expected = f"expected one or more of {', '.join(known)}, with commas between them"
            raise argparse.ArgumentTypeError(f"{expected}, got {unknown[0]!r}")
        return [known[name] for name in dict.fromkeys(names)]

    return read
