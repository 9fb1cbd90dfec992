"""A function for each file of ``conf/data`` with text to model: from flat keys to a source and a data module."""

import os
from collections.abc import Sequence
from typing import Any

from seqlab.data.core.cut import DEFAULT_SPLIT
from seqlab.data.core.options import from_options, published_folder, take
from seqlab.data.formats.hub_sets import HubDataset
from seqlab.data.formats.paths import Files, Paths
from seqlab.data.language_model.conversations import Chitchat, Dialogues
from seqlab.data.language_model.hub import Hub
from seqlab.data.language_model.module import LanguageModelData
from seqlab.data.language_model.sources import Hello, KingJames, TextFiles
from seqlab.errors import InputError


def hello_data(**options: Any) -> LanguageModelData:
    """``data=hello``: the lecture's four letters.

    Args:
        **options: of ``LanguageModelData`` and its parts.
    """
    return from_options(LanguageModelData, Hello(), **options)


def chitchat_data(**options: Any) -> LanguageModelData:
    """``data=chitchat``: the chitchat dataset.

    Args:
        **options: of ``Chitchat``, ``LanguageModelData`` and its parts.
    """
    return from_options(LanguageModelData, take(Chitchat, options), **options)


def dialogues_data(**options: Any) -> LanguageModelData:
    """``data=dialogues``: the user's own conversations.

    Args:
        **options: of ``Files``, ``Dialogues``, ``LanguageModelData`` and its parts.

    Raises:
        InputError: no file is given, or an option is wrong.
    """
    files = take(Files, options)
    return from_options(LanguageModelData, take(Dialogues, options, files), **options)


def king_james_data(split: Sequence[float] = DEFAULT_SPLIT, **options: Any) -> LanguageModelData:
    """``data=kjv``: the King James Bible.

    Args:
        split: see :class:`KingJames`.
        **options: of ``LanguageModelData`` and its parts.
    """
    return from_options(LanguageModelData, KingJames(split), **options)


def text_data(path: Paths | None = None, **options: Any) -> LanguageModelData:
    """``data=text``: the user's own files.

    Args:
        path: a file, a pattern or a list of these, cut by position.
        **options: of ``TextFiles`` and ``LanguageModelData``, and of their parts.
    """
    options["path"] = path
    return from_options(LanguageModelData, take(TextFiles, options), **options)


def ptb_data(root: str | os.PathLike[str] | None = None, **options: Any) -> LanguageModelData:
    """``data=ptb``: the Penn Treebank in Mikolov's preparation, ``ptb/ptb.{train,valid,test}.txt.gz`` under ``root``.

    Args:
        root: the folder of published data.
        **options: of ``LanguageModelData`` and its parts.

    Raises:
        InputError: ``root`` is not given, or a file is missing.
    """
    folder = published_folder(root, "ptb", "ptb", "ptb.{train,valid,test}.txt.gz")
    files = Files(None, *(folder / f"ptb.{name}.txt.gz" for name in ("train", "valid", "test")))
    return from_options(LanguageModelData, TextFiles(files), **options)


def hub_data(path: str | None = None, **options: Any) -> LanguageModelData:
    """``data=hub``: a Hugging Face data set.

    Args:
        path: the data set's name or folder.
        **options: of ``Hub`` and ``LanguageModelData``, and of their parts.

    Raises:
        InputError: ``path`` is not given.
    """
    if path is None:
        raise InputError("data=hub needs data.path=NAME, a data set's name, such as data.path=Salesforce/wikitext")
    source = take(Hub, options, take(HubDataset, options, path))
    return from_options(LanguageModelData, source, **options)
