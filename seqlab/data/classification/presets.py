"""A function for each file of ``conf/data`` with labelled texts: from flat keys to a source and a data module."""

import os
from typing import Any

from seqlab.data.classification.hub import LabelledHub
from seqlab.data.classification.module import ClassificationData
from seqlab.data.classification.sources import LabelledLines, LabelledTables, TinySentiment
from seqlab.data.core.cut import Cut
from seqlab.data.core.options import check_hub_or_files, from_options, published_folder, take
from seqlab.data.formats.hub_sets import HubDataset
from seqlab.data.formats.paths import Paths


def tiny_sentiment_data(**options: Any) -> ClassificationData:
    """``data=tiny_sentiment``: four sentences and two test sentences.

    Args:
        **options: of ``ClassificationData`` and its parts.
    """
    return from_options(ClassificationData, TinySentiment(), **options)


def labelled_data(path: Paths | None = None, hub: str | None = None, **options: Any) -> ClassificationData:
    """``data=classification``: the user's own tables, or a Hugging Face data set.

    Args:
        path: a table, a pattern or a list of these, which is cut into three splits.
        hub: the data set's name; None: files are read.
        **options: of ``LabelledTables``, or with ``hub`` of ``LabelledHub``, of ``ClassificationData``, and of their
            parts. With ``hub``, ``train``, ``validation`` and ``test`` name splits.

    Raises:
        InputError: ``hub`` and ``path`` are both given, or an option of the one with the other.
    """
    check_hub_or_files(hub, path, options)
    if hub is None:
        options["path"] = path
        return from_options(ClassificationData, take(LabelledTables, options), **options)
    source = take(LabelledHub, options, take(HubDataset, options, hub))
    return from_options(ClassificationData, source, **options)


def mr_data(root: str | os.PathLike[str] | None = None, **options: Any) -> ClassificationData:
    """``data=mr``: sentences of movie reviews (Pang & Lee 2005), ``mr/rt-polarity.{neg,pos}`` under ``root``.

    Args:
        root: the folder of published data.
        **options: of ``Cut``, and of ``ClassificationData`` and its parts.

    Raises:
        InputError: ``root`` is not given, or a file is missing.
    """
    folder = published_folder(root, "mr", "mr", "rt-polarity.{neg,pos}")
    files = {name: folder / f"rt-polarity.{name[:3]}" for name in ("negative", "positive")}
    return from_options(ClassificationData, LabelledLines(files, take(Cut, options)), **options)
