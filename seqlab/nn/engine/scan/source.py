"""The C++ of a cell: sizes, the step, the step that keeps what its adjoint needs, and the adjoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import torch
from torch import fx

from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.scan.directions import AdjointEmitter, Graph, Plan, StepEmitter, sums_of_extras
from seqlab.nn.engine.scan.emit import SLOTS, Emitter, check_trace, loop
from seqlab.nn.engine.scan.trace import Trace
from seqlab.nn.engine.scan.views import Run, count_of, row_shape

KERNEL_TEXTS: Final = ("vector.h", "driver.h")

_ROUNDS = 3


@dataclass(frozen=True)
class Layout:
    """The sizes that the C++ and its caller agree on, in numbers of a row."""

    hidden_size: int
    num_gates: int
    state_sizes: tuple[int, ...]
    kept: int  # runs of hidden_size that the step stores apart
    kept_shared: int  # single numbers that it stores
    gi_needed: bool  # by the adjoint: unchanged, or with what the step has stored in its place
    shared_gradient: bool  # one gradient serves gi and gh
    sums: tuple[int, ...]  # widths of what the adjoint sums over rows and steps; the first is gh's gradient, if wanted
    sum_gh: bool
    sum_shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Source:
    """A program's text, its layout, and the graph that turns the sums into the extras' gradients."""

    text: str
    layout: Layout
    post: fx.GraphModule | None


def write(trace: Trace, hidden_size: int, state_sizes: tuple[int, ...], has_bias: bool, dtype: torch.dtype) -> Source:
    """The program of a traced cell. Raises :class:`UnsupportedError` where it can't be written."""
    check_trace(trace)
    assert state_sizes[0] == hidden_size  # the engine refuses others
    # Of a row of single numbers, each may be read as one that all lanes share: gi stays as it is.
    graph, plan = Graph(trace), Plan(gi_cut=hidden_size == 1, sequences=trace.num_sequences)
    for node in graph.extras:
        if node.meta["val"].dtype not in (dtype, torch.bool, torch.int64, torch.int32):
            raise UnsupportedError(f"its pointwise uses values of {node.meta['val'].dtype} that all rows share")
    sum_gh = trace.recurrent and has_bias
    sources, post = sums_of_extras(graph, trace)
    gates = count_of(graph.gi) // hidden_size
    plain, _ = _write_step(graph, plan, gates, hidden_size, state_sizes, "step", keep=False)
    for _ in range(_ROUNDS):  # what is kept may read gi in parts, after which nothing is kept in gi's place
        adjoint, whole_backward = _write_adjoint(graph, plan, gates, hidden_size, state_sizes, sources, sum_gh)
        places = len(plan.kept), plan.in_gi(gates)
        keeping, whole_forward = _write_step(graph, plan, gates, hidden_size, state_sizes, "step_and_keep", keep=True)
        if places == (len(plan.kept), plan.in_gi(gates)):
            break
    else:
        raise UnsupportedError("its pointwise keeps for its adjoint what it reads in parts")
    apart = len(plan.kept) - plan.in_gi(gates)
    sums = ((gates * hidden_size,) if sum_gh else ()) + tuple(count_of(node) for node in sources)
    shared = trace.recurrent and graph.to_gi is graph.to_gh
    vector = f"""#define REAL_IS_DOUBLE {int(dtype == torch.float64)}
{kernel_text("vector.h")}
constexpr long H = {hidden_size}, G = {gates}, GI = {gates * hidden_size}, NS = {len(state_sizes)};
constexpr long NE = {trace.num_extras}, KEPT = {apart}, KEPT_SHARED = {len(plan.kept_shared)};
constexpr long HP = (H + VL - 1) / VL * VL, SUMS = {sum(sums)}, SCRATCH = {SLOTS} * HP;
constexpr long SIZE[NS] = {{{", ".join(map(str, state_sizes))}}};
constexpr long STRIDE[NS] = {{{", ".join(["HP", *map(str, state_sizes[1:])])}}};
constexpr bool RECURRENT = {str(trace.recurrent).lower()}, SHARED_GRADIENT = {str(shared).lower()};
constexpr bool WHOLE_ROWS_FORWARD = {str(whole_forward).lower()}, WHOLE_ROWS_BACKWARD = {str(whole_backward).lower()};
struct Pointers {{
  const real *gh, *previous[NS], *extra[NE + 1], *dnext[NS];
  long ahead;                    // rows from this block to the next one
  long stride, previous_stride;  // rows from one of a block's rows to the next, now and in the previous state
  real *gi, *next[NS], *kept, *kept_shared, *dstate[NS], *dgi, *dgh, *sums;
}};
"""
    layout = Layout(
        hidden_size,
        gates,
        state_sizes,
        apart,
        len(plan.kept_shared),
        plan.gi_kept or plan.in_gi(gates) > 0,
        shared,
        sums,
        sum_gh,
        tuple((1, *row_shape(node)) for node in sources),
    )
    return Source("\n".join((vector, plain, keeping, adjoint, kernel_text("driver.h"))), layout, post)


