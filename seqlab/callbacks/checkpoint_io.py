"""Checkpoint files that are whole at any moment, and hold only what :func:`torch.load` reads back safely."""

import io
import shutil
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from seqlab.errors import InputError
from seqlab.files import replacing, replacing_sealed

_PLAIN: Final = frozenset({type(None), bool, int, float, complex, str, bytes, torch.Tensor, torch.nn.Parameter})
_CONTAINERS: Final = frozenset({dict, OrderedDict, list, tuple, set})


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints so that the file is whole at any moment.

    The checkpoint and its checksum are written to a file in the same folder, which is synced and then renamed. The
    earlier ``last.ckpt`` stays as ``previous.ckpt``. Lightning's own writer uses a temporary folder. If that is on
    another file system, its last step is a copy, and a kill leaves half of the file.

    Attributes:
        check_owner: raises if the folder belongs to another run by now, whose checkpoints must not be overwritten.
    """

    def __init__(self) -> None:
        super().__init__()
        self.check_owner: Callable[[], None] = lambda: None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Writes a checkpoint.

        Args:
            checkpoint: numbers, texts and tensors, and lists and dictionaries of them.
            path: the file.
            storage_options: not used.

        Raises:
            InputError: a value of another kind is in the checkpoint; names its place.
        """
        path = Path(path)
        if (unsafe := _unsafe_value(checkpoint, "")) is not None:
            place, kind = unsafe[0], type(unsafe[1])
            raise InputError(
                f"{kind.__module__}.{kind.__qualname__} in {place} would not come back from a checkpoint, "
                "of which nothing is executed: keep numbers, texts, tensors, and lists and dicts of them, such as "
                "float(value) or torch.from_numpy(value)"
            )
        self.check_owner()  # first, so that a folder that was removed or moved is not created again
        path.parent.mkdir(parents=True, exist_ok=True)
        previous = path.with_name("previous.ckpt") if path.name == "last.ckpt" else None
        with replacing_sealed(path, previous) as file:
            torch.save(checkpoint, file)
            self.check_owner()  # again, because a large file takes time to write

    def copy(self, path: Path, copy: Path) -> None:
        """Copies a checkpoint to another file, so that damage to one does not reach the other.

        Args:
            path: the checkpoint.
            copy: the other file; an earlier one stays as ``previous.ckpt``.
        """
        with open(path, "rb") as whole, replacing(copy, previous=copy.with_name("previous.ckpt")) as file:
            shutil.copyfileobj(whole, file)
            self.check_owner()


def _unsafe_value(value: Any, place: str) -> tuple[str, Any] | None:
    """The place and value of the first entry that :func:`torch.load` refuses with ``weights_only``."""
    if type(value) in _PLAIN:
        return None
    if type(value) not in _CONTAINERS:
        return None if _is_readable(value) else (place, value)
    items = value.items() if isinstance(value, Mapping) else enumerate(value)
    for key, entry in items:
        below = f"{place}[{key!r}]" if place else str(key)
        if (unsafe := _unsafe_value(entry, below) or _unsafe_value(key, below)) is not None:
            return unsafe
    return None


def _is_readable(value: Any) -> bool:
    """Whether a value can be saved and read back with ``weights_only``."""
    file = io.BytesIO()
    try:
        torch.save(value, file)
        file.seek(0)
        torch.load(file, weights_only=True)
    except Exception:  # a class may raise anything when it is pickled
        return False
    return True
