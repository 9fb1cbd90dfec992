"""A digest of what training reads: content, order and labels, whatever the files' names and places."""

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch


class Digest:
    """Digests values one after the other: arrays, tensors, texts, numbers, and what holds them.

    Example:
        >>> one, other, same = Digest(), Digest(), Digest()
        >>> one.add(["ab", "c"]), other.add(["a", "bc"]), same.add(["ab", "c"])
        (None, None, None)
        >>> one.hexdigest() == same.hexdigest() != other.hexdigest()
        True
    """

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, *values: Any) -> None:
        """Each value with its type and size, so that no two sequences of values read alike."""
        for value in values:
            if isinstance(value, torch.Tensor):
                value = value.cpu().numpy()
            if isinstance(value, np.ndarray):
                self._hash.update(f"{value.dtype.str}{value.shape}".encode())
                self._hash.update(np.ascontiguousarray(value).data if value.size else b"")
            elif isinstance(value, str):
                content = value.encode("utf-8", "surrogatepass")
                self._hash.update(b"s%d:" % len(content) + content)
            elif isinstance(value, Mapping):
                self._hash.update(b"{%d" % len(value))
                self.add(*(part for pair in value.items() for part in pair))
            elif isinstance(value, (list, tuple)):
                self._hash.update(b"[%d" % len(value))
                self.add(*value)
            elif is_dataclass(value):
                self.add(*(getattr(value, field.name) for field in fields(value)))
            else:
                self._hash.update(repr(value).encode())

    def hexdigest(self) -> str:
        """Of all that was added so far."""
        return self._hash.hexdigest()
