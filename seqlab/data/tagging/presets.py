"""One function for each file of ``conf/data`` with tagged sentences: flat keys make a source, the rest goes on."""

import os
from collections.abc import Sequence
from typing import Any

from seqlab.data.core.cut import LABELLED_SPLIT
from seqlab.data.core.options import check_one_source, published_folder
from seqlab.data.formats.text import Paths
from seqlab.data.tagging.grammar import Grammar
from seqlab.data.tagging.module import TaggingData
from seqlab.data.tagging.sources import TaggedFiles, TaggedHub
from seqlab.errors import InputError


def grammar_data(
    layer: str = "pos",
    sizes: Sequence[int] = (1000, 200, 400),
    unseen: float = 0.3,
    grammar_seed: int = 0,
    **options: Any,
) -> TaggingData:
    """``data=grammar``: a generated grammar. Named arguments as in ``Grammar``, options as in ``TaggingData``."""
    return TaggingData(Grammar(layer, sizes, unseen, grammar_seed), entities=layer == "entities", **options)


def tagged_data(
    path: Paths | None = None,
    train: Paths | None = None,
    validation: Paths | None = None,
    test: Paths | None = None,
    hub: str | None = None,
    name: str | None = None,
    revision: str | None = None,
    format: str | None = None,
    word_column: str | int | None = None,
    tag_column: str | int | None = None,
    separator: str | None = None,
    split: Sequence[float] = LABELLED_SPLIT,
    split_seed: int = 0,
    encoding: str = "utf-8",
    comments: str | Sequence[str] | None = None,
    header: bool | None = None,
    split_unique: bool = False,
    **options: Any,
) -> TaggingData:
    """``data=tagging``: the user's own files, or with ``hub`` a Hugging Face data set.

    Named arguments as in ``TaggedFiles``; with ``hub`` as in ``TaggedHub``, where ``train``, ``validation`` and
    ``test`` name splits (by default those very names). Options as in ``TaggingData``.

    Raises:
        InputError: ``hub`` and ``path`` are both given, or an option of the one with the other.
    """
    check_one_source(hub, path, name=name, revision=revision)
    if hub is None:
        files = TaggedFiles(
            path,
            train,
            validation,
            test,
            format=format,
            word_column=word_column,
            tag_column=tag_column,
            separator=separator,
            split=split,
            split_seed=split_seed,
            encoding=encoding,
            comments=comments,
            header=header,
            split_unique=split_unique,
        )
        return TaggingData(files, **options)
    of_files = {"format": format, "separator": separator, "comments": comments, "header": header}
    for option, value in {**of_files, "split_unique": split_unique or None}.items():
        if value is not None:
            raise InputError(f"data.{option}={value!r} is for files: a data set of the hub has columns with names")
    names = {"train": train, "validation": validation, "test": test}  # HubRows: None is cut where it lacks
    words = None if word_column is None else str(word_column)
    source = TaggedHub(hub, words, tag_column, split_seed, name=name, revision=revision, split=split, **names)
    return TaggingData(source, **options)


def ewt_data(root: str | os.PathLike[str] | None = None, tag_column: str | None = None, **options: Any) -> TaggingData:
    """``data=ewt_pos``: parts of speech of the English Web Treebank in Universal Dependencies (Silveira et al. 2014).

    Reads ``ud_english_ewt/en_ewt-ud-{train,dev,test}.conllu.gz`` under ``root``. ``tag_column`` as in ``TaggedFiles``,
    options as in ``TaggingData``.

    Raises:
        InputError: ``root`` is not given, or a file is missing.
    """
    folder = published_folder(root, "ewt_pos", "ud_english_ewt", "en_ewt-ud-{train,dev,test}.conllu.gz")
    train, dev, test = (folder / f"en_ewt-ud-{split}.conllu.gz" for split in ("train", "dev", "test"))
    return TaggingData(TaggedFiles(None, train, dev, test, tag_column=tag_column), **options)


def wnut17_data(root: str | os.PathLike[str] | None = None, **options: Any) -> TaggingData:
    """``data=wnut17``: emerging entities in noisy text (Derczynski et al. 2017).

    Reads ``wnut17/{wnut17train.conll,emerging.dev.conll,emerging.test.annotated}`` under ``root``; options as in
    ``TaggingData``.

    Raises:
        InputError: ``root`` is not given, or a file is missing.
    """
    names = "wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"
    folder = published_folder(root, "wnut17", "wnut17", f"{{{','.join(names)}}}")
    train, dev, test = (folder / name for name in names)
    return TaggingData(TaggedFiles(None, train, dev, test, separator="\t"), entities=True, **options)