@cache
def kernel_text(name: str) -> str:
    """A part of a kernel, of :data:`KERNEL_TEXTS`; read once a process, for it goes with the code that was imported."""
    return files("seqlab.nn.engine.scan").joinpath(f"kernel/{name}").read_text()


def _places(plan: Plan, gates: int) -> list[str]:
    """Where each kept run of a row lies, and how far it is to the next row's."""
    inside = plan.in_gi(gates)
    lines = []
    for slot in plan.kept.values():
        base, index, stride = ("gi", slot, "GI") if slot < inside else ("kept", slot - inside, "KEPT * H")
        place = f"kept{slot} = p.{base} + r * p.stride * {stride} + {index} * H;"
        lines.append(f"{place} constexpr long kept{slot}_stride = {stride};")
    return lines


def _write_step(
    graph: Graph, plan: Plan, gates: int, hidden_size: int, state_sizes: Sequence[int], name: str, keep: bool
) -> tuple[str, bool]:
    emitter = StepEmitter(graph, hidden_size, plan)
    stores = []
    for index, node in enumerate(graph.next):
        if count_of(node) != state_sizes[index]:  # nothing is written beside its place
            raise UnsupportedError(f"its pointwise gives a part of the state in the shape {row_shape(node)}")
        stores += _stores(emitter, f"next{index}", node, state_sizes[index])
    if keep:
        for run, slot in plan.kept.items():
            stores.append(f"STORE(kept{slot} + j, {emitter.value(run)});")
        for run, slot in plan.kept_shared.items():
            emitter.row.append(f"kept_shared[{slot}] = {emitter.value(run)}[0];")
    opening = ["const real* gi = p.gi + r * p.stride * GI;", "constexpr long gi_stride = GI;"]
    opening += ["const real* gh = p.gh + r * G * HP;"] if graph.gh is not None else []
    for index in range(len(graph.previous)):
        opening.append(f"const real* previous{index} = p.previous[{index}] + r * p.previous_stride * SIZE[{index}];")
        opening.append(f"real* next{index} = p.next[{index}] + r * p.stride * SIZE[{index}];")
    if keep:
        opening += [f"real* {line}" for line in _places(plan, gates)]
        opening.append("real* kept_shared = p.kept_shared + r * p.stride * KEPT_SHARED;")
    return _function(name, opening, emitter, stores), bool(emitter.reduced) or emitter.crosses


