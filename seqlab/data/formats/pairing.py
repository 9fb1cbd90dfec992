"""Pairs of files: which file of one language belongs to which file of another."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from seqlab.data.core.summary import counted
from seqlab.data.formats.paths import Paths, expand_paths
from seqlab.errors import InputError

Difference = tuple[tuple[str, str], ...]
"""The words in which the names of a source and a target file differ: ``(("de", "en"),)``."""

_WORDS = re.compile(r"[^\W\d_]+|\d+|.", re.DOTALL)
_SHOWN = 3  # files that a message names


def pair_files(name: str, sides: Mapping[str, Paths]) -> list[tuple[Path, Path]]:
    """Pairs source and target files, in the order of the source files.

    Files that are listed one by one are paired in the order of the lists. Files of patterns are paired by their names:
    these differ in their folders or in the names of the languages, the same way in all pairs (apart from ``.gz``).

    Args:
        name: "path", "train", "validation" or "test", for messages.
        sides: the paths of "source" and "target".

    Raises:
        InputError: a file is missing, has no partner or is on both sides, or the names do not decide.
    """
    files = {side: expand_paths(paths, f"data.{name}.{side}") for side, paths in sides.items()}
    sources, targets = files["source"], files["target"]
    _check_sides_differ(name, sources, targets)
    difference = _difference(sources, targets)
    by_names = None if difference is None else _partners(sources, targets, difference)
    if all(_listed(paths, files[side]) for side, paths in sides.items()) or len(sources) == len(targets) == 1:
        if len(sources) != len(targets):
            raise InputError(
                f"data.{name}: {counted(len(sources), 'source files')} and {counted(len(targets), 'target files')}; "
                "each source file needs its target file"
            )
        listed = list(zip(sources, targets, strict=True))
        if by_names is not None and len(sources) > 1 and by_names != listed:
            first = next(index for index, pair in enumerate(listed) if pair != by_names[index])
            raise InputError(
                f"data.{name}: the lists put {sources[first]} beside {targets[first]}, but by its name it goes with "
                f"{by_names[first][1]}: give both lists in the same order"
            )
        return listed
    if by_names is None:
        raise InputError(f"data.{name}: {_why_apart(name, sources, targets)}")
    return by_names


def _listed(paths: Paths, files: Sequence[Path]) -> bool:
    """Whether the paths name each file by itself."""
    items = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    return len(items) == len(files) and all(os.path.lexists(Path(item).expanduser()) for item in items)


def _check_sides_differ(name: str, sources: Sequence[Path], targets: Sequence[Path]) -> None:
    for source in sources:
        for target in targets:
            if os.path.samefile(source, target):
                shown = f"{source}" if source == target else f"{source} and {target}"
                raise InputError(
                    f"data.{name}: the same file as source and target: {shown}; a file with both in columns is read by "
                    f"data.{name}=FILE data.source=COLUMN data.target=COLUMN"
                )


def _names(files: Sequence[Path]) -> list[str]:
    """The paths of files from their common folder, without ``.gz``."""
    folder = os.path.commonpath([os.path.abspath(file.parent) for file in files])
    names = [os.path.relpath(os.path.abspath(file), folder) for file in files]
    return [name.removesuffix(".gz") for name in names]


def _differing(source: str, target: str) -> Difference | None:
    """The words in which two names differ; None where they differ in more than words.

    Example:
        >>> _differing("part1.de-en.de", "part1.de-en.en"), _differing("part1.de", "part2.en")
        ((('de', 'en'),), None)
    """
    words = _WORDS.findall(source), _WORDS.findall(target)
    if len(words[0]) != len(words[1]):
        return None
    words_apart = tuple(dict.fromkeys((one, other) for one, other in zip(*words, strict=True) if one != other))
    return (
        words_apart if all(one.isalpha() and other.isalpha() for pair in words_apart for one, other in [pair]) else None
    )


def _difference(sources: Sequence[Path], targets: Sequence[Path]) -> Difference | None:
    """The difference by which each source file has one target file; the shortest, where there are several."""
    if len(sources) != len(targets):
        return None
    source_names, target_names = _names(sources), _names(targets)
    candidates = {_differing(source_names[0], name) for name in target_names}
    return next(
        (
            candidate
            for candidate in sorted((one for one in candidates if one is not None), key=lambda one: (len(one), one))
            if _partners(sources, targets, candidate) is not None
        ),
        None,
    )


def _partners(
    sources: Sequence[Path], targets: Sequence[Path], difference: Difference
) -> list[tuple[Path, Path]] | None:
    """Each source file with the target file that has this difference; None where one has no such file or several."""
    target_names = dict(zip(targets, _names(targets), strict=True))
    if len(set(target_names.values())) < len(targets):
        return None
    pairs = []
    for source, source_name in zip(sources, _names(sources), strict=True):
        partners = [target for target, name in target_names.items() if _differing(source_name, name) == difference]
        if len(partners) != 1:
            return None
        pairs.append((source, partners[0]))
    return pairs if len({target for _, target in pairs}) == len(targets) else None


def _why_apart(name: str, sources: Sequence[Path], targets: Sequence[Path]) -> str:
    """Why files cannot be paired, and the mend."""
    mend = f"give data.{name}.source=[FILE,...] and data.{name}.target=[FILE,...] as lists in the same order"
    best = _likeliest(sources, targets)
    if best:
        alone = _without_partner(sources, targets, best)
        if alone:
            shown = ", ".join(map(str, alone[:_SHOWN])) + (", ..." if len(alone) > _SHOWN else "")
            return f"no file goes with {shown} by its name; add it or leave it out, or {mend}"
    shown = " and ".join(", ".join(map(str, side[:_SHOWN])) for side in (sources, targets))
    return f"the names of {shown} do not tell which file goes with which: {mend}"


def _likeliest(sources: Sequence[Path], targets: Sequence[Path]) -> Difference | None:
    """The difference between the most pairs of files."""
    counts: dict[Difference, int] = {}
    for source in _names(sources):
        for target in _names(targets):
            difference = _differing(source, target)
            if difference is not None and len(difference) <= 1:
                counts[difference] = counts.get(difference, 0) + 1
    return max(counts, key=lambda one: counts[one], default=None)


def _without_partner(sources: Sequence[Path], targets: Sequence[Path], difference: Difference) -> list[Path]:
    names = dict(zip(sources, _names(sources), strict=True)), dict(zip(targets, _names(targets), strict=True))
    return [
        *(s for s, name in names[0].items() if all(_differing(name, n) != difference for n in names[1].values())),
        *(t for t, name in names[1].items() if all(_differing(n, name) != difference for n in names[0].values())),
    ]
