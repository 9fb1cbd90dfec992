"""The runs of a comparison as rows of TensorBoard's HParams tab: its columns, and each run's values."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from seqlab.report.collect import Run
from seqlab.report.configs import MISSING, differing_keys, is_below
from seqlab.report.groups import Report
from seqlab.report.labels import labels
from seqlab.report.reproduce import swept_keys

MAX_COLUMNS: Final = 20
TICKED: Final = 5
"""The number of columns that TensorBoard shows at first."""
MAX_CHOICES: Final = 10
"""A column of numbers with more different values than this is filtered by a range instead of a list."""

STATUSES: Final = {"completed": "SUCCESS", "failed": "FAILURE", "interrupted": "UNKNOWN"}
"""The tab's names for the statuses of runs that have a row. A run under way writes its own row when it ends."""


@dataclass(frozen=True, slots=True)
class HParam:
    """A column of the tab: its name, whether it is ticked at first, and each run's value.

    The values are all booleans, all numbers or all texts; None where a run has none.
    """

    name: str
    ticked: bool
    values: list[Any]


def columns_of(report: Report, runs: Sequence[Run]) -> list[HParam]:
    """The columns of the report's runs: its keys, the seed, the status, and other differing keys.

    The tab sorts columns by name, and ticks five. A key with one value in all runs would only take room, so it is no
    column. Where no key differs, the keys of ``logger.hparams`` are the columns.
    """
    swept = swept_keys(runs)
    others = sorted(differing_keys(runs), key=lambda key: not is_below(key, swept))
    keys = [*report.by, "seed", *(key for key in others if not is_below(key, report.by))]
    columns = [(key_name(key), _values(key, runs)) for key in dict.fromkeys(keys) if _differs(key, runs)]
    if len({run.status for run in runs}) > 1:
        columns.insert(TICKED - 1, ("status", [run.status for run in runs]))
    if not columns:
        configured = next((keys for run in runs if isinstance(keys := run.value("logger.hparams"), list)), ["seed"])
        columns = [(key_name(key), _values(key, runs)) for key in configured]
    # Left alone, TensorBoard would tick the first columns of the alphabet.
    return [HParam(name, place < TICKED, values) for place, (name, values) in enumerate(columns[:MAX_COLUMNS])]


def metric_tags(report: Report) -> list[str]:
    """The tags of the runs' results; the tab ticks five: the report's metric, the judged metric, then tests."""
    tags = {_tag(name) for run in report.runs for name in run.metrics}
    judged = [str(run.value("optimize.metric")) for run in report.runs]
    first = map(_tag, [report.metric, *judged])
    tests = sorted((tag for tag in tags if tag.startswith("test/")), key=lambda tag: (tag != "test/loss", tag))
    return [tag for tag in dict.fromkeys([*first, *tests, *sorted(tags)]) if tag in tags]


def experiment_summary(columns: Sequence[HParam], tags: Sequence[str]) -> Any:
    """The tab's columns as a ``Summary.Value``. Each run has a copy: the tab reads that of an arbitrary run."""
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    experiment = api_pb2.Experiment(metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in tags])
    for column, short in zip(columns, short_names([column.name for column in columns]), strict=True):
        info = experiment.hparam_infos.add(name=column.name, display_name=short, differs=column.ticked)
        values = sorted({value for value in column.values if value is not None})
        if values and isinstance(values[0], float) and len(values) > MAX_CHOICES:
            info.type = api_pb2.DATA_TYPE_FLOAT64
            info.domain_interval.min_value, info.domain_interval.max_value = values[0], values[-1]
            continue
        kinds: dict[type, Any] = {bool: api_pb2.DATA_TYPE_BOOL, float: api_pb2.DATA_TYPE_FLOAT64}
        info.type = kinds.get(type(values[0]) if values else str, api_pb2.DATA_TYPE_STRING)
        info.domain_discrete.extend(values)
    return _value(metadata.EXPERIMENT_TAG, plugin_data_pb2.HParamsPluginData(experiment=experiment))


def row_summaries(run: Run, values: dict[str, Any]) -> list[Any]:
    """A run's row: its values by the columns' names, and its status."""
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    start = plugin_data_pb2.SessionStartInfo(start_time_secs=start_time(run))
    for name, value in values.items():
        kind = {bool: "bool_value", float: "number_value"}.get(type(value), "string_value")
        setattr(start.hparams[name], kind, value)
    end = plugin_data_pb2.SessionEndInfo(status=api_pb2.Status.Value(f"STATUS_{STATUSES[run.status]}"))
    return [
        _value(metadata.SESSION_START_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_start_info=start)),
        _value(metadata.SESSION_END_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_end_info=end)),
    ]


def short_names(keys: Sequence[str]) -> list[str]:
    """The last word of each key; the whole key where two keys have the same last word.

    Example:
        >>> short_names(["model.num_layers", "model.cell._target_", "model.encoder.bias"])
        ['num_layers', 'cell', 'bias']
        >>> short_names(["optimizer.lr", "optimizer.scheduler.lr"])
        ['optimizer.lr', 'optimizer.scheduler.lr']
    """
    names = [key_name(key) for key in keys]
    counts = Counter(name.rpartition(".")[2] for name in names)
    return [last if counts[last := name.rpartition(".")[2]] == 1 else name for name in names]


def key_name(key: str) -> str:
    """A config key as the runs' own records write it."""
    return key.removesuffix("._target_")


def start_time(run: Run) -> float:
    """When a run began, in seconds since 1970; 0 where its record does not say."""
    try:
        return datetime.fromisoformat(run.started_at).timestamp()
    except ValueError:
        return 0.0


def _value(tag: str, data: Any) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata

    return Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR)


def _tag(metric: str) -> str:
    """A result's tag in TensorBoard: the validation of the best checkpoint is no point of the curve."""
    return metric if metric.startswith("test/") else f"best/{metric}"


def _differs(key: str, runs: Sequence[Run]) -> bool:
    return len({run.identity(key) for run in runs}) > 1


def _values(key: str, runs: Sequence[Run]) -> list[Any]:
    """Each run's value of a key, all of one type."""
    values = [run.value(key) for run in runs]
    present = [value for value in values if value is not None and value != MISSING]
    if present and all(isinstance(value, bool) for value in present):
        return [value if isinstance(value, bool) else None for value in values]
    if present and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in present):
        return [float(value) if isinstance(value, (int, float)) else None for value in values]
    return list(labels(key, values))