def _write_adjoint(
    graph: Graph,
    plan: Plan,
    gates: int,
    hidden_size: int,
    state_sizes: Sequence[int],
    sources: Sequence[fx.Node],
    sum_gh: bool,
) -> tuple[str, bool]:
    if graph.to_gi is None or (graph.gh is not None and graph.to_gh is None):
        raise UnsupportedError("its pointwise does not depend on what it is given")
    emitter = AdjointEmitter(graph, hidden_size, plan)
    stores, sums = [], 0
    stores += _stores(emitter, "dgi", graph.to_gi, count_of(graph.to_gi))
    if graph.to_gh is not None:
        for offset in range(0, count_of(graph.to_gh), hidden_size):
            value = emitter.value(Run(graph.to_gh, offset, False))
            if graph.to_gh is not graph.to_gi:
                stores.append(f"STORE(dgh + {offset} + j, {value});")
            if sum_gh:
                stores.append(_accumulate(offset, value))
        sums += count_of(graph.to_gh) if sum_gh else 0
    for index, node in enumerate(graph.to_previous):
        stores += _stores(emitter, f"dstate{index}", node, state_sizes[index])
    for node in sources:
        count = count_of(node)
        if count == 1:
            emitter.row.append(f"p.sums[{sums}] += {emitter.value(Run(node, 0, True))}[0];")
        else:
            for offset in range(0, count, hidden_size):
                value, end = emitter.value(Run(node, offset, False)), count - offset
                if end >= hidden_size:
                    stores.append(_accumulate(sums + offset, value))
                else:
                    total = f"load_lanes(p.sums, {sums + offset}, j, 0, {end}) + {value}"
                    stores.append(f"store_lanes(p.sums, {sums + offset}, j, {end}, {total});")
        sums += count
    opening = ["const real* gi = p.gi + r * p.stride * GI;", "constexpr long gi_stride = GI;"] if plan.gi_kept else []
    opening += [
        *(f"const real* {line}" for line in _places(plan, gates)),
        "const real* kept_shared = p.kept_shared + r * p.stride * KEPT_SHARED;",
    ]
    opening += ["real* dgi = p.dgi + r * p.stride * GI;", "real* dgh = p.dgh + r * p.stride * G * H;", "(void)dgh;"]
    for index in range(len(graph.previous)):
        opening.append(f"const real* previous{index} = p.previous[{index}] + r * p.previous_stride * SIZE[{index}];")
        opening.append(f"const real* next{index} = p.next[{index}] + r * p.stride * SIZE[{index}];")
        opening.append(f"const real* dnext{index} = p.dnext[{index}] + r * p.stride * SIZE[{index}];")
        opening.append(f"real* dstate{index} = p.dstate[{index}] + r * STRIDE[{index}];")
        opening.append(f"(void)previous{index}; (void)next{index};")
    # What all lanes share is summed once a row, so a row may not be cut among threads.
    whole = bool(emitter.reduced) or emitter.crosses or any(count_of(node) == 1 for node in sources)
    return _function("adjoint", opening, emitter, stores), whole


def _stores(emitter: Emitter, to: str, node: fx.Node | None, count: int) -> list[str]:
    """The lines of the loop that write a row of ``count`` numbers; None is zeros."""
    width, found = emitter.width, []
    if count == 1 < width and node is not None:  # what all lanes share; it may be read until the row's end
        emitter.last.append(f"{to}[0] = {emitter.value(Run(node, 0, True))}[0];")
        emitter.crosses = True
        return []
    for offset in range(0, count, width):
        value = "vec{}" if node is None else emitter.value(Run(node, offset, False))
        whole = offset + width <= count
        found.append(
            f"STORE({to} + {offset} + j, {value});"
            if whole
            else f"store_lanes({to}, {offset}, j, {count - offset}, {value});"
        )
    return found


def _accumulate(offset: int, value: str) -> str:
    return f"STORE(p.sums + {offset} + j, LOAD(p.sums + {offset} + j) + {value});"


def _function(name: str, opening: Sequence[str], emitter: Emitter, stores: Sequence[str]) -> str:
    lines = [*opening, *emitter.row, loop([*emitter.lines, *stores], emitter.width), *emitter.last]
    body = "\n".join(lines)
    return (
        f"static void {name}(const Pointers& p, long row_begin, long row_end, long j0, long j1, real* scratch) {{\n"
        f"(void)scratch;\nfor (long r = row_begin; r < row_end; ++r) {{\n{body}\n}}\n}}\n"
    )
