"""The files that a data module reads, for the record of a run."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from seqlab.data.vocabulary.base import TOKENIZER_FILE


def files_of(source: Any, *further: str | Path | None) -> list[str] | None:
    """The files that a source reads, and further ones; None for a user's own source without ``files()``.

    Args:
        source: a source of rows or text. It names files on the Hub by their addresses.
        *further: other files, or folders of vocabularies, of which the vocabularies' files count; None: nothing.
    """
    files = getattr(source, "files", None)
    if files is None:
        return None
    paths = [os.fspath(file) for file in files()]
    for path in [Path(path) for path in further if path]:
        nested = [*path.glob(TOKENIZER_FILE), *sorted(path.glob(f"*/{TOKENIZER_FILE}"))] if path.is_dir() else [path]
        paths += map(str, nested)
    return paths


def flat(files: Any) -> list[Path]:
    """The paths in a mapping or a list of paths, at any depth.

    Example:
        >>> flat({"train": [(Path("a"), Path("b"))], "test": Path("c")})
        [PosixPath('a'), PosixPath('b'), PosixPath('c')]
    """
    if isinstance(files, (str, os.PathLike)):
        return [Path(files)]
    values: Iterable[Any] = files.values() if isinstance(files, Mapping) else files
    return [path for value in values for path in flat(value)]
