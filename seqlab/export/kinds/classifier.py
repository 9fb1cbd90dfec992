"""Classifiers: ``forward`` reads whole sequences, ``step`` a step of each row."""

from collections.abc import Mapping
from typing import Any

from seqlab.export.kinds.kind import Kind
from seqlab.export.kinds.ports import answer_with_forward, real_dtype
from seqlab.export.kinds.rows import Rows, plan_rows
from seqlab.export.programs import Export, Port
from seqlab.nn import Classifier


def plan(model: Classifier, sizes: Mapping[str, Any]) -> Export:
    """The program ``forward`` of a classifier, and ``step`` if its encoder reads in one direction."""
    shape = ("batch", model.head.output.out_features)
    answer = Port("logits", real_dtype(model), shape, "scores of the classes; softmax makes them P")
    gives = "the logits of the classes"
    return plan_rows(model, Rows("classification", gives, answer, lambda model, part: model.head(part)))


KIND = Kind(Classifier, plan, answer_with_forward)
