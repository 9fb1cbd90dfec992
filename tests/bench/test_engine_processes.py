"""What the engines' benchmark has fresh processes tell: memory and first calls."""

import json
import re
from pathlib import Path

import torch

from seqlab.bench.engine import process as engine_process
from seqlab.bench.engine import run as engine
from seqlab.bench.engine.contenders import Setting, Size
from seqlab.bench.engine.process import _resident_growth, _tensor_bytes, first_calls, make_contender, peak_memory
from seqlab.bench.engine.tables import memory_table
from seqlab.nn import Recurrent
from seqlab.nn.engine import ENGINES, loop

HERE = Setting(torch.device("cpu"))
TASK = {"cell": "lstm", "contender": "native", "precision": "32-true", "device": "cpu", "threads": 1}
MILLION = 10**6


class Compiled:
    """An engine of a name that is not among those that compile nothing."""

    def refusal(self, cell):
        return None

    run = staticmethod(loop.run)


class Holding:
    """Holds one part through the call, and another two within it, one after the other."""

    def both(self):
        held = torch.ones(4 * MILLION)
        torch.ones(2 * MILLION).sum()
        torch.ones(6 * MILLION).sum()
        self.held = held


def test_peak_memory_counts_what_is_held_at_once():
    assert 40 * MILLION <= _tensor_bytes(Holding()) < 40.1 * MILLION
    grown = _resident_growth(Holding())
    assert grown is None or 38 * MILLION < grown < 50 * MILLION  # freed parts may stay with the allocator


def test_a_fresh_process_tells_the_memory_of_each_size():
    small, large = peak_memory(
        {**TASK, "cell": "user_lstm", "contender": "loop", "sizes": [Size(8, 4, 16), Size(64, 4, 16)]}
    )
    assert (small["T"], large["T"], large["H"]) == (8, 64, 16)
    assert small["tensors"] > 8 * 4 * 16 * 4 * 10  # gates and states that the backward pass needs, 4 bytes each
    assert 7 < large["tensors"] / small["tensors"] < 8.5
    assert "64,4,16" in memory_table([{"cell": "user_lstm", "contender": "loop", **large}])


def test_first_calls_begin_with_empty_caches_and_then_find_what_was_kept(monkeypatch):
    seen = []

    def process(task, environment):
        folder = Path(environment["SEQLAB_KERNEL_CACHE"])
        seen.append((task["do"], folder, folder.exists()))
        folder.mkdir(parents=True, exist_ok=True)
        return {"first": 4.0 / len(seen), "later": 0.25 * len(seen)}

    monkeypatch.setattr(engine_process, "in_fresh_process", process)
    assert first_calls(TASK) == {"cold_seconds": 4.0, "warm_seconds": 2.0, "later_seconds": 0.5}
    assert [(do, existed) for do, _, existed in seen] == [("first call", False), ("first call", True)]
    assert seen[0][1] == seen[1][1] and not seen[0][1].exists()


def test_a_fresh_process_times_the_first_call_apart_from_later_ones(capsys):
    task = {"do": "first call", **TASK, "sizes": [[4, 2, 3]], "threads": None}
    assert engine_process.main([json.dumps(task)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["first"] > 0 and 0 < answer["later"] < 1


def test_a_process_that_fails_costs_its_row_alone(bench, monkeypatch):
    def process(task, environment):
        if task["contender"] == "loop":
            raise RuntimeError("its process ended with 1: no memory")
        return [{**Size(*size)._asdict(), "tensors": MILLION, "resident": None} for size in task["sizes"]]

    monkeypatch.setattr(engine_process, "in_fresh_process", process)
    code, results, out, _ = bench("--part", "memory", "--cells", "lstm", "--sizes", "4,2,3")
    assert code == 1 and "not measured: memory: lstm, loop: its process ended with 1: no memory" in out
    rows = results["parts"]["memory"]["rows"]
    assert [(row["contender"], row["tensors"]) for row in rows] == [("nn.LSTM", MILLION), ("native", MILLION)]
    if "recompute" not in results["parts"]["memory"]["recompute"]:
        assert results["parts"]["memory"]["recompute"] == "measured"


def test_compiled_engines_have_rows_that_recompute_where_layers_can(bench, monkeypatch):
    asked = []

    def process(task, environment):
        asked.append(task["contender"])
        return [{**Size(*size)._asdict(), "tensors": MILLION, "resident": 1} for size in task["sizes"]]

    monkeypatch.setattr(engine_process, "in_fresh_process", process)
    monkeypatch.setitem(ENGINES, "compiled", Compiled())
    for refusal, extra in ((None, ["compiled, recompute"]), ("Recurrent takes no recompute", [])):
        monkeypatch.setattr(engine, "recompute_refusal", lambda refusal=refusal: refusal)
        asked.clear()
        _, results, out, _ = bench("--part", "memory", "--cells", "lstm", "--sizes", "4,2,3")
        assert asked == ["nn.LSTM", "native", "loop", "compiled", *extra]
        assert (refusal is None) == ("no rows with recompute=True" not in out)
        assert results["parts"]["memory"]["recompute"] == (refusal or "measured")


def test_a_contender_that_shall_recompute_is_made_so(monkeypatch):
    made = {}

    class Layer(Recurrent):
        def __init__(self, cell, backend, **options):
            made.update(options, backend=backend)
            super().__init__(cell, backend)

    monkeypatch.setattr(engine_process, "Recurrent", Layer)
    make_contender("lstm", "loop, recompute", Size(2, 1, 1), HERE)
    assert made == {"recompute": True, "backend": "loop"}


def test_the_compile_part_has_a_row_for_each_engine_that_compiles(bench, monkeypatch):
    monkeypatch.setattr(engine_process, "in_fresh_process", lambda task, environment: {"first": 4.0, "later": 0.25})
    code, results, out, _ = bench("--part", "compile", "--cells", "lstm", "--sizes", "4,2,3", "9,9,9")
    assert (code, results["parts"]["compile"]["rows"]) == (0, []) and "no engine asked for compiles anything" in out
    monkeypatch.setitem(ENGINES, "compiled", Compiled())
    _, results, out, _ = bench("--part", "compile", "--cells", "lstm", "--sizes", "4,2,3", "9,9,9")
    seconds = {"cold_seconds": 4.0, "warm_seconds": 4.0, "later_seconds": 0.25}
    assert results["parts"]["compile"]["rows"] == [
        {"cell": "lstm", "engine": "compiled", "T": 4, "B": 2, "H": 3, "I": None, **seconds}
    ]
    assert re.search(r"^lstm +compiled +\(4,2,3\) +4\.000 +4\.000 +0\.250$", out, re.MULTILINE)
