"""A tagger from the names of its tags."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from seqlab.nn.cell import RecurrentCell
from seqlab.nn.crf import bio_constraints
from seqlab.nn.tagger import Tagger


def make_tagger(
    vocab_size: int,
    tags: Sequence[str],
    cell: Callable[[int, int], RecurrentCell],
    *,
    entities: bool = False,
    decoder: str = "greedy",
    constrained: bool = True,
    **options: Any,
) -> Tagger:
    """A :class:`Tagger` of ``tags``; over BIO tags (``entities``) its CRF gives what BIO allows.

    ``constrained=False`` leaves the CRF every sequence of tags. ``options`` are those of :class:`Tagger`.

    Raises ``ValueError`` as :class:`Tagger` and :func:`bio_constraints` do, and for ``vectors`` whose width is not
    ``embedding_size``.

    >>> from seqlab.nn import GRUCell
    >>> model = make_tagger(9, ["B-place", "I-place", "O"], GRUCell, entities=True, decoder="crf", hidden_size=4)
    >>> model.crf.allowed.int().tolist()
    [[1, 1, 1], [1, 1, 1], [1, 0, 1]]
    """
    confined = None
    if entities and constrained and decoder == "crf":
        with torch.device("cpu"):  # the CRF looks at them, which no meta tensor bears
            confined = bio_constraints(tags)
    vectors, width = options.get("vectors"), options.get("embedding_size", 100)
    if vectors is not None and vectors.size(1) != width:
        mend = f"give embedding_size={vectors.size(1)}"
        raise ValueError(f"vectors: expected {width} numbers a word, got {vectors.size(1)}; {mend}")
    return Tagger(vocab_size, len(tags), cell, decoder=decoder, constraints=confined, **options)
