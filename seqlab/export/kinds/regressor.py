"""Regressors: ``forward`` reads whole sequences, ``step`` a step of each row; all numbers are in the user's units."""

from collections.abc import Mapping
from typing import Any

from seqlab.export.kinds.kind import Kind
from seqlab.export.kinds.ports import answer_with_forward, real_dtype
from seqlab.export.kinds.rows import Rows, plan_rows
from seqlab.export.programs import Export, Port
from seqlab.nn import Regressor


def plan(model: Regressor, sizes: Mapping[str, Any]) -> Export:
    """The program ``forward`` of a regressor, and ``step`` if its encoder reads in one direction."""
    standardize, shape = model.head.standardize, ("batch", model.head.output.out_features)
    units = (standardize.mean.detach().clone(), standardize.std.detach().clone())
    answer = Port("numbers", real_dtype(model), shape, "a number for each target, in its own units", units)
    return plan_rows(model, Rows("regression", "the numbers", answer, lambda model, part: model.head.finish(part)))


KIND = Kind(Regressor, plan, answer_with_forward)
