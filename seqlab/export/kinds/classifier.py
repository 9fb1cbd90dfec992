"""Classifiers: ``forward`` reads whole sequences, ``step`` a step of each row."""

from collections.abc import Mapping
from typing import Any

from seqlab.export.kinds.kind import Kind
from seqlab.export.kinds.ports import BOTH_STRANDS, answer_with_forward, real_dtype
from seqlab.export.kinds.rows import Rows, plan_rows
from seqlab.export.programs import Export, Port
from seqlab.nn import Classifier
from seqlab.nn.models.strands import BothStrands


def plan(model: Classifier, sizes: Mapping[str, Any]) -> Export:
    """The program ``forward`` of a classifier, and ``step`` if its encoder reads in one direction."""
    shape = ("batch", model.head.output.out_features)
    if isinstance(model, BothStrands):
        answer = Port("logits", real_dtype(model), shape, "log-probabilities of the classes, the mean of both strands")
        gives = "the log-probabilities of the classes, the mean of both strands"
        rows = Rows("classification", gives, answer, lambda model, part: model.head(part), no_step=BOTH_STRANDS)
        return plan_rows(model, rows)
    answer = Port("logits", real_dtype(model), shape, "scores of the classes; softmax makes them P")
    gives = "the logits of the classes"
    return plan_rows(model, Rows("classification", gives, answer, lambda model, part: model.head(part)))


KIND = Kind(Classifier, plan, answer_with_forward)
