"""One function for each file of ``conf/data`` with labelled texts: flat keys make a source, the rest are options."""

import os
from collections.abc import Sequence
from typing import Any

from seqlab.data.classification.module import ClassificationData
from seqlab.data.classification.sources import Ignored, LabelledHub, LabelledLines, LabelledTables, TinySentiment
from seqlab.data.core.cut import LABELLED_SPLIT
from seqlab.data.core.options import check_one_source, published_folder
from seqlab.data.formats.text import Paths
from seqlab.errors import InputError


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
