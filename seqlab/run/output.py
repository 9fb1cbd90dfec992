"""Standard output whose reader may leave while a run trains, as ``| head -1`` does. Torch is not needed."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any


@contextlib.contextmanager
def ignore_broken_pipe(on_broken: Callable[[], None]) -> Iterator[None]:
    """Within the block ``print`` does not raise when nobody reads the output any more; ``on_broken()`` is called then.

    Otherwise a line that cannot be printed would end the run as failed, wherever it is.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_Stream(stream, on_broken) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def drop_output() -> None:
    """Discards all further output if nobody reads it: Python would complain about it at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            _redirect_to_null(stream)


class _Stream:
    """A stream that calls ``on_broken()`` instead of raising BrokenPipeError."""

    def __init__(self, stream: Any, on_broken: Callable[[], None]) -> None:
        self._stream, self._on_broken = stream, on_broken

    def write(self, text: str) -> int:
        with self._guarded():
            self._stream.write(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        with self._guarded():
            self._stream.flush()

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            _redirect_to_null(self._stream)
            self._on_broken()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _redirect_to_null(stream: Any) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(OSError, ValueError):  # the stream has no file
        os.dup2(null, stream.fileno())
    os.close(null)
