"""``seqlab bench engine``: every engine on every cell, against ``torch.nn``, the plain loop and the bare products."""

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from seqlab.bench.engine.cases import SHAPES, Case, layer_case, lengths_case, shape_case
from seqlab.bench.engine.cells import CellFactory, find_cells, stock_of
from seqlab.bench.engine.contenders import Setting, Size
from seqlab.bench.engine.process import RECOMPUTED, first_calls, peak_memory, recompute_refusal
from seqlab.bench.engine.rows import geometric_means, measure
from seqlab.bench.engine.scaling import scaling_rows
from seqlab.bench.engine.tables import case_table, compile_table, memory_table, scaling_table
from seqlab.errors import InputError
from seqlab.files import write_atomically
from seqlab.nn.engine import ENGINES, available
from seqlab.run.provenance import git_state, package_versions

SCHEMA = 1
SIZES = (Size(35, 20, 200), Size(35, 20, 650), Size(128, 64, 256), Size(20, 32, 64), Size(256, 16, 512))
STEPS = (128, 256, 512, 1024, 2048, 4096, 8192)
SCALING_B, SCALING_H = 16, 128
UNCOMPILED = ("loop", "native")
"""Engines whose first call compiles nothing."""
DEFAULT_CELLS = {  # of the parts that compare engines rather than cells
    "scaling": ("lstm", "gru", "user_lstm", "user_gru", "min_gru", "min_lstm"),
    "lengths": ("lstm", "gru", "user_lstm", "user_gru"),
    "shapes": ("lstm", "gru", "user_lstm", "user_gru"),
    "memory": ("lstm", "gru", "user_lstm", "user_gru"),
}


@dataclass(frozen=True)
class Options:
    """What to measure.

    Attributes:
        part: a name in `PARTS`, or all.
        cells: names of cells, or of classes of the user's own; None: each part's own choice.
        config_dir: a folder with more files of ``model/cell``; None: there is none.
        sizes: sizes of all parts but scaling.
        engines: names of engines; None: all that serve a cell.
        steps: values of T of the part scaling.
        rounds: timings of each contender.
        threads: of PyTorch; None: its own choice.
        precision: ``32-true`` or ``bf16-mixed``.
        device: ``cpu`` or ``cuda``.
        json_file: where the results are written; None: nowhere.
    """

    part: str = "all"
    cells: tuple[str, ...] | None = None
    config_dir: str | None = None
    sizes: tuple[Size, ...] = SIZES
    engines: tuple[str, ...] | None = None
    steps: tuple[int, ...] = STEPS
    rounds: int = 15
    threads: int | None = None
    precision: str = "32-true"
    device: str = "cpu"
    json_file: Path | None = None


def run(options: Options) -> int:
    """Measures the parts of a benchmark; prints their tables, and writes the results after each part.

    Returns:
        The exit code: 1 if a contender was wrong or failed, else 0.

    Raises:
        InputError: there is no such cell, engine or device, or the file can't be written.
    """
    setting = _prepare(options)
    results: dict[str, Any] = {
        "schema": SCHEMA,
        "machine": machine_facts(setting),
        "settings": {"rounds": options.rounds, "precision": options.precision, "sizes": list(options.sizes)},
        "parts": {},
        "failures": [],
    }
    for part in PARTS if options.part == "all" else (options.part,):
        measured = PARTS[part](_Part(part, options, setting, results["failures"]))
        results["parts"][part] = measured
        if options.json_file is not None:
            write_atomically(options.json_file, (json.dumps(results, indent=1) + "\n").encode())
    for failure in results["failures"]:
        print(f"not measured: {failure}")
    return 1 if results["failures"] else 0


