"""What the functions of ``conf/data`` check alike: where published data lies, and that one source is given."""

import os
from pathlib import Path
from typing import Any

from seqlab.errors import InputError


def published_folder(root: str | os.PathLike[str] | None, data: str, folder: str, files: str) -> Path:
    """The ``folder`` of published data under ``root``.

    Raises:
        InputError: ``root`` is not given; names the ``files`` that ``data=`` reads there.
    """
    if root is None:
        raise InputError(
            f"data={data} reads {folder}/{files} in a folder that is not named: "
            "set the environment variable SEQLAB_DATA, or give data.root=FOLDER"
        )
    return Path(root) / folder


def check_one_source(hub: str | None, path: Any = None, **of_the_hub: Any) -> None:
    """Refuses files beside a data set of the hub, and options ``of_the_hub`` without one.

    Raises:
        InputError: it is so.
    """
    if hub is not None and path is not None:
        raise InputError("data.hub and data.path are both given: give one of them")
    for option, value in of_the_hub.items():
        if hub is None and value is not None:
            raise InputError(f"data.{option}={value} is for a data set of the hub: give data.hub=NAME too")
