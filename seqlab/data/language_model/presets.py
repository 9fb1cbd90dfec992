"""One function for each file of ``conf/data``: flat keys make a source, the rest goes to the data module."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from seqlab.data.core.cut import DEFAULT_SPLIT
from seqlab.data.core.options import published_folder
from seqlab.data.formats.text import Paths
from seqlab.data.language_model.module import LanguageModelData
from seqlab.data.language_model.sources import Hello, Hub, KingJames, TextFiles
from seqlab.errors import InputError


def hello_data(**options: Any) -> LanguageModelData:
    """``data=hello``: the lecture's four letters. Options as in ``LanguageModelData``."""
    return LanguageModelData(Hello(), **options)


def king_james_data(split: Sequence[float] = DEFAULT_SPLIT, **options: Any) -> LanguageModelData:
    """``data=kjv``: the King James Bible. ``split`` as in ``KingJames``, options as in ``LanguageModelData``."""
    return LanguageModelData(KingJames(split), **options)


def text_data(
    path: Paths | None = None,
    train: Paths | None = None,
    validation: Paths | None = None,
    test: Paths | None = None,
    split: Sequence[float] = DEFAULT_SPLIT,
    encoding: str = "utf-8",
    **options: Any,
) -> LanguageModelData:
    """``data=text``: the user's own files. Named arguments as in ``TextFiles``, options as in ``LanguageModelData``."""
    return LanguageModelData(TextFiles(path, train, validation, test, split, encoding), **options)


def ptb_data(root: str | os.PathLike[str] | None = None, **options: Any) -> LanguageModelData:
    """``data=ptb``: the Penn Treebank in Mikolov's preparation, ``ptb/ptb.{train,valid,test}.txt.gz`` under ``root``.

    Raises:
        InputError: ``root`` is not given, or a file is missing.
    """
    folder = published_folder(root, "ptb", "ptb", "ptb.{train,valid,test}.txt.gz")
    train, validation, test = (folder / f"ptb.{name}.txt.gz" for name in ("train", "valid", "test"))
    return LanguageModelData(TextFiles(train=train, validation=validation, test=test), **options)


def hub_data(
    path: str | None = None,
    name: str | None = None,
    column: str = "text",
    train: str | None = None,
    validation: str | None = None,
    test: str | None = None,
    split: Sequence[float] = DEFAULT_SPLIT,
    data_files: str | Sequence[str] | Mapping[str, Any] | None = None,
    revision: str | None = None,
    **options: Any,
) -> LanguageModelData:
    """``data=hub``: a Hugging Face data set. Named arguments as in ``Hub``, options as in ``LanguageModelData``."""
    if path is None:
        raise InputError("data=hub needs data.path=NAME, a data set's name, such as data.path=Salesforce/wikitext")
    names = {"train": train, "validation": validation, "test": test}
    source = Hub(path, name, column, split=split, data_files=data_files, revision=revision, **names)
    return LanguageModelData(source, **options)
