"""Files that are replaced whole."""

import itertools
import os

_temporary_number = itertools.count()


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Replace (or create) a file in one step: a reader sees the old content or the new one, never a part.

    The mode is the one that the umask gives to any new file; a link keeps pointing at its file.
    """
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}-{next(_temporary_number)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
