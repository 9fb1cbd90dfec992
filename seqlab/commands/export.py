"""``seqlab export``: a trained model as files that run without seqlab."""

import copy
import importlib.metadata
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import torch

from seqlab import __version__
from seqlab.commands.evaluate import evaluation_data
from seqlab.commands.predict import options_of
from seqlab.config import build
from seqlab.config.trainer import build_evaluator
from seqlab.errors import InputError
from seqlab.export import check, folder, formats, int8
from seqlab.export.kinds import plan, use_files
from seqlab.export.programs import Export, Program
from seqlab.run.load import SavedRun
from seqlab.run.loops import disable_lightning_signals
from seqlab.run.torch_settings import ignore_foreign_warnings

log = logging.getLogger("seqlab")

_WITHOUT_DATA: Final = "the run's data can't be read, so the loss in accuracy is not known"
_USE: Final = {
    "onnx": "onnxruntime.InferenceSession(file).run(None, {input: array, ...}) returns the outputs in their order",
    "torch": "torch.export.load(file).module()(*arguments) returns the outputs in their order, as a tuple; a list "
    "among the arguments is one tuple of tensors",
}


def export(
    run: SavedRun,
    format: str = "onnx",
    output: Path | None = None,
    *,
    quantized: bool = False,
    overwrite: bool = False,
) -> tuple[Path, dict[str, Any]]:
    """Writes the model of a run's best checkpoint as files, each compared with the model before any is kept.

    Args:
        run: the run.
        format: "onnx", or "torch" for programs of ``torch.export``.
        output: the folder; None: ``export/FORMAT`` in the run's folder.
        quantized: whether files with 8-bit weights are written too, and measured on the validation split.
        overwrite: whether an export that is there is replaced.

    Returns:
        The folder, and what its ``export.json`` holds.

    Raises:
        InputError: the model can't be exported, an export is there already, or a package is missing. Nothing has been
            written then.
    """
    if format not in formats.FORMATS:
        raise InputError(f"--format {format}: expected one of {', '.join(formats.FORMATS)}")
    if quantized and format != "onnx":
        raise InputError("--int8 quantises ONNX files, by onnxruntime: leave it out, or give --format onnx")
    place = run.run_dir / "export" / format if output is None else output
    folder.check_place(place, overwrite)
    if format == "onnx":
        formats.check_packages()
    model = _single(_answering(run))
    with formats.quiet():
        planned = plan(model, run.spec.model_arguments())
    with folder.new_folder(place, overwrite) as files:
        programs = {program.name: _write(program, format, files) for program in planned.programs}
        metadata = {
            **_facts(run, planned, format),
            "programs": programs,
            "left_out": planned.left_out,
            "initial_state": folder.write_initial_state(files, planned.initial),
            "vocabularies": folder.write_vocabularies(files, run.vocabularies),
            **planned.names,
            **run.spec.output_names(),
        }
        if quantized:
            metadata["int8"] = _quantize(run, planned, files)
        folder.write_metadata(files, metadata)
    return place, metadata


def lines(metadata: Mapping[str, Any]) -> Iterator[str]:
    """What was exported, for people: a line for each file, for what was left out, and for each metric of int8."""
    for program in metadata["programs"].values():
        checked = program["checked"]
        yield (
            f"{program['file']:<20} {_size(program['bytes'])}  within {checked['max_error']:g} of the model, on "
            f"{checked['inputs']} random inputs"
        )
    for name, reason in metadata["left_out"].items():
        yield f"no {name}: {reason}"
    if "int8" in metadata:
        smaller = metadata["int8"]
        for file, size in smaller["files"].items():
            yield f"{file:<20} {_size(size)}"
        if smaller["metrics"] is None:
            yield f"int8 was not measured: {smaller['reason']}"
        else:
            yield f"{'metric':<20} {'float32':>12} {'int8':>12}"
            for name, values in smaller["metrics"].items():
                yield f"{name:<20} {values['float32']:>12.6g} {values['int8']:>12.6g}"


