"""A function for each file of ``conf/data`` with tagged sentences: from flat keys to a source and a data module."""

import os
from collections.abc import Sequence
from typing import Any

from seqlab.data.core.cut import Cut
from seqlab.data.core.options import check_hub_or_files, from_options, published_folder, refuse_of_files, take
from seqlab.data.formats.hub_sets import HubDataset
from seqlab.data.formats.paths import Files, Paths
from seqlab.data.formats.tag_files import TagFormat
from seqlab.data.tagging.grammar import Grammar
from seqlab.data.tagging.hub import TaggedHub
from seqlab.data.tagging.module import TaggingData
from seqlab.data.tagging.sources import TaggedFiles


def grammar_data(
    layer: str = "pos",
    sizes: Sequence[int] = (1000, 200, 400),
    unseen: float = 0.3,
    grammar_seed: int = 0,
    **options: Any,
) -> TaggingData:
    """``data=grammar``: sentences of a small grammar.

    Args:
        layer, sizes, unseen, grammar_seed: see :class:`Grammar`.
        **options: of ``TaggingData`` and its parts.
    """
    source = Grammar(layer, sizes, unseen, grammar_seed)
    return from_options(TaggingData, source, entities=layer == "entities", **options)


def tagged_data(path: Paths | None = None, hub: str | None = None, **options: Any) -> TaggingData:
    """``data=tagging``: the user's own files, or a Hugging Face data set.

    Args:
        path: a file, a pattern or a list of these, which is cut into three splits.
        hub: the data set's name; None: files are read.
        **options: of ``TaggedFiles``, or with ``hub`` of ``TaggedHub``, of ``TaggingData``, and of their parts. With
            ``hub``, ``train``, ``validation`` and ``test`` name splits.

    Raises:
        InputError: ``hub`` and ``path`` are both given, or an option of the one with the other.
    """
    check_hub_or_files(hub, path, options)
    if hub is None:
        options["path"] = path
        return from_options(TaggingData, take(TaggedFiles, options), **options)
    source = take(TaggedHub, options, take(HubDataset, options, hub))
    unique = take(Cut, options).split_unique
    refuse_of_files({**take(TagFormat, options).of_files(), "split_unique": unique or None})
    return from_options(TaggingData, source, **options)


def ewt_data(root: str | os.PathLike[str] | None = None, tag_column: str | None = None, **options: Any) -> TaggingData:
    """``data=ewt_pos``: parts of speech of the English Web Treebank in Universal Dependencies (Silveira et al. 2014).

    Reads ``ud_english_ewt/en_ewt-ud-{train,dev,test}.conllu.gz``.

    Args:
        root: the folder of published data.
        tag_column: "upos" (None) or "xpos".
        **options: of ``TaggingData`` and its parts.

    Raises:
        InputError: ``root`` is not given, or a file is missing.
    """
    folder = published_folder(root, "ewt_pos", "ud_english_ewt", "en_ewt-ud-{train,dev,test}.conllu.gz")
    files = Files(None, *(folder / f"en_ewt-ud-{split}.conllu.gz" for split in ("train", "dev", "test")))
    return from_options(TaggingData, TaggedFiles(files, TagFormat(tag_column=tag_column)), **options)


def wnut17_data(root: str | os.PathLike[str] | None = None, **options: Any) -> TaggingData:
    """``data=wnut17``: emerging entities in noisy text (Derczynski et al. 2017).

    Reads ``wnut17/{wnut17train.conll,emerging.dev.conll,emerging.test.annotated}``.

    Args:
        root: the folder of published data.
        **options: of ``TaggingData`` and its parts.

    Raises:
        InputError: ``root`` is not given, or a file is missing.
    """
    names = "wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"
    folder = published_folder(root, "wnut17", "wnut17", f"{{{','.join(names)}}}")
    files = Files(None, *(folder / name for name in names))
    return from_options(TaggingData, TaggedFiles(files, TagFormat(separator="tab")), entities=True, **options)
