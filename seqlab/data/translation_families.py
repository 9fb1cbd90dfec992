"""One function for each file of ``conf/data`` that holds sentence pairs: flat keys make a source, see ``families``."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from seqlab.data.bibles import KingJamesToWorldEnglish
from seqlab.data.files import Paths
from seqlab.data.options import published_folder
from seqlab.data.parallel import PARALLEL_SPLIT, ParallelFiles, ParallelHub
from seqlab.data.translation import TranslationData
from seqlab.errors import InputError

Sides = Mapping[str, Paths | None]


def parallel_data(
    path: Sides | None = None,
    train: Sides | None = None,
    validation: Sides | None = None,
    test: Sides | None = None,
    hub: Mapping[str, Any] | None = None,
    split: Sequence[float] = PARALLEL_SPLIT,
    split_seed: int = 0,
    encoding: str = "utf-8",
    **options: Any,
) -> TranslationData:
    """``data=parallel``: the user's own files, or with ``hub`` a Hugging Face data set.

    Named arguments as in ``ParallelFiles``, ``hub`` as in ``ParallelHub``, options as in ``TranslationData``.

    Raises:
        InputError: files and ``hub.path`` are both given, or ``hub`` lacks its path or a language.
    """
    named = {"path": path, "train": train, "validation": validation, "test": test}
    if not isinstance(hub, (Mapping, type(None))):
        raise InputError(f"data.hub={hub}: expected a data set and two languages; give data.hub.path={hub}")
    hub = {name: value for name, value in (hub or {}).items() if value is not None}
    if "path" not in hub:
        for name in ("name", "revision", "data_files", "source", "target"):
            if name in hub:
                raise InputError(f"data.hub.{name}={hub[name]} is for a data set of the hub: give data.hub.path=NAME")
        return TranslationData(ParallelFiles(**named, split=split, split_seed=split_seed, encoding=encoding), **options)
    for name, files in named.items():
        if any(files.values()) if isinstance(files, Mapping) else files:
            raise InputError(f"data.hub.path and data.{name} are both given: give one of them")
    for name in ("source", "target"):
        if name not in hub:
            raise InputError(f"data.hub.path={hub['path']}: give data.hub.{name}=LANGUAGE too, or the column's name")
    return TranslationData(ParallelHub(**hub, split=split, split_seed=split_seed), **options)


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
