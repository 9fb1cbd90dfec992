"""How a contract that does not hold is told."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def part(name: str, subject: str) -> Iterator[None]:
    """Turns whatever a part of a contract raises into an AssertionError that names the part and the ``subject``."""
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"{name}: {error}") from error
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "")
        raise AssertionError(f"{name}: the {subject} raised {type(error).__name__}: {reason}") from error
