"""Whether a run would still have the same result: its data, the user's code and the versions, then and now.

- **Blocking** differences make it another run: the data that it read, and the user's own code. (So does the
  configuration, which the caller compares by its hash; the hash covers the checkpoint of a parent run, too.)
- **Notices** are printed, and the command goes on: the versions of seqlab, PyTorch and Lightning, and seqlab's commit.
- The user's commit, the device and the host are only recorded.

Torch is not needed.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from seqlab.run.code import code_differences
from seqlab.run.events import FAILED, INTERRUPTED, PRUNED
from seqlab.run.inputs import FileHashes, data_differences
from seqlab.run.provenance import describe_commit, package_versions, seqlab_git

_PACKAGES: Final = ("seqlab", "torch", "lightning")


@dataclass(frozen=True)
class Differences:
    """What differs from an earlier run, each in a few words.

    Attributes:
        blocking: differences that make it another run.
        notices: differences that are only printed.
    """

    blocking: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


@dataclass
class Present:
    """The data, code and versions that a run would have in this process. One object serves a whole command.

    Attributes:
        hashes: of the data's files; each file is hashed once.
    """

    hashes: FileHashes = field(default_factory=FileHashes)
    _code_differences: dict[str, list[str]] = field(default_factory=dict)

    @cached_property
    def versions(self) -> dict[str, str | None]:
        """The versions of packages."""
        return package_versions()

    @cached_property
    def seqlab_git(self) -> dict[str, Any]:
        """The state of seqlab's own checkout."""
        return seqlab_git()

    def code_differences(self, recorded: Mapping[str, Any] | None) -> list[str]:
        """As :func:`seqlab.run.code.code_differences`, computed once for all runs with the same code."""
        key = str(recorded)
        if key not in self._code_differences:
            self._code_differences[key] = code_differences(recorded)
        return self._code_differences[key]


def compare(
    record: Mapping[str, Any],
    present: Present,
    *,
    config: Mapping[str, Any] | None = None,
    run_dir: str | os.PathLike[str] | None = None,
) -> Differences:
    """Compares an earlier run with the present.

    Args:
        record: the fields of the run's ``run.json``.
        present: the data, code and versions of this process.
        config: the configuration of the new run, with absolute paths, which says where its data is; None: the
            record's.
        run_dir: the run's present folder: data that moved together with the run is found again.

    Example:
        >>> record = {"config": {}, "versions": {"torch": "1.0"}}
        >>> [text.split(" (now ")[0] for text in compare(record, Present()).notices]
        ['torch 1.0']
    """
    code = present.code_differences(record.get("code"))
    data = data_differences(record, present.hashes, config, run_dir)
    return Differences([*code, *data], version_differences(record, present))


def version_differences(record: Mapping[str, Any], present: Present) -> list[str]:
    """The differences in the versions of seqlab, PyTorch and Lightning, and in seqlab's own commit."""
    before, now = record.get("versions") or {}, present.versions
    texts = [
        f"{name} {before[name]} (now {now[name]})"
        for name in _PACKAGES
        if None not in (before.get(name), now[name]) and before[name] != now[name]
    ]
    commit_before, commit = describe_commit(record.get("seqlab_git")), describe_commit(present.seqlab_git)
    if None not in (commit_before, commit) and commit_before != commit:
        texts.append(f"seqlab at commit {commit_before} (now {commit})")
    return texts


def changes_since_training(record: Mapping[str, Any], present: Present) -> list[str]:
    """The lines that a command prints when it uses a trained run: that its training has not come to its end, and what
    of code and versions has changed since.
    """
    lines = []
    if (status := record.get("status")) in (FAILED, INTERRUPTED, PRUNED):
        reason = "".join(f": {text}" for text in str(record.get("error") or "").strip().splitlines()[-1:])
        lines.append(f"this run has not completed its training ({status}{reason})")
    if changed := present.code_differences(record.get("code")):
        lines.append(f"since this run was trained: {'; '.join(changed)}")
    if versions := version_differences(record, present):
        lines.append(f"this run was trained by {'; '.join(versions)}")
    return lines
