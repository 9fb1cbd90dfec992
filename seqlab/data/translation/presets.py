"""One function for each file of ``conf/data`` that holds sentence pairs: flat keys make a source, see ``families``."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from seqlab.data.core.options import published_folder
from seqlab.data.formats.pair_tables import PairFormat
from seqlab.data.formats.text import Paths
from seqlab.data.translation.bibles import KingJamesToWorldEnglish
from seqlab.data.translation.module import TranslationData
from seqlab.data.translation.sources import PARALLEL_SPLIT, ParallelFiles, ParallelHub, ParallelTables
from seqlab.errors import InputError

Sides = Mapping[str, Paths | None] | Paths


def parallel_data(
    path: Sides | None = None,
    train: Sides | None = None,
    validation: Sides | None = None,
    test: Sides | None = None,
    hub: Mapping[str, Any] | None = None,
    split: Sequence[float] = PARALLEL_SPLIT,
    split_seed: int = 0,
    encoding: str = "utf-8",
    source: str | int | None = None,
    target: str | int | None = None,
    separator: str | None = None,
    header: bool | None = None,
    quoting: str | None = None,
    skip_empty: bool = False,
    split_unique: bool = False,
    **options: Any,
) -> TranslationData:
    """``data=parallel``: the user's own files, or with ``hub`` a Hugging Face data set.

    Named arguments as in ``ParallelFiles``; with ``source`` and ``target``, two columns of one file, as in
    ``ParallelTables`` and ``PairFormat``; ``hub`` as in ``ParallelHub``, options as in ``TranslationData``.

    Raises:
        InputError: files and ``hub.path`` are both given, ``hub`` lacks its path or a language, or one of ``source``
            and ``target`` is given without the other.
    """
    options = {**options, "skip_empty": skip_empty}
    of_files: dict[str, Any] = {
        "split": split,
        "split_seed": split_seed,
        "skip_empty": skip_empty,
        "split_unique": split_unique,
    }
    in_columns = source is not None or target is not None
    named = {"path": path, "train": train, "validation": validation, "test": test}
    if not isinstance(hub, (Mapping, type(None))):
        raise InputError(f"data.hub={hub}: expected a data set and two languages; give data.hub.path={hub}")
    hub = {name: value for name, value in (hub or {}).items() if value is not None}
    if "path" not in hub:
        for name in ("name", "revision", "data_files", "source", "target"):
            if name in hub:
                raise InputError(f"data.hub.{name}={hub[name]} is for a data set of the hub: give data.hub.path=NAME")
        if not in_columns:
            for name, value in {"separator": separator, "header": header, "quoting": quoting}.items():
                if value is not None:
                    raise InputError(
                        f"data.{name}={value} is for two columns of one file: give data.source=COLUMN "
                        "data.target=COLUMN data.path=FILE"
                    )
            return TranslationData(ParallelFiles(**named, encoding=encoding, **of_files), **options)  # type: ignore[arg-type]
        if source is None or target is None:
            side, other = ("target", "source") if target is None else ("source", "target")
            raise InputError(f"data.{side} is not given beside data.{other}: give the columns of both sides")
        form = PairFormat(source, target, encoding, separator, header, quoting)
        tables = {name: _one_file(name, files) for name, files in named.items()}
        return TranslationData(ParallelTables(form, **tables, **of_files), **options)  # type: ignore[arg-type]
    if in_columns or split_unique:
        name = "data.split_unique" if split_unique else "data.source" if source is not None else "data.target"
        mend = "leave it out" if split_unique else f"give data.hub.{name[5:]} in its place"
        raise InputError(f"{name} is for files, and data.hub.path={hub['path']} is given: {mend}")
    for name, files in named.items():
        if any(files.values()) if isinstance(files, Mapping) else files:
            raise InputError(f"data.hub.path and data.{name} are both given: give one of them")
    for name in ("source", "target"):
        if name not in hub:
            raise InputError(f"data.hub.path={hub['path']}: give data.hub.{name}=LANGUAGE too, or the column's name")
    return TranslationData(ParallelHub(**hub, split=split, split_seed=split_seed), **options)


def _one_file(name: str, files: Sides | None) -> Paths | None:
    """The file that holds both sides."""
    if not isinstance(files, Mapping):
        return files
    given = {side: path for side, path in files.items() if path}
    if len(given) == 1 or (given and len(set(map(str, given.values()))) > 1):
        raise InputError(f"data.{name}: data.source and data.target are columns of one file: give data.{name}=FILE")
    return next(iter(given.values()), None)


def multi30k_data(
    root: str | os.PathLike[str] | None = None,
    source: str = "de",
    target: str = "en",
    test: str = "test_2016_flickr",
    **options: Any,
) -> TranslationData:
    """``data=multi30k``: captions of pictures (Elliott et al. 2016), ``multi30k/{train,val,TEST}.LANGUAGE.gz`` under
    ``root``.

    Raises:
        InputError: ``root`` is not given, or a file is missing.
    """
    folder = published_folder(root, "multi30k", "multi30k", "{train,val,test_2016_flickr}.{de,en}.gz")
    train, validation, tested = (
        {"source": folder / f"{name}.{source}.gz", "target": folder / f"{name}.{target}.gz"}
        for name in ("train", "val", test)
    )
    return TranslationData(ParallelFiles(train=train, validation=validation, test=tested), **options)


def kjv_web_data(split: Sequence[float] = PARALLEL_SPLIT, split_seed: int = 0, **options: Any) -> TranslationData:
    """``data=kjv_web``: English of 1769 to English of 2000. Named arguments as in ``KingJamesToWorldEnglish``, options
    as in ``TranslationData``."""
    return TranslationData(KingJamesToWorldEnglish(split, split_seed), **options)
