"""A digest of what training reads: content, order and labels, but not the names and places of files."""

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch


def same_numbers(values: np.ndarray[Any, Any]) -> tuple[tuple[int, ...], bytes]:
    """A key that arrays share if a model reads equal numbers: of 32 bits, with one zero and one missing value.

    Example:
        >>> same_numbers(np.array([0.0, 0.1])) == same_numbers(np.array([-0.0, 0.1], dtype=np.float32))
        True
    """
    read = np.array(values, dtype=np.float32, order="C") + np.float32(0)
    read[np.isnan(read)] = np.nan
    return read.shape, hashlib.blake2b(read.view(np.uint8).data, digest_size=16).digest()


class Digest:
    """A digest of values, one after the other: arrays, tensors, texts, numbers, and containers of them.

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
        """Adds values, each with its type and size, so that different sequences of values have different digests.

        Raises:
            TypeError: the content of a value cannot be known, or differs from process to process.
        """
        for value in values:
            if isinstance(value, torch.Tensor):
                self._add_tensor(value)
            elif isinstance(value, np.ndarray):
                self._add_array(value)
            elif isinstance(value, str):
                content = value.encode("utf-8", "surrogatepass")
                self._hash.update(b"s%d:" % len(content) + content)
            elif isinstance(value, Mapping):
                self._hash.update(b"{%d" % len(value))
                self.add(*(part for pair in value.items() for part in pair))
            elif isinstance(value, (list, tuple)):
                self._hash.update(b"[%d" % len(value))
                self.add(*value)
            elif isinstance(value, (set, frozenset)):  # whose order differs from process to process
                self._hash.update(b"(%d" % len(value))
                self.add(*sorted(value, key=repr))
            elif is_dataclass(value) and not isinstance(value, type):
                self.add(*(getattr(value, field.name) for field in fields(value)))
            elif type(value).__repr__ is not object.__repr__:  # type: ignore[comparison-overlap]
                self._hash.update(repr(value).encode())
            elif hasattr(value, "__dict__"):
                self.add(type(value).__qualname__, vars(value))
            else:
                raise TypeError(f"a {type(value).__qualname__} has no content that a digest could be made of")

    def _add_tensor(self, value: torch.Tensor) -> None:
        value = value.detach().cpu()
        if value.dtype == torch.bfloat16:  # a type that NumPy lacks
            self._hash.update(b"bfloat16")
            value = value.view(torch.int16)
        self._add_array(value.numpy())

    def _add_array(self, value: np.ndarray[Any, Any]) -> None:
        self._hash.update(f"{value.dtype.str}{value.shape}".encode())
        if value.dtype.hasobject:  # whose memory holds addresses
            self.add(value.tolist())
        elif value.size:
            self._hash.update(np.ascontiguousarray(value).view(np.uint8).data)

    def hexdigest(self) -> str:
        """The digest of all values so far, as hexadecimal digits."""
        return self._hash.hexdigest()