def _answering(run: SavedRun) -> torch.nn.Module:
    """The model, or what its task has in its place so that it answers as ``predict`` does."""
    exported = getattr(build.task_class(run.config), "exported", None)
    model: torch.nn.Module = run.model()
    return model if exported is None else exported(model, run.spec, **options_of(run, exported))


def _write(program: Program, format: str, files: Path) -> dict[str, Any]:
    """Writes a program and compares its file with the model; what the metadata says of it."""
    path = files / f"{program.name}{formats.FORMATS[format]}"
    graph = formats.trace(program)
    more: dict[str, Any] = {}
    if format == "onnx":
        formats.write_onnx(graph, program, path)
        agreement = check.compare(program, formats.OnnxFile(path, program))
    else:
        formats.write_torch(graph, path)
        agreement = check.compare(program, formats.TorchFile(path))
        more["arguments"] = folder.arguments_of(program)
    facts = {"file": path.name, "bytes": path.stat().st_size, **folder.described(program), **more}
    return {**facts, "checked": check.describe(agreement)}


def _facts(run: SavedRun, planned: Export, format: str) -> dict[str, Any]:
    """Where an export comes from, and how it is used."""
    packages = ["torch", *(("onnx", "onnxscript", "onnxruntime") if format == "onnx" else ())]
    return {
        "schema": 1,
        "format": format,
        "task": planned.task,
        "use": _USE[format],
        "run": {
            "name": run.config.get("name"),
            "config_hash": run.record.get("config_hash"),
            "checkpoint": run.checkpoint.name,
            "metrics": run.record["metrics"],
            "predict": _beyond_the_files(run),
        },
        "versions": {"seqlab": __version__, **{name: importlib.metadata.version(name) for name in packages}},
    }


def _beyond_the_files(run: SavedRun) -> dict[str, Any]:
    """The options by which ``predict`` and the test make answers of what the files give, such as those of a search."""
    task = build.task_class(run.config)
    within = options_of(run, task.exported) if hasattr(task, "exported") else {}
    options = options_of(run, task.predict) if hasattr(task, "predict") else {}
    return {name: value for name, value in options.items() if name not in within}


def _quantize(run: SavedRun, planned: Export, files: Path) -> dict[str, Any]:
    """Writes the 8-bit files, and measures both kinds on the validation split of the run's data."""
    sizes = {}
    for program in planned.programs:
        target = files / f"{program.name}.int8.onnx"
        int8.quantize(files / f"{program.name}.onnx", target)
        sizes[target.name] = target.stat().st_size
    facts: dict[str, Any] = {"files": sizes, "split": "validation"}
    try:
        data = evaluation_data(run, [])
    except InputError as error:
        return {**facts, "metrics": None, "reason": f"{_WITHOUT_DATA}: {error}"}
    full, small = (_measured(run, data, planned, files, end) for end in (".onnx", ".int8.onnx"))
    return {**facts, "metrics": {name: {"float32": full[name], "int8": small[name]} for name in full}}


def _measured(run: SavedRun, data: Any, planned: Export, files: Path, end: str) -> dict[str, float]:
    """The validation metrics of the run's task with the files in place of the model."""
    programs = {program.name: formats.OnnxFile(files / f"{program.name}{end}", program) for program in planned.programs}
    model = _single(run.fresh_model())
    task = build.build_task(run.config, data.spec, use_files(model, programs))
    with warnings.catch_warnings(), torch.no_grad():
        ignore_foreign_warnings()
        evaluator = build_evaluator(run.config, ())
        disable_lightning_signals(evaluator)
        (values,) = evaluator.validate(task, datamodule=data, verbose=False)
    return {name: float(value) for name, value in values.items()}


def _single(model: torch.nn.Module) -> torch.nn.Module:
    """A model in float32, which the files have."""
    if any(value.dtype == torch.float64 for value in model.parameters()):
        log.info("the model is of float64: its weights are rounded to float32, which the files have")
        return copy.deepcopy(model).float()
    return model


def _size(count: int) -> str:
    return f"{count / 1e6:8.2f} MB"
