"""Measurements that need a fresh process: the first call of an engine, and the peak memory of one call.

``python -m seqlab.bench.engine.process TASK`` is that process; the last line that it prints is a JSON object.
"""

import ctypes
import inspect
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from seqlab.bench.engine.cells import CellFactory, find_cells, stock_of
from seqlab.bench.engine.contenders import SEED, LayerContender, Setting, Size, recurrent_contender
from seqlab.imports import put_user_folders_last
from seqlab.nn import Recurrent

KERNEL_CACHES = ("SEQLAB_KERNEL_CACHE", "TORCHINDUCTOR_CACHE_DIR")
RECOMPUTED = ", recompute"
LATER_CALLS = 3
WAIT = 600  # seconds


def first_calls(task: Mapping[str, Any]) -> dict[str, float]:
    """Seconds of an engine's first forward and backward pass in a fresh process, and of a later one.

    The first call is measured without compiled kernels in the cache (cold) and with them (warm).

    Raises:
        RuntimeError: the process failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: str(Path(folder) / name) for name in KERNEL_CACHES}
        cold, warm = (in_fresh_process({"do": "first call", **task}, environment) for _ in range(2))
    return {"cold_seconds": cold["first"], "warm_seconds": warm["first"], "later_seconds": warm["later"]}


def peak_memory(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The peak memory of one forward and backward pass of a contender at each size, beyond weights and input, in bytes.

    ``tensors`` is the memory of tensors. ``resident`` is the growth of the process, None where the system does not
    report it: it includes a kernel's own scratch space, and noise of some hundred kilobytes.

    Raises:
        RuntimeError: the process failed.
    """
    # Large buffers must go back to the system when freed: buffers left from the warm-up would hide the growth.
    peaks: list[dict[str, Any]] = in_fresh_process({"do": "memory", **task}, {"MALLOC_MMAP_THRESHOLD_": "65536"})
    return peaks


def in_fresh_process(task: Mapping[str, Any], environment: Mapping[str, str]) -> Any:
    """Runs a task in a fresh process; returns the object that it prints last."""
    command = [sys.executable, "-m", "seqlab.bench.engine.process", json.dumps(task)]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=WAIT, check=False
    )
    if done.returncode != 0:
        reason = next(iter(done.stderr.strip().splitlines()[-1:]), "no reason given")
        raise RuntimeError(f"its process ended with {done.returncode}: {reason}")
    return json.loads(done.stdout.splitlines()[-1])


def recompute_refusal() -> str | None:
    """Why layers can't recompute their gates; None where they can."""
    if "recompute" in inspect.signature(Recurrent).parameters:
        return None
    return "Recurrent takes no recompute"


def make_contender(
    name: str, contender: str, size: Size, setting: Setting, factory: CellFactory | None = None
) -> LayerContender:
    """A contender by name: an engine, then ``, recompute`` if its layer recomputes, or the ``torch.nn`` layer.

    ``factory`` makes the cell; None: that of the cell's name.
    """
    torch.manual_seed(SEED)
    x = setting.data(size)
    if contender == stock_of(name).name:
        stock = stock_of(name).layer(size.input_size, size.H, batch_first=True)
        return LayerContender(stock, lambda x: stock(x)[0], x, setting)
    cell = (factory or find_cells([name])[name])(size.input_size, size.H)
    engine = contender.removesuffix(RECOMPUTED)
    options: dict[str, Any] = {"recompute": True} if engine != contender else {}
    return recurrent_contender(Recurrent(cell, engine, **options), x, setting)


def main(argv: Sequence[str]) -> int:
    """Carries out the task in ``argv[0]``, a JSON object, and prints the answer."""
    task = json.loads(argv[0])
    if task["threads"] is not None:
        torch.set_num_threads(task["threads"])
    setting = Setting(torch.device(task["device"]), task["precision"])
    sizes = [Size(*size) for size in task["sizes"]]
    put_user_folders_last()
    factory = find_cells([task["cell"]], task.get("config_dir"))[task["cell"]]
    contenders = (make_contender(task["cell"], task["contender"], size, setting, factory) for size in sizes)
    if task["do"] == "first call":
        answer: Any = _first_call(next(contenders), setting)
    else:
        answer = [
            {**size._asdict(), **_peak(contender, setting)} for size, contender in zip(sizes, contenders, strict=True)
        ]
    print(json.dumps(answer))
    return 0


def _first_call(contender: LayerContender, setting: Setting) -> dict[str, float]:
    seconds = []
    for _ in range(1 + LATER_CALLS):
        started = time.perf_counter()
        contender.both()
        setting.synchronize()
        seconds.append(time.perf_counter() - started)
    return {"first": seconds[0], "later": min(seconds[1:])}


def _peak(contender: LayerContender, setting: Setting) -> dict[str, int | None]:
    for _ in range(2):
        contender.both()
    contender.release()
    if setting.device.type == "cuda":
        return _peak_on_gpu(contender, setting)
    resident = _resident_growth(contender)
    contender.release()
    return {"tensors": _tensor_bytes(contender), "resident": resident}


def _peak_on_gpu(contender: LayerContender, setting: Setting) -> dict[str, int | None]:
    torch.cuda.synchronize(setting.device)
    torch.cuda.reset_peak_memory_stats(setting.device)
    before = torch.cuda.memory_allocated(setting.device)
    contender.both()
    torch.cuda.synchronize(setting.device)
    return {"tensors": torch.cuda.max_memory_allocated(setting.device) - before, "resident": None}


def _tensor_bytes(contender: LayerContender) -> int:
    """The peak of the memory that PyTorch's allocator has given out."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        contender.both()
    recorded = profiler.profiler.kineto_results.events()
    changes = sorted((event for event in recorded if event.name() == "[memory]"), key=lambda event: event.start_ns())
    return max(itertools.accumulate(int(event.nbytes()) for event in changes))


def _resident_growth(contender: LayerContender) -> int | None:
    """The growth of the process; None outside Linux, where a process can't reset its peak."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        contender.both()
        return max(0, _status("VmHWM") - before)
    except (OSError, AttributeError):
        return None


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
