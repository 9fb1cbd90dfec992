"""The folder of an export: its files, written whole or not at all, and the metadata that says how to use them."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from seqlab.data.vocabulary.base import Vocabulary
from seqlab.errors import InputError
from seqlab.export.programs import Port, Program

METADATA: Final = "export.json"
INITIAL_STATE: Final = "initial_state.npz"


@contextlib.contextmanager
def new_folder(path: Path, overwrite: bool) -> Iterator[Path]:
    """A folder to write into, which takes its place when the block ends; if the block raises, nothing has changed.

    Args:
        path: its place.
        overwrite: whether an export that is there already is replaced.

    Raises:
        InputError: there is something at that place, or nothing can be written there.
    """
    check_place(path, overwrite)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    except OSError as error:
        raise InputError(f"--output {path}: {error.strerror}") from error
    try:
        yield temporary
        os.chmod(temporary, 0o777 & ~_umask())
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.old.", dir=path.parent) as aside:
            check_place(path, overwrite)  # again: the work took a while
            if path.exists():
                os.rename(path, Path(aside) / "old")
            os.rename(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_place(path: Path, overwrite: bool) -> None:
    """Checks that an export may be written at a place, before the work begins.

    Raises:
        InputError: there is something; with ``overwrite``, something that is no export.
    """
    if not os.path.lexists(path):
        return
    if not path.is_dir() or path.is_symlink():
        raise InputError(f"--output {path} is there, and no folder; give another name")
    if not any(path.iterdir()):
        return
    if not (path / METADATA).is_file():
        raise InputError(f"--output {path} is a folder with files that are no export; give another name")
    if not overwrite:
        raise InputError(f"{path} holds an export already; give --overwrite to replace it, or --output another folder")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_metadata(folder: Path, values: Mapping[str, Any]) -> None:
    """Writes ``export.json``."""
    (folder / METADATA).write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_vocabularies(folder: Path, vocabularies: Mapping[str, Vocabulary]) -> dict[str, dict[str, str]]:
    """Writes each vocabulary as plain JSON, and once more in the form of `tokenizers`; returns the files' names."""
    files = {}
    for name, vocabulary in vocabularies.items():
        settings = vocabulary.settings
        plain = {
            "unit": vocabulary.unit,
            "lowercase": settings.lowercase,
            "punctuation": settings.punctuation,
            "end_of_line": settings.end_of_line,
            "unknown_id": vocabulary.unknown_id,
            "tokens": vocabulary.tokens,
        }
        files[name] = {"plain": f"{name}.json", "tokenizers": f"{name}.tokenizer.json"}
        # ASCII escapes: a token may be half of a pair that no encoding of text can hold.
        (folder / files[name]["plain"]).write_text(json.dumps(plain, indent=1), encoding="ascii")
        vocabulary.save(folder / files[name]["tokenizers"])
    return files


def write_initial_state(folder: Path, initial: Mapping[str, Tensor]) -> str | None:
    """Writes the state before the first step, one row of each part; returns the file's name, None without a state."""
    if not initial:
        return None
    with open(folder / INITIAL_STATE, "wb") as file:
        np.savez(file, **{name: value.numpy() for name, value in initial.items()})  # type: ignore[arg-type]
    return INITIAL_STATE


def described(program: Program) -> dict[str, Any]:
    """The names, types and axes of a program, for the metadata."""
    return {
        "does": program.text,
        "inputs": [_port(port) for port in program.flat_inputs],
        "outputs": [_port(port) for port in program.outputs],
        "state": [{"input": one, "output": other} for one, other in program.state],
    }


def arguments_of(program: Program) -> list[Any]:
    """How the file of ``torch.export`` is called: a name is an argument, a list one argument, a tuple of tensors."""
    return [[port.name for port in each] if isinstance(each, tuple) else each.name for each in program.inputs]


def _port(port: Port) -> dict[str, Any]:
    return {"name": port.name, "dtype": _dtype(port.dtype), "shape": list(port.shape), "is": port.text}


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
