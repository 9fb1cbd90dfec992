"""Where pictures with descriptions come from: a user's folder in the form of COCO, or a table."""

import json
import logging
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from seqlab.data.captions.pictures import read_picture
from seqlab.data.core.cut import Cut
from seqlab.data.core.fingerprint import same_numbers
from seqlab.data.core.reading import Reading
from seqlab.data.formats.number_columns import is_missing, written_columns
from seqlab.data.formats.paths import Files, Paths
from seqlab.data.formats.separators import Writing
from seqlab.data.formats.sources import FileRows
from seqlab.errors import InputError

log = logging.getLogger("seqlab")


@dataclass(frozen=True, eq=False)
class Described:
    """A picture and its descriptions.

    Attributes:
        values: ``(C, H, W)`` float32 from 0 to 1; or features ``(L, F)``.
        texts: one description or more.
        place: where it comes from, for messages.
        name: the name of its file, as the table has it; empty: it has none, and is shown by its place.
    """

    values: NDArray[np.float32]
    texts: tuple[str, ...]
    place: str
    name: str = ""


class PictureSource(Protocol):
    """The contract of a source of pictures. A source may also have ``files()``, the files that it reads."""

    picture_size: tuple[int, ...]

    def __str__(self) -> str:
        """The source's name in messages."""

    def read(self, split: str) -> Sequence[Described]:
        """The pictures of "train", "validation" or "test"."""


class Pictures(FileRows[Described]):
    """Pictures with descriptions: a table of both, or a file in the form of COCO's captions.

    A table has a row for each description, and names the picture relative to its own folder. A json file has "images"
    with ``id`` and ``file_name``, and "annotations" with ``image_id`` and ``caption``; pictures are looked for in
    ``folder``. All descriptions of a picture are in one split.

    Args:
        files: csv, tsv, parquet or json: those of one set, which is cut into splits, or those of each split.
        folder: the folder of the pictures; None: that of the file.
        picture: the column of picture files.
        text: the column of descriptions.
        cut: how one set is cut.
        picture_size: (3, H, W) or (1, H, W), to which pictures are scaled; (L, F) for features in npy files.
        encoding: of csv and tsv.
        separator, quoting: see :class:`~seqlab.data.formats.separators.Writing`.

    Raises:
        InputError: as other sources of files; on first use: a picture cannot be read, or a description is empty.
    """

    unit = "pictures"

    def __init__(
        self,
        files: Files | Paths = Files(),
        folder: str | Path | None = None,
        picture: str = "picture",
        text: str = "text",
        cut: Cut = Cut(),
        picture_size: Sequence[int] = (3, 64, 64),
        encoding: str = "utf-8",
        separator: str | None = None,
        quoting: str | None = None,
    ) -> None:
        self._files = Files.of(files).expanded("pictures")
        self._folder = None if folder is None else Path(folder).expanduser()
        self._picture, self._text, self._cut = picture, text, cut
        self._writing = Writing(encoding=encoding, separator=separator, quoting=quoting)
        sizes = tuple(picture_size)
        if len(sizes) not in (2, 3) or not all(isinstance(size, int) and size > 0 for size in sizes):
            raise InputError(f"data.picture_size={list(sizes)} must be [3,H,W], [1,H,W], or [L,F] for features")
        if len(sizes) == 3 and sizes[0] not in (1, 3):
            raise InputError(f"data.picture_size={list(sizes)}: a picture has 3 channels, or 1 in grey")
        self.picture_size = sizes
        cut.check_use("path" in self._files)

    def _key(self, row: Described) -> Hashable:
        return same_numbers(row.values)

    def _read_files(self) -> dict[str, Reading[Described]]:
        return {name: Reading(self._rows(files)) for name, files in self._files.items()}

    def _rows(self, files: Sequence[Path]) -> list[Described]:
        """The pictures of files, each once, however and in how many of them it is named."""
        texts: dict[Path, list[str]] = {}
        first: dict[Path, tuple[Path, str, str]] = {}  # where a picture is named first: its path, name and place
        for file in files:
            for name, text, place in self._pairs(file):
                if not text.strip():
                    raise InputError(f"{place}: the description is empty; write one, or leave it out")
                path = (self._folder or file.parent) / name
                texts.setdefault(path.resolve(), []).append(" ".join(text.split()))
                first.setdefault(path.resolve(), (path, name, place))
        rows = []
        for picture, (path, name, place) in first.items():
            try:
                values = read_picture(path, self.picture_size)
            except InputError as error:
                raise InputError(f"{place}: {error}") from error
            rows.append(Described(values, tuple(texts[picture]), place, name))
        return rows

    def _pairs(self, file: Path) -> list[tuple[str, str, str]]:
        """The name of a picture, a description of it, and the place of the pair."""
        if file.name.lower().endswith(".json"):
            return _coco_pairs(file)
        columns = written_columns(file, self._writing)
        names = columns.column(self._picture, "data.picture")
        texts = columns.column(self._text, "data.text")
        pairs = []
        for name, text, place in zip(names, texts, columns.places, strict=True):
            if is_missing(name):
                raise InputError(f"{place}: {self._picture} is empty; every row names a picture")
            pairs.append((str(name), "" if is_missing(text) else str(text), place))
        return pairs

    def files(self) -> list[Path]:
        """The tables, and the pictures that they name."""
        tables = super().files()
        return [
            *tables,
            *dict.fromkeys((self._folder or t.parent) / name for t in tables for name, _, _ in self._pairs(t)),
        ]


def _reason(error: KeyError | TypeError) -> str:
    return f"{error} is not there" if isinstance(error, KeyError) else "it has another form"


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"two values of {next(key for key in record if keys.count(key) > 1)!r} in one object")
    return record


def _coco_pairs(file: Path) -> list[tuple[str, str, str]]:
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=_without_repeats)
        images = [(image["id"], str(image["file_name"])) for image in content["images"]]
        captions = [(each["image_id"], str(each["caption"] or "")) for each in content["annotations"]]
        names = dict(images)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file} cannot be read as json: {' '.join(str(error).split())}") from error
    except (KeyError, TypeError) as error:
        wanted = '"images" with id and file_name, and "annotations" with image_id and caption'
        raise InputError(f"{file}: expected {wanted}; {_reason(error)}") from error
    for number, name in images:
        if names[number] != name:
            raise InputError(
                f"{file}: the image {number} is {name}, and {names[number]} too; give each an id of its own"
            )
    described = {number for number, _ in captions}
    if without := [name for number, name in images if number not in described]:
        log.warning("%s: images without a caption are left out: %d, such as %s", file, len(without), without[0])
    unknown = next((number for number, _ in captions if number not in names), None)
    if unknown is not None:
        raise InputError(f"{file}: a caption is of the image {unknown!r}, which is not among the images")
    return [(names[number], text, f"{file}, caption {place}") for place, (number, text) in enumerate(captions, start=1)]
