"""The part of a cell's contract that concerns a state that is reset inside a sequence."""

import torch
from torch import Tensor

from seqlab.nn.engine import available
from seqlab.nn.state import State, select_rows
from seqlab.testing.case import Case, gradients_of, leaves_of


def check_resets(case: Case) -> None:
    """On every engine, rows that begin anew inside the sequence are as their segments run by themselves.

    Resets stand at the first step, one after another, at the last step and past a row's end.
    """
    rows, steps = case.x.shape[:2]
    is_first = torch.zeros(rows, steps, dtype=torch.bool)
    is_first[0, 2] = is_first[1, 0] = is_first[1, 1] = True
    is_first[:, steps - 1] = True
    for lengths, reverse in ((None, False), (torch.tensor([steps, steps - 1, 0, *([1] * (rows - 3))]), True)):
        x, state, leaves = leaves_of(case)
        expected, expected_final = _run_segments(case, x, state, lengths, reverse, is_first)
        gradients = gradients_of(case.cell, expected, expected_final, leaves)
        for engine in available(case.cell):
            described = None if lengths is None else lengths.tolist()
            what = f"{engine} against each segment by itself, lengths {described}, reverse={reverse}"
            x, state, leaves = leaves_of(case)
            output, final = case.run(x, state, lengths, engine, reverse, is_first)
            case.agree(what, output, expected)
            case.agree_states(f"{what}, state", final, expected_final)
            case.agree_gradients(what, gradients_of(case.cell, output, final, leaves), gradients)


def _run_segments(
    case: Case, x: Tensor, state: State, lengths: Tensor | None, reverse: bool, is_first: Tensor
) -> tuple[Tensor, State]:
    """The output and the final state of rows that are cut at ``is_first``, each segment run by itself on "loop"."""
    rows, steps = x.shape[:2]
    initial = case.cell.initial_state(rows, like=x)
    outputs, finals = [], []
    for row, length in enumerate([steps] * rows if lengths is None else lengths.tolist()):
        own = torch.tensor([row])
        begins = [t for t in range(length) if t == 0 or is_first[row, t]]
        segments = list(zip(begins, [*begins[1:], length], strict=False))
        parts, new = [], select_rows(state, own)
        for number, (begin, end) in enumerate(reversed(segments) if reverse else segments):
            if number or (is_first[row, 0] and not reverse):
                new = select_rows(initial, own)
            output, new = case.run(x[own, begin:end], new, reverse=reverse)
            parts.append(output)
        padding = x.new_zeros(1, steps - length, case.cell.output_size)
        outputs.append(torch.cat((*(reversed(parts) if reverse else parts), padding), 1))
        finals.append(new)
    return torch.cat(outputs), tuple(torch.cat(each) for each in zip(*finals, strict=True))
