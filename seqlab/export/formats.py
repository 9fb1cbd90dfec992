"""The files of an export: written from a program, and run again, as anybody will who has them."""

import contextlib
import importlib
import inspect
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from seqlab.errors import InputError
from seqlab.export.layers import first_line, quick_tracing
from seqlab.export.programs import Program

FORMATS: Final = {"onnx": ".onnx", "torch": ".pt2"}
"""The formats, with the ends of their files' names."""

_PACKAGES: Final = ("onnx", "onnxscript", "onnxruntime")
_OPERATION: Final = re.compile(r"target=torch\.ops\.([\w.]+)")  # in an error of the exporter
_EXAMPLE: Final = {"batch": 3, "time": 5, "letters": 4, "sentences": 6, "words": 7, "question": 8}


def check_packages() -> None:
    """Checks that what writes and runs ONNX is installed.

    Raises:
        InputError: a package is missing; names the extra with which it comes.
    """
    for name in _PACKAGES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise InputError(
                f"--format onnx needs the package {name}, which is not installed: run pip install 'seqlab[export]'; "
                "--format torch needs none"
            ) from error


def trace(program: Program) -> torch.export.ExportedProgram:
    """A program as PyTorch's exported graph.

    Raises:
        InputError: the model does what can't be exported.
    """
    ports = program.flat_inputs
    axes = {name: torch.export.Dim(name, min=1) for port in ports for name in port.shape if isinstance(name, str)}
    arguments = program.sample(_EXAMPLE, torch.Generator().manual_seed(0))

    def free(port: Any) -> Any:
        if isinstance(port, tuple):
            return tuple(map(free, port))
        return {place: axes[name] for place, name in enumerate(port.shape) if isinstance(name, str)}

    shapes = _as_taken(program.module, tuple(map(free, program.inputs)))
    try:
        with torch.no_grad(), quiet(), quick_tracing():
            graph = torch.export.export(program.module, arguments, dynamic_shapes=shapes, strict=False)
    except InputError:
        raise
    except Exception as error:  # torch.export raises what it likes over a model that it can't take
        raise InputError(
            f"{program.name} of this {type(program.reference.model).__name__} can't be exported: {first_line(error)}"
        ) from error
    for module in graph.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)  # it names the folders of this machine
    return graph


def _as_taken(module: torch.nn.Module, shapes: tuple[Any, ...]) -> tuple[Any, ...]:
    """The shapes of arguments as ``torch.export`` wants them: those that ``*arguments`` takes are one tuple."""
    kinds = [each.kind for each in inspect.signature(module.forward).parameters.values()]
    named = sum(kind != inspect.Parameter.VAR_POSITIONAL for kind in kinds)
    return (*shapes[:named], shapes[named:]) if shapes[named:] else shapes


def write_onnx(graph: torch.export.ExportedProgram, program: Program, path: Path) -> None:
    """Writes an exported graph as an ONNX file, with the names and axes of its program.

    Raises:
        InputError: an operation of the model has no counterpart in ONNX.
    """
    import onnx_ir as ir

    try:
        with torch.no_grad(), quiet(), quick_tracing():
            converted: Any = torch.onnx.export(
                graph,
                dynamo=True,
                verbose=False,
                input_names=[port.name for port in program.flat_inputs],
                output_names=[port.name for port in program.outputs],
            )
    except Exception as error:  # as above
        cause = error.__cause__ or error
        operation = _OPERATION.search(str(cause))
        reason = f"ONNX has no counterpart of {operation[1]}" if operation else first_line(cause)
        raise InputError(f"{program.name} can't be written as ONNX: {reason}; --format torch may serve") from error
    values = zip(
        (*converted.model.graph.inputs, *converted.model.graph.outputs),
        (*program.flat_inputs, *program.outputs),
        strict=True,
    )
    for value, port in values:
        value.shape = ir.Shape(port.shape)  # the exporter calls a free axis s27
    for node in ir.traversal.RecursiveGraphIterator(converted.model.graph):
        node.metadata_props.clear()  # where each comes from, longer than a small model
    converted.save(str(path), external_data=False)


def write_torch(graph: torch.export.ExportedProgram, path: Path) -> None:
    """Writes an exported graph in PyTorch's own format, which ``torch.export.load`` reads without this package."""
    with quiet():
        torch.export.save(graph, path)


class OnnxFile:
    """An ONNX file at work in onnxruntime, called as the program that it holds."""

    def __init__(self, path: Path, program: Program) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors
        options.intra_op_num_threads = torch.get_num_threads()
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.names = [port.name for port in program.flat_inputs]

    def __call__(self, *arguments: Any) -> tuple[Tensor, ...]:
        values = [tensor.detach().cpu().numpy() for tensor in pytree.tree_leaves(arguments)]
        return tuple(map(torch.from_numpy, self.session.run(None, dict(zip(self.names, values, strict=True)))))


class TorchFile:
    """A file of ``torch.export`` at work, called as the program that it holds."""

    def __init__(self, path: Path) -> None:
        with quiet():
            self.module = torch.export.load(path).module()

    def __call__(self, *arguments: Any) -> tuple[Tensor, ...]:
        with torch.no_grad():
            outputs: tuple[Tensor, ...] = self.module(*arguments)
            return outputs


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Leaves out what the exporters print of their own affairs: deprecated internals, packages that nobody asked for.

    What they can't do they raise.
    """
    loggers = [
        logging.getLogger(name) for name in ("torch.onnx", "torch.export", "torch._export", "onnxscript", "root")
    ]
    levels = [each.level for each in loggers]
    holder = logging.NullHandler()  # without one, what logs to the root gives it a handler for good
    logging.getLogger().addHandler(holder)
    for each in loggers:
        each.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger().removeHandler(holder)
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
