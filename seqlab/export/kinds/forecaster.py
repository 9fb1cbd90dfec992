"""Forecasters: ``forward`` reads what was, ``step`` a step of each row; all numbers are in the user's units."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from seqlab.export.kinds.kind import Files, Kind
from seqlab.export.kinds.ports import real_dtype
from seqlab.export.kinds.rows import Rows, plan_rows, with_gaps
from seqlab.export.programs import Export, Port, Sizes
from seqlab.nn import Forecaster


def plan(model: Forecaster, sizes: Mapping[str, Any]) -> Export:
    """The program ``forward`` of a forecaster, and ``step`` if no row has to be read whole."""
    head, standardize, real = model.head, model.input.standardize, real_dtype(model)
    known = slice(model.input.num_features - head.num_known, None)

    def future(lengths: Sizes, generator: torch.Generator) -> tuple[Tensor, ...]:
        if not head.num_known:
            return ()
        values = torch.randn(lengths["batch"], head.horizon, head.num_known, generator=generator).to(real)
        return (with_gaps(model, standardize.inverse(values, known), generator),)

    shape = ("batch", head.horizon, head.num_targets, len(head.quantiles))
    units = (standardize.mean[: head.num_targets, None].clone(), standardize.std[: head.num_targets, None].clone())
    text = "of each step to come and each target, ascending quantiles, in the target's own units"
    seen = Port(
        "future", real, ("batch", head.horizon, head.num_known), "what is known beforehand of the steps to come"
    )
    whole = f"normalize={model.normalize} brings a row to a level of its own, which the whole row decides"
    rows = Rows(
        "forecasting",
        "the quantiles of the steps to come",
        Port("quantiles", real, shape, text, units),
        lambda model, part, *future: model.finish(part, *future),
        more=(seen,) if head.num_known else (),
        sample_more=future,
        no_step=None if model.normalize == "none" else whole,
        names={"quantiles": list(head.quantiles)},
    )
    return plan_rows(model, rows)


def use_files(model: Forecaster, files: Files) -> None:
    """Puts the quantiles of ``forward`` in the place of the model's."""

    def forward(frames: Tensor, lengths: Tensor | None = None, future: Tensor | None = None) -> Tensor:
        lengths = torch.full(frames.shape[:1], frames.size(1)) if lengths is None else lengths
        more = (future,) if model.head.num_known else ()
        return files["forward"](frames, lengths, *more)[0].to(frames.device)

    vars(model).update(forward=forward)


KIND = Kind(Forecaster, plan, use_files)
