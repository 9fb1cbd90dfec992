"""A sweep with events, as training leaves it, and what TensorBoard says of a folder."""

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seqlab.report import compare
from seqlab.report.events import write_events
from seqlab.report.hparams import STATUSES, HParam, experiment_summary, row_summaries
from seqlab.report.tensorboard import save_for_tensorboard

ANY_STATUS = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
Ask = Callable[..., Any]


def write_sweep(folder: Path, write_run: Callable[..., Path], results: dict[int, list[float | None]]) -> Path:
    """Depth to the test/perplexity of seeds 1, 2, ...; None is a run that failed before it had any."""
    for depth, values in results.items():
        for seed, result in enumerate(values, start=1):
            run = write_run(
                folder / f"model.num_layers={depth},seed={seed}-{depth:04d}{seed:04d}",
                seed=seed,
                end="completed" if result is not None else "failed",
                metrics={"val/loss": 1.5, "test/loss": 1.0, "test/perplexity": result} if result is not None else {},
                config={
                    "model.num_layers": depth,
                    "optimize.metric": "val/loss",
                    "model.cell": {"_target_": "seqlab.nn.LSTMCell"},
                    "logger": {"hparams": ["model.cell._target_", "optimizer.lr", "seed"]},
                },
                overrides=(f"model.num_layers={depth}", f"seed={seed}"),
                train_seconds=60.0,
            )
            if result is not None:
                curve = {step: 5.0 - depth - step / 10 + seed for step in (0, 10, 20)}
                write_scalars(run, 1, {"val/loss": curve, "train/tokens_per_second": curve, "epoch": {0: 0.0, 20: 1.0}})
                write_own_record(run, result)
    return folder


def save(folder: Path, **how: Any) -> str:
    """The comparison of a folder's runs, written for TensorBoard."""
    return save_for_tensorboard(compare([folder], **how), folder)


def write_scalars(run: Path, number: int, points: dict[str, dict[int, float]], *further: Any) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    summaries = [
        (step, Summary.Value(tag=tag, simple_value=value))
        for tag, values in points.items()
        for step, value in values.items()
    ]
    events = [Event(wall_time=2.0, summary=Summary(value=[value])) for value in further]
    events += [Event(wall_time=2.0 + step, step=step, summary=Summary(value=[value])) for step, value in summaries]
    write_events(run / f"events.out.tfevents.170000000{number}.host.1.0", events)


def write_own_record(run: Path, result: float) -> None:
    """What training logs for HParams at a run's end: other columns, and other values, than the sweep's."""
    column = HParam("optimizer.lr", True, [0.25])
    row = row_summaries(_Ended(), {"optimizer.lr": 0.25})
    metrics = {"best/val/loss": {20: 1.5}, "test/loss": {20: 1.0}, "test/perplexity": {20: result}}
    write_scalars(run, 2, metrics, experiment_summary([column], ["test/loss"]), *row)


class _Ended:
    status, started_at = next(iter(STATUSES)), ""


def ask_in_this_process(folder: Path) -> Ask:
    """TensorBoard's plugins on what lies in a folder now, read by its loader in Python."""
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.custom_scalar.custom_scalars_plugin import CustomScalarsPlugin
    from tensorboard.plugins.hparams import hparams_plugin
    from tensorboard.plugins.scalar.scalars_plugin import ScalarsPlugin
    from werkzeug.test import Client

    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    plugins: dict[str, Any] = {}
    of_all = TBContext(
        data_provider=MultiplexerDataProvider(multiplexer, str(folder)),
        logdir=str(folder),
        plugin_name_to_instance=plugins,
    )
    plugins["scalars"] = ScalarsPlugin(of_all)
    plugins["custom_scalars"] = CustomScalarsPlugin(of_all)
    plugins["hparams"] = hparams_plugin.HParamsPlugin(of_all)
    routes = {
        f"{name}{route}": Client(app)
        for name, plugin in plugins.items()
        for route, app in plugin.get_plugin_apps().items()
    }

    def ask(path: str, **body: Any) -> Any:
        route, _, query = path.partition("?")
        client = routes[route]
        answer = client.post("/", json=body) if body else client.get("/", query_string=query)
        assert answer.status_code == 200, answer.get_data()
        return json.loads(answer.get_data())

    return ask


def ask_server(address: str) -> Ask:
    """A running TensorBoard."""

    def ask(path: str, **body: Any) -> Any:
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(f"{address}/data/plugin/{path}", data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    return ask


def columns_in(ask: Ask) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The columns of the HParams tab by name, and the tags of its metrics."""
    found = ask("hparams/experiment", experimentName="")
    return {info["name"]: info for info in found["hparamInfos"]}, [info["name"]["tag"] for info in found["metricInfos"]]


def rows_in(ask: Ask) -> dict[str, tuple[dict[str, Any], str, dict[str, float]]]:
    """The rows of the HParams tab: run to values, status and metrics."""
    wishes = {"experimentName": "", "allowedStatuses": ANY_STATUS, "colParams": [], "startIndex": 0, "sliceSize": 9999}
    return {
        group["name"]: (
            group["hparams"],
            group["sessions"][0]["status"],
            {value["name"]["tag"]: value["value"] for value in group.get("metricValues", [])},
        )
        for group in ask("hparams/session_groups", **wishes)["sessionGroups"]
    }


def layout_in(ask: Ask) -> dict[str, list[str]]:
    """The Custom Scalars tab: category to the titles of its charts."""
    found = ask("custom_scalars/layout")
    return {part["title"]: [chart["title"] for chart in part["chart"]] for part in found.get("category", [])}
