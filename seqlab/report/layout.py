"""The layout of TensorBoard's Custom Scalars tab for the runs of a comparison."""

import itertools
import re
from collections.abc import Iterable
from typing import Any, Final

MEAN, LOWER, UPPER = "mean/", "mean-sd/", "mean+sd/"
"""The prefixes of the tags of a group's curves."""

_ORDER: Final = ("val", "train", "test", "speed")
_TITLES: Final = {"val": "validation", "train": "training"}
_SPEED: Final = "_per_second"


def is_curve(tag: str) -> bool:
    """Whether a scalar is a curve over the steps: not the epoch, nor a result of the best checkpoint."""
    return "/" in tag and not tag.startswith(("best/", "test/"))


def layout_summary(tags: Iterable[str], averaged: Iterable[str]) -> Any:
    """The layout as a ``Summary.Value``: a chart for each curve, and one with bands for each average over groups.

    Args:
        tags: Tags of the runs' scalars; those that are no curves are left out.
        averaged: Tags of the groups' curves, without `MEAN`, `LOWER` and `UPPER`.
    """
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING
    from tensorboard.plugins.custom_scalar import layout_pb2, metadata

    layout = layout_pb2.Layout()
    bands = layout_pb2.Category(title="by group: mean ± sample sd over seeds")
    for tag in reversed(_in_order(averaged)):  # TensorBoard 2.21 shows charts with bands last to first
        series = layout_pb2.MarginChartContent.Series(value=MEAN + tag, lower=LOWER + tag, upper=UPPER + tag)
        bands.chart.add(title=tag, margin=layout_pb2.MarginChartContent(series=[series]))
    if bands.chart:
        layout.category.append(bands)
    for section, of_section in itertools.groupby(_in_order(tags), key=_section):
        category = layout.category.add(title=_TITLES.get(section, section))
        for tag in of_section:
            category.chart.add(title=tag, multiline=layout_pb2.MultilineChartContent(tag=[f"^{re.escape(tag)}$"]))
    return Summary.Value(
        tag=metadata.CONFIG_SUMMARY_TAG,
        metadata=metadata.create_summary_metadata(),
        tensor=TensorProto(dtype=DT_STRING, string_val=[layout.SerializeToString(deterministic=True)]),
    )


def _section(tag: str) -> str:
    return "speed" if tag.startswith("train/") and tag.endswith(_SPEED) else tag.partition("/")[0]


def _in_order(tags: Iterable[str]) -> list[str]:
    """The tags of curves and tests, by section, with the loss first in each."""
    shown = {tag for tag in tags if is_curve(tag) or tag.startswith("test/")}
    places = {section: place for place, section in enumerate(_ORDER)}

    def place(tag: str) -> tuple[int, str, bool, str]:
        section = _section(tag)
        return places.get(section, len(places)), section, tag != f"{section}/loss", tag

    return sorted(shown, key=place)
