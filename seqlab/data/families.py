"""One function for each file of ``conf/data``: flat keys make a source, the rest goes to the data module."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from seqlab.data.classification import ClassificationData
from seqlab.data.files import Paths, TextFiles
from seqlab.data.hub import Hub
from seqlab.data.labelled import LABELLED_SPLIT, Ignored, LabelledHub, LabelledLines, LabelledTables, TinySentiment
from seqlab.data.language_model import LanguageModelData
from seqlab.data.options import check_one_source, published_folder
from seqlab.data.sources import DEFAULT_SPLIT, Hello, KingJames
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


def tiny_sentiment_data(**options: Any) -> ClassificationData:
    """``data=tiny_sentiment``: four sentences and two test sentences. Options as in ``ClassificationData``."""
    return ClassificationData(TinySentiment(), **options)


def labelled_data(
    path: Paths | None = None,
    train: Paths | None = None,
    validation: Paths | None = None,
    test: Paths | None = None,
    hub: str | None = None,
    name: str | None = None,
    revision: str | None = None,
    text: str | int = "text",
    label: str | int = "label",
    separator: str | None = None,
    header: bool = True,
    quoting: str | None = None,
    ignore_label: Ignored = None,
    split: Sequence[float] = LABELLED_SPLIT,
    split_seed: int = 0,
    split_unique: bool = False,
    encoding: str = "utf-8",
    **options: Any,
) -> ClassificationData:
    """``data=classification``: the user's own tables, or with ``hub`` a Hugging Face data set.

    Named arguments as in ``LabelledTables``; with ``hub`` as in ``LabelledHub``, where ``train``, ``validation`` and
    ``test`` name splits (by default those very names). Options as in ``ClassificationData``.

    Raises:
        InputError: ``hub`` and ``path`` are both given, or an option of the one with the other.
    """
    check_one_source(hub, path, name=name, revision=revision)
    columns: dict[str, Any] = {"text": text, "label": label, "ignore_label": ignore_label}
    cut: dict[str, Any] = {"split": split, "split_seed": split_seed, "split_unique": split_unique}
    if hub is None:
        written: dict[str, Any] = {"separator": separator, "header": header, "quoting": quoting, "encoding": encoding}
        return ClassificationData(LabelledTables(path, train, validation, test, **columns, **written, **cut), **options)
    for option, value in (("separator", separator), ("header", None if header else header), ("quoting", quoting)):
        if value is not None:
            raise InputError(f"data.{option}={value!r} is for files: a data set of the hub has columns with names")
    names: dict[str, Any] = {"train": train, "validation": validation, "test": test}
    return ClassificationData(LabelledHub(hub, **columns, name=name, revision=revision, **cut, **names), **options)


def mr_data(
    root: str | os.PathLike[str] | None = None,
    split: Sequence[float] = LABELLED_SPLIT,
    split_seed: int = 0,
    **options: Any,
) -> ClassificationData:
    """``data=mr``: sentences of movie reviews (Pang & Lee 2005), ``mr/rt-polarity.{neg,pos}`` under ``root``.

    Raises:
        InputError: ``root`` is not given, or a file is missing.
    """
    folder = published_folder(root, "mr", "mr", "rt-polarity.{neg,pos}")
    files = {name: folder / f"rt-polarity.{name[:3]}" for name in ("negative", "positive")}
    return ClassificationData(LabelledLines(files, split, split_seed), **options)
