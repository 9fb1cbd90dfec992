"""The ``seqlab`` command, as the studies beside this file call it.

A study in a folder of its own finds this module from wherever it is started:

    sys.path.append(str(Path(__file__).resolve().parents[1]))
    from command import seqlab
"""

import shlex
import subprocess
import sys


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
