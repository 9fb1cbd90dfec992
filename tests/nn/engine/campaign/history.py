"""What happens to one layer: calls of every size and mode, changes in between, derivatives of every order."""

import random
from typing import Any

from tests.nn.engine.campaign.family import Family

Step = dict[str, Any]
LOSSES = (
    "weighted", "weighted", "square", "final_transposed", "final_last", "output_sum", "mean", "one_step", "strided",
    "permuted", "log_softmax_batch", "convolution", "huge", "tiny", "zero", "in_place", "in_place_final", "product",
    "maximum", "joined", "unbound", "flipped", "norm", "detached", "masked", "einsum", "first_part", "broadcast",
    "output_view", "second_only",
)  # fmt: skip
DERIVATIVES = (
    "penalty", "penalty", "hvp", "hessian", "func_grad", "jvp", "vmap", "vmap_grad", "forward_ad", "parameters_twice",
    "final_twice", "jacrev", "anomaly", "save_on_cpu", "checkpoint", "twice_retained", "windows", "default_device",
    "default_dtype", "subset", "saved_later", "compile_disabled",
)  # fmt: skip


CASES_OF_A_LIFE = 8


def life(cell: Family, number: int, seed: int = 0) -> dict[str, Any]:
    """How the layer is built that lives through the eight cases of a cell that ``number`` is among."""
    draw = random.Random(f"life {seed} {cell.number} {number // CASES_OF_A_LIFE}")
    return {
        "structure": draw.choices(("recurrent", "bidirectional", "encoder"), (86, 7, 7))[0],
        "reverse": draw.random() < 0.2,
        "recompute": draw.random() < 0.07,
        "explicit": draw.random() < 0.12,  # whether the engines that can be named are run too
        "loop": draw.random() < 0.3,  # whether `loop` is held against the hand-written steps
        "grid": draw.choice(((2, 1), (1, 2), (2, 2), (3, 2))) if draw.random() < 0.1 else None,
        "seed": draw.randrange(2**31),
    }


def history(cell: Family, number: int, seed: int = 0) -> list[Step]:
    """The steps of the ``number``-th case of a cell.

    A life goes on from case to case. Changes, which cost an engine a capture and perhaps a compilation, come in each
    third case; the others try what runs in other sizes and modes, under other losses.
    """
    draw = random.Random(f"history {seed} {cell.number} {number}")
    place = number % CASES_OF_A_LIFE
    threads = cell.concurrent * 1.0
    steps: list[Step] = []
    if place == 0:
        first = draw.choices(("run", "threads", "derivative"), (78, 14 * threads, 8))[0]
        steps = [_STEPS[first](draw, cell)]
    changes = place % 3 == 1 or (place == 0 and draw.random() < 0.4)
    for _ in range(draw.choices((1, 2), (2, 1))[0] if changes else draw.choices((2, 3, 4), (3, 2, 1))[0]):
        if changes:
            kind = draw.choices(("change", "copy", "mode", "learn", "other"), (72, 8, 6, 8, 6))[0]
        else:
            kind = draw.choices(("run", "derivative", "threads", "learn"), (60, 26, 8 * threads, 6))[0]
        steps.append(_STEPS[kind](draw, cell))
        if changes:
            steps.append(_run(draw, cell))
        if kind == "change" and draw.random() < 0.2:  # a series, as in annealing
            same = [each for each in cell.changes if each.kind == steps[-2]["kind"]]
            for _ in range(draw.randint(1, 3)):
                steps += [{"do": "change", **vars(draw.choice(same))}, _run(draw, cell)]
    return steps


def _run(draw: random.Random, cell: Family) -> Step:
    rows, times = draw.choice((1, 2, 3, 3, 4, 5, 7, 9)), draw.choice((1, 2, 3, 4, 5, 6, 7, 9, 12))
    lengths = None
    if draw.random() < 0.3:
        lengths = [draw.randint(0, times) for _ in range(rows)]
        if draw.random() < 0.2:
            lengths = [draw.choice((0, times))] * rows
    return {
        "do": "run", "rows": rows, "steps": times, "lengths": lengths, "seed": draw.randrange(2**31),
        "scale": draw.choices((1.0, 0.01, 30.0, 500.0, 0.0), (80, 5, 7, 4, 2))[0],
        "layout": draw.choices(("plain", "transposed", "expanded", "strided"), (70, 12, 8, 10))[0],
        "state": draw.random() < 0.4, "x_grad": draw.random() < 0.7,
        "mode": draw.choices(("train", "no_grad", "inference"), (82, 10, 8))[0],
        "autocast": draw.random() < 0.05, "loss": draw.choice(LOSSES), "backward": draw.random() < 0.4,
    }  # fmt: skip


def _threads(draw: random.Random, cell: Family) -> Step:
    step = _run(draw, cell)
    return {**step, "do": "threads", "threads": draw.choice((2, 4)), "own": draw.random() < 0.2, "autocast": False,
            "layout": "plain", "rows": draw.randint(1, 4), "lengths": None}  # fmt: skip


def _derivative(draw: random.Random, cell: Family) -> Step:
    step = _run(draw, cell)
    step |= {"rows": min(step["rows"], 3), "steps": min(step["steps"], 4), "scale": 1.0, "autocast": False}
    step |= {"lengths": None, "layout": "plain", "mode": "train", "x_grad": True, "state": False}
    return {**step, "do": "derivative", "kind": draw.choice(DERIVATIVES)}


def _change(draw: random.Random, cell: Family) -> Step:
    """One of the kinds of change first, so that rare kinds come as often as those of many ways; own ones mostly."""
    pool = cell.changes[: cell.own] if cell.own and draw.random() < 0.6 else cell.changes
    kinds = list(dict.fromkeys(each.kind for each in pool))
    kind = draw.choice(kinds)
    return {"do": "change", **vars(draw.choice([each for each in pool if each.kind == kind]))}


def _mode(draw: random.Random, cell: Family) -> Step:
    return {"do": "change", "kind": "mode", "code": draw.choice(("layer.eval()", "layer.train()", "cell.eval()"))}


def _copy(draw: random.Random, cell: Family) -> Step:
    return {"do": "copy", "how": draw.choice(("deepcopy", "pickle", "deepcopy and back"))}


def _learn(draw: random.Random, cell: Family) -> Step:
    return {"do": "learn", "how": draw.choice(("sgd", "adam")), "seed": draw.randrange(2**31)}


def _other(draw: random.Random, cell: Family) -> Step:
    return {"do": "other", "hidden": draw.choice((cell.hidden_size, 3)), "seed": draw.randrange(2**31)}


_STEPS = {
    "run": _run, "threads": _threads, "derivative": _derivative, "change": _change, "mode": _mode, "copy": _copy,
    "learn": _learn, "other": _other,
}  # fmt: skip
