"""A function for each file of ``conf/data`` with labelled texts: from flat keys to a source and a data module."""

import os
from typing import Any

from seqlab.data.classification.dna import DnaData
from seqlab.data.classification.fasta import FastaFiles, FastaLabels
from seqlab.data.classification.hub import LabelledHub
from seqlab.data.classification.module import ClassificationData
from seqlab.data.classification.sources import LabelledLines, LabelledTables, TinySentiment
from seqlab.data.classification.splice import SpliceGrammar, SpliceJunctions
from seqlab.data.core.cut import Cut
from seqlab.data.core.folds import Folds
from seqlab.data.core.options import check_hub_or_files, from_options, published_folder, take
from seqlab.data.formats.bases import BaseReading
from seqlab.data.formats.hub_sets import HubDataset
from seqlab.data.formats.paths import Files, Paths


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


def fasta_data(
    path: Paths | None = None,
    split_unique: bool | None = None,
    folds: int | None = None,
    fold: int | None = None,
    validation_share: float = 0.1,
    **options: Any,
) -> DnaData:
    """``data=fasta``: the user's own sequences in FASTA files, with a class each.

    Args:
        path: a file, a pattern or a list of these, which is cut into three splits.
        split_unique: whether equal sequences stay in one split; None: they do where rows are cut.
        folds, fold, validation_share: of a cross-validation in place of the cut; see ``Folds``.
        **options: of ``FastaFiles``, ``FastaLabels``, ``Cut``, ``BaseReading``, ``DnaData`` and ``Batching``.

    Raises:
        InputError: no file is given, or an option is wrong.
    """
    files = Files(path, *(options.pop(split, None) for split in ("train", "validation", "test")))
    options["split_unique"] = path is not None if split_unique is None else split_unique
    cut = take(Cut, options)
    dealt = Folds(folds, fold, validation_share, cut.split_seed)
    reading = take(BaseReading, options)
    source = take(FastaFiles, options, files, take(FastaLabels, options), cut, dealt, reading)
    return from_options(DnaData, source, reading, **options)


def splice_data(root: str | os.PathLike[str] | None = None, **options: Any) -> DnaData:
    """``data=splice``: splice junctions of primates, ``dna/splice.arff.gz`` under ``root``.

    Args:
        root: the folder of published data.
        **options: of ``Folds``, ``BaseReading``, ``DnaData`` and ``Batching``.

    Raises:
        InputError: ``root`` is not given, or the file is missing.
    """
    file = published_folder(root, "splice", "dna", "splice.arff.gz") / "splice.arff.gz"
    reading = take(BaseReading, options)
    folds = Folds(**{"folds": 10, "fold": 0} | {name: options.pop(name) for name in _FOLDS if name in options})
    return from_options(DnaData, SpliceJunctions(file, folds, reading), reading, **options)


def splice_grammar_data(**options: Any) -> DnaData:
    """``data=splice_grammar``: sequences of a grammar of splice junctions, whose Bayes decision is known.

    Args:
        **options: of ``SpliceGrammar``, ``DnaData`` and ``Batching``.
    """
    source = take(SpliceGrammar, options)
    return from_options(DnaData, source, BaseReading(ambiguous="refuse"), **options)


_FOLDS = ("folds", "fold", "validation_share", "split_seed")
