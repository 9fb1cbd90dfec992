"""Standard output whose reader may leave while a run trains, as ``| head -1`` does. Torch is not needed."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def lasting_output(on_loss: Callable[[], None]) -> Iterator[None]:
    """Within it ``print`` does not raise once nobody reads any more; ``on_loss()`` is called then.

    Otherwise a line that cannot be printed would end a run as failed, wherever it is.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_Stream(stream, on_loss) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def drop_output() -> None:
    """Has what is printed from now on go nowhere, where nobody reads it: Python would complain of it as it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            _drop(stream)


class _Stream:
    def __init__(self, stream: Any, on_loss: Callable[[], None]) -> None:
        self._stream, self._on_loss = stream, on_loss

    def write(self, text: str) -> int:
        with self._heeded():
            self._stream.write(text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        with self._heeded():
            self._stream.flush()

    @contextlib.contextmanager
    def _heeded(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            _drop(self._stream)
            self._on_loss()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _drop(stream: Any) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(OSError, ValueError):  # one that has no file
        os.dup2(null, stream.fileno())
    os.close(null)
