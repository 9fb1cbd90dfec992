"""A function for each generator of labelled sequences, for the files of ``conf/data``: from flat keys to a module."""

from typing import Any

from seqlab.data.core.options import from_options, take
from seqlab.data.labelling.automata import Dyck, ModularArithmetic, Parity, Permutations
from seqlab.data.labelling.memory import AssociativeRecall, Copy, DelayedRecall, SelectiveCopy
from seqlab.data.labelling.module import LabellingData


def parity_data(**options: Any) -> LabellingData:
    """``data=parity``: the parity of the bits so far.

    Args:
        **options: of ``LabellingData`` and its parts.
    """
    return from_options(LabellingData, Parity(), **options)


def modular_data(**options: Any) -> LabellingData:
    """``data=modular``: arithmetic modulo a number.

    Args:
        **options: of ``ModularArithmetic``, ``LabellingData`` and its parts.
    """
    return from_options(LabellingData, take(ModularArithmetic, options), **options)


def permutation_data(**options: Any) -> LabellingData:
    """``data=s3`` and ``data=s5``: products of permutations.

    Args:
        **options: of ``Permutations``, ``LabellingData`` and its parts.
    """
    return from_options(LabellingData, take(Permutations, options), **options)


def dyck_data(**options: Any) -> LabellingData:
    """``data=dyck``: nested brackets.

    Args:
        **options: of ``Dyck``, ``LabellingData`` and its parts.
    """
    return from_options(LabellingData, take(Dyck, options), **options)


def copy_data(**options: Any) -> LabellingData:
    """``data=copy``: letters that are recited after a long silence.

    Args:
        **options: of ``Copy``, ``LabellingData`` and its parts.
    """
    return from_options(LabellingData, take(Copy, options), **options)


def selective_copy_data(**options: Any) -> LabellingData:
    """``data=selective_copy``: letters among blanks that are recited.

    Args:
        **options: of ``SelectiveCopy``, ``LabellingData`` and its parts.
    """
    return from_options(LabellingData, take(SelectiveCopy, options), **options)


def delayed_recall_data(**options: Any) -> LabellingData:
    """``data=delayed_recall``: a cue that is asked after many distractors.

    Args:
        **options: of ``DelayedRecall``, ``LabellingData`` and its parts.
    """
    return from_options(LabellingData, take(DelayedRecall, options), **options)


def mqar_data(**options: Any) -> LabellingData:
    """``data=mqar``: multi-query associative recall.

    Args:
        **options: of ``AssociativeRecall``, ``LabellingData`` and its parts.
    """
    return from_options(LabellingData, take(AssociativeRecall, options), **options)
