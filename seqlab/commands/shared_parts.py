"""A mistake in the parts of a model or a task that all jobs of a sweep share is found once, before any job begins.

Which keys a part takes is known by its class, so a process of its own looks, which imports PyTorch.
"""

import contextlib
import json
import re
import subprocess
import tempfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from seqlab.config.own_files import GLOBAL
from seqlab.errors import InputError
from seqlab.run.forks.run_process import RunProcess

_GROUPS: Final = ("model", "task")


def may_be_wrong(overrides: Iterable[str], varied: Collection[str]) -> bool:
    """Whether the overrides of a sweep set keys of parts, or new keys, that mean the same in each of its jobs.

    Example:
        >>> may_be_wrong(["+model.encoder.foo=1", "seed=1,2"], {"seed"})
        True
        >>> may_be_wrong(["model.num_layers=2", "seed=1,2"], {"seed"})  # composing has found that there is such a key
        False
        >>> may_be_wrong(["+model.cell.foo=1", "model/cell=gru,rnn"], {"model/cell"})  # one of them may take it
        False
    """
    for key in varied:
        group = re.split(r"[./@]", key)[0]
        if group in GLOBAL or (group in _GROUPS and ("." not in key or key.endswith("_target_"))):
            return False
    for text in overrides:
        key = text.lstrip("+~").partition("=")[0]
        if key not in varied and key.split(".")[0] in _GROUPS and (text[0] in "+~" or key.count(".") > 1):
            return True
    return False


def check_shared_parts(config: Mapping[str, Any], server: str | None) -> None:
    """Refuses keys of the model and the task that no part of theirs takes.

    Nothing is refused where no process can be started, or where the check itself fails: then each job tells its own
    mistake.

    Args:
        config: the resolved configuration that the jobs share, whose targets are trusted.
        server: the address of the server that the jobs' processes are forked from; None: a new process.

    Raises:
        InputError: names the key.
    """
    with tempfile.TemporaryDirectory(prefix="seqlab-") as folder, contextlib.suppress(OSError):
        file, output = Path(folder, "config.json"), Path(folder, "output.txt")
        file.write_text(json.dumps(config))
        with output.open("wb") as stream:
            code = RunProcess(["check_parts", str(file)], server, stdout=stream, stderr=subprocess.DEVNULL).wait()
        if code == 2 and (lines := output.read_text().splitlines()):
            raise InputError(lines[-1])
