"""Arrays in npy files."""

import tokenize
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from seqlab.data.formats.kinds import other_kind
from seqlab.errors import InputError

# What NumPy raises for a broken file: its header is Python, whose tokenizer has errors of its own.
_BROKEN: Final = (ValueError, OSError, EOFError, SyntaxError, tokenize.TokenError, TypeError, KeyError, MemoryError)


def read_array(file: Path) -> NDArray[Any]:
    """The array of a npy file.

    Args:
        file: the file.

    Raises:
        InputError: it is broken or cut off, holds objects of Python, or is no npy file.
    """
    try:
        array = np.load(file, allow_pickle=False)
        if not isinstance(array, np.ndarray):
            array.close()
            raise InputError(f"{file} holds several arrays, as npz files do; save the one that is meant by np.save")
        return array
    except _BROKEN as error:
        if isinstance(error, OSError) and error.strerror:
            raise InputError(f"{file} cannot be read: {error.strerror}") from error
        kind = other_kind(file, "a NumPy")
        if not kind and "allow_pickle" in str(error):
            kind = "it holds objects of Python"
        raise InputError(
            f"{file} is not a npy file of numbers: {kind or 'it is broken, or cut off'}; save the array anew by np.save"
        ) from error
