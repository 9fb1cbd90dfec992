"""The files ``.claim-N`` of a folder: who owns it, and the counter that the owner keeps raising."""

import json
import os
import secrets
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqlab.errors import InputError
from seqlab.files import write_atomically
from seqlab.run.provenance import this_process


class AtWorkError(InputError):
    """Another process owns the run."""


def at_work(folder: Path, owner: Mapping[str, Any]) -> AtWorkError:
    """The error that a folder has an owner."""
    return AtWorkError(f"{folder} is in use by {process_name(owner)}: wait until it ends, or give another folder")


def process_name(owner: Mapping[str, Any]) -> str:
    """An owner, for messages."""
    return f"process {owner['pid']} on {owner.get('host')}" if owner.get("pid") else "an unknown process"


def last_claim(folder: Path) -> tuple[int, dict[str, Any] | None]:
    """The number of the last claim on a folder (0: none), and its owner (None: it was released)."""
    numbers = claim_numbers(folder)
    return (numbers[-1], read_claim(claim_file(folder, numbers[-1]))[0]) if numbers else (0, None)


def present_claim(folder: Path) -> tuple[Path, str]:
    """The file and the token of the claim on a folder.

    Raises:
        InputError: nobody owns the folder.
    """
    number, owner = last_claim(folder)
    if owner is None:
        raise InputError(f"{folder}: no process has claimed this run")
    return claim_file(folder, number), str(owner.get("token"))


def claim_text(folder: Path) -> str | None:
    """The text of the last claim on a folder; it changes each time the owner raises its counter. None: no claim."""
    numbers = claim_numbers(folder)
    try:
        return claim_file(folder, numbers[-1]).read_text() if numbers else None
    except OSError:
        return None


def claim_file(folder: Path, number: int) -> Path:
    """The file of a claim."""
    return folder / f".claim-{number}"


def claim_numbers(folder: Path) -> list[int]:
    """The numbers of all claims on a folder, in order."""
    names = (path.name.rpartition("-")[2] for path in folder.glob(".claim-*"))
    return sorted(int(name) for name in names if name.isdecimal())


def read_claim(path: Path) -> tuple[dict[str, Any] | None, int]:
    """The owner and the counter in a claim's file; the owner is None if the claim was released.

    A file that is damaged, or not yet complete, gives an unknown owner, who has to be watched like one of another
    machine.
    """
    try:
        claim = json.loads(path.read_text())
        return dict(claim), int(claim["counter"])
    except FileNotFoundError:
        return None, 0
    except (OSError, ValueError, TypeError, KeyError):
        return {}, -1


def write_claim(folder: Path, number: int) -> tuple[Path, str]:
    """Creates the file of a new claim of this process; its name can be created once on any file system.

    Returns:
        The file and the claim's token.

    Raises:
        AtWorkError: another process took the folder at the same moment.
        OSError: the file cannot be written.
    """
    path, token = claim_file(folder, number), secrets.token_hex(4)
    taken = AtWorkError(f"another process has just taken {folder}: wait until it ends, or give another folder")
    try:
        create_file(path, _text_of(token, 0).encode())
    except (FileExistsError, FileNotFoundError):
        raise taken from None
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    numbers = claim_numbers(folder)
    if numbers[-1:] != [number]:  # without locks, other claims may have come and gone since the number was chosen
        path.unlink(missing_ok=True)
        raise taken
    for earlier in numbers[:-1]:
        claim_file(folder, earlier).unlink(missing_ok=True)
    return path, token


def rewrite_claim(path: Path, token: str, counter: int) -> None:
    """Writes a claim's file with another counter; this process is the owner from now on."""
    write_atomically(path, _text_of(token, counter).encode())


def _text_of(token: str, counter: int) -> str:
    return json.dumps({"token": token, **this_process(), "counter": counter})


def create_file(path: Path, content: bytes) -> None:
    """Creates a file with its content in one step: a kill leaves no empty file, which would have to be watched.

    Raises:
        FileExistsError: the file exists.
        OSError: the file cannot be created.
    """
    temporary = path.with_name(f".claim.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        temporary.write_bytes(content)
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # the file system has no hard links
            with open(path, "xb") as file:
                file.write(content)
    finally:
        temporary.unlink(missing_ok=True)
