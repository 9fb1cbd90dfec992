"""Whether what a run was the result of is the same now, in three tiers. Torch is not needed.

What *decides* whether it is the same run: the configuration, which the caller compares by its hash (and which holds the
hash of a checkpoint that the run began from), the data that it read, and the user's own code. What is *said*, and then
one goes on: seqlab's commit and version, and the versions of PyTorch and Lightning. What is recorded alone: the user's
commit, the device, the host.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from seqlab.run.code import code_differences
from seqlab.run.inputs import FileHashes, data_differences
from seqlab.run.provenance import git_words, package_versions, seqlab_git

_SAID: Final = ("seqlab", "torch", "lightning")


@dataclass(frozen=True)
class Differences:
    """What differs from a run of before, each in a few words."""

    decides: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


@dataclass
class Now:
    """What a run would be the result of in this process; one object serves a whole command, and hashes a file once.

    Attributes:
        hashes: of the data's files.
    """

    hashes: FileHashes = field(default_factory=FileHashes)
    _code: dict[str, list[str]] = field(default_factory=dict)

    @cached_property
    def versions(self) -> dict[str, str | None]:
        """The versions of packages."""
        return package_versions()

    @cached_property
    def seqlab_git(self) -> dict[str, Any]:
        """The state of seqlab's own checkout."""
        return seqlab_git()

    def code_differences(self, recorded: Mapping[str, Any] | None) -> list[str]:
        """As :func:`seqlab.run.code.code_differences`, once for all runs of the same code."""
        key = str(recorded)
        if key not in self._code:
            self._code[key] = code_differences(recorded)
        return self._code[key]


def differences(
    recorded: Mapping[str, Any],
    now: Now,
    *,
    config: Mapping[str, Any] | None = None,
    run_dir: str | os.PathLike[str] | None = None,
) -> Differences:
    """What a run was the result of, and is other now.

    Args:
        recorded: the fields of its ``run.json``.
        now: of this command.
        config: the configuration that would be run now, with absolute paths: where its data lies; None: the record's.
        run_dir: the run's folder now: data that moved together with it is found again.

    Example:
        >>> now = Now()
        >>> recorded = {"config": {}, "versions": {"torch": "1.0"}}
        >>> [text.split(" where ")[0] for text in differences(recorded, now).said]
        ['torch 1.0']
    """
    decides = [*now.code_differences(recorded.get("code")), *data_differences(recorded, now.hashes, config, run_dir)]
    return Differences(decides, version_differences(recorded, now))


def version_differences(recorded: Mapping[str, Any], now: Now) -> list[str]:
    """Which versions of seqlab, PyTorch and Lightning differ, and whether seqlab's own commit does."""
    before = recorded.get("versions") or {}
    found = [
        f"{name} {before[name]} where {now.versions[name]} is now"
        for name in _SAID
        if None not in (before.get(name), now.versions[name]) and before[name] != now.versions[name]
    ]
    before_commit, commit = git_words(recorded.get("seqlab_git")), git_words(now.seqlab_git)
    if None not in (before_commit, commit) and before_commit != commit:
        found.append(f"seqlab at commit {before_commit} where {commit} is now")
    return found


def since_training(record: Mapping[str, Any], now: Now) -> list[str]:
    """The lines that a command says which uses a trained run: what of code and versions is other now. It goes on."""
    lines = []
    if changed := now.code_differences(record.get("code")):
        lines.append(f"since this run was trained: {'; '.join(changed)}")
    if versions := version_differences(record, now):
        lines.append(f"this run was trained by {'; '.join(versions)}")
    return lines