def machine_facts(setting: Setting) -> dict[str, Any]:
    """The machine, the versions and the settings that the figures depend on."""
    gpu = torch.cuda.get_device_name(setting.device) if setting.device.type == "cuda" else None
    return {
        "cpu": _cpu_model(),
        "gpu": gpu,
        "threads": torch.get_num_threads(),
        "precision": setting.precision,
        "system": platform.platform(terse=True),
        "versions": package_versions(),
        "git": git_state(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@dataclass(frozen=True)
class _Part:
    """One part of a benchmark: its cells and engines, and its output."""

    name: str
    options: Options
    setting: Setting
    failures: list[str]

    @property
    def cells(self) -> dict[str, CellFactory]:
        """The cells by name."""
        if self.options.cells is not None:
            return find_cells(self.options.cells, self.options.config_dir)
        cells = find_cells(None)
        return {name: cells[name] for name in DEFAULT_CELLS.get(self.name, tuple(cells)) if name in cells}

    def show(self, text: str) -> None:
        """Prints a table."""
        print(f"{text}\n", flush=True)

    def fail(self, contender: str, reason: object) -> None:
        """Notes why a contender was not measured."""
        self.failures.append(f"{self.name}: {contender}: {reason}")

    def task(self, cell: str, contender: str, sizes: Sequence[Size]) -> dict[str, Any]:
        """The task of a fresh process, for :mod:`seqlab.bench.engine.process`."""
        return {
            "cell": cell,
            "config_dir": self.options.config_dir,
            "contender": contender,
            "sizes": sizes,
            "precision": self.options.precision,
            "device": self.options.device,
            "threads": torch.get_num_threads(),
        }

    def engines(self, factory: CellFactory) -> list[str]:
        """The engines to measure with a cell."""
        choice = self.options.engines
        return [name for name in available(factory(1, 1)) if choice is None or name in choice]


def _main(part: _Part) -> dict[str, Any]:
    return _cases(part, {"layer": layer_case})


def _lengths(part: _Part) -> dict[str, Any]:
    return _cases(part, {"lengths": lengths_case})


def _shapes(part: _Part) -> dict[str, Any]:
    def make(kind: str) -> Callable[..., Case]:
        return lambda name, factory, size, engines, setting: shape_case(name, factory, size, kind, engines, setting)

    return _cases(part, {kind: make(kind) for kind in SHAPES})


def _cases(part: _Part, kinds: Mapping[str, Callable[..., Case]]) -> dict[str, Any]:
    """Measures cases of some kinds, for every cell and size."""
    rows, means = [], []
    for name, factory in part.cells.items():
        for make in kinds.values():
            rows_of_kind = []
            for size in part.options.sizes:
                try:
                    case = make(name, factory, size, part.options.engines, part.setting)
                except Exception as error:  # the reference failed; it is reported, and the other cells are measured
                    part.fail(f"{name} {size}", f"{type(error).__name__}: {error}")
                    continue
                for contender, reason in case.failures.items():
                    part.fail(f"{name} {case.kind} {size}, {contender}", reason)
                if not case.engines:
                    part.show(f"{name}, {case.kind} {size}: none of the engines asked for serves it")
                    continue
                rows_of_kind += measure(case, part.options.rounds, part.setting)
            if rows_of_kind:
                means_of_kind = geometric_means(rows_of_kind)
                part.show(case_table(rows_of_kind, means_of_kind))
                rows += rows_of_kind
                means += means_of_kind
    return {"rows": [row.as_json() for row in rows], "geometric_means": [mean.as_json() for mean in means]}


def _scaling(part: _Part) -> dict[str, Any]:
    rows, options = [], part.options
    sizes = [Size(T, SCALING_B, SCALING_H) for T in options.steps]
    for name, factory in part.cells.items():
        rows_of_cell, failures = scaling_rows(name, factory, sizes, options.engines, options.rounds, part.setting)
        for contender, reason in failures.items():
            part.fail(f"{name}, {contender}", reason)
        if rows_of_cell:
            part.show(scaling_table(rows_of_cell))
        rows += rows_of_cell
    return {"rows": [row.as_json() for row in rows]}


def _compile(part: _Part) -> dict[str, Any]:
    rows, size = [], part.options.sizes[0]
    for name, factory in part.cells.items():
        for engine in part.engines(factory):
            if engine in UNCOMPILED:
                continue
            try:
                seconds = first_calls(part.task(name, engine, [size]))
            except RuntimeError as error:
                part.fail(f"{name}, {engine}", error)
            else:
                rows.append({"cell": name, "engine": engine, **size._asdict(), **seconds})
    part.show(compile_table(rows) if rows else "first calls: no engine asked for compiles anything")
    return {"rows": rows}


def _memory(part: _Part) -> dict[str, Any]:
    rows, refusal = [], recompute_refusal()
    for name, factory in part.cells.items():
        engines = part.engines(factory)
        compiled = [engine for engine in engines if engine not in UNCOMPILED]
        recomputed = [engine + RECOMPUTED for engine in compiled] if refusal is None else []
        for contender in (stock_of(name).name, *engines, *recomputed):
            try:
                peaks = peak_memory(part.task(name, contender, part.options.sizes))
            except RuntimeError as error:
                part.fail(f"{name}, {contender}", error)
            else:
                rows += [{"cell": name, "contender": contender, **peak} for peak in peaks]
    if rows:
        part.show(memory_table(rows))
    if refusal is not None:
        part.show(f"no rows with recompute=True: {refusal}")
    return {"rows": rows, "recompute": refusal or "measured"}


PARTS: dict[str, Callable[[_Part], dict[str, Any]]] = {
    "main": _main,
    "compile": _compile,
    "scaling": _scaling,
    "lengths": _lengths,
    "shapes": _shapes,
    "memory": _memory,
}


def _prepare(options: Options) -> Setting:
    """Checks the options and sets PyTorch up."""
    find_cells(options.cells, options.config_dir)
    for name in options.engines or ():
        if name not in ("auto", *ENGINES):
            raise InputError(f"--engines: there is no engine {name!r}; known are auto, {', '.join(ENGINES)}")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch finds no CUDA device on this machine; leave it out for the CPU")
    if options.json_file is not None:
        _check_file(options.json_file)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    from seqlab.run.torch_settings import keep_freed_memory  # imports torch, for seconds: after the checks

    keep_freed_memory()
    return Setting(torch.device(options.device), options.precision)


def _check_file(file: Path) -> None:
    """Makes the folder of a file, and refuses a file that can't be written, before hours are spent on its content."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--json {file}: {error.strerror or error}; give another file") from error
    if file.is_dir():
        raise InputError(f"--json {file}: expected a file, got a folder; add a name such as results.json")


def _cpu_model() -> str:
    """The processor's name, from Linux or else from Python."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
