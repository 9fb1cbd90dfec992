"""What several kinds of models share: ports of their inputs, random values of these, and the sizes that are tried."""

from typing import Any, Final

import torch
from torch import Tensor, nn

from seqlab.errors import InputError
from seqlab.export.kinds.kind import Files
from seqlab.export.programs import Port, Sizes

INT: Final = torch.int64
BOTH_DIRECTIONS: Final = "its encoder is bidirectional, and reads a sequence from its end too"
BOTH_STRANDS: Final = "it reads the opposite strand of a sequence too, which begins at its end"
WHOLE_ROWS: Final = "its input tells places apart, and reads a sequence from its first step on"
# One row and one step, one of either, and more: an exporter that has taken a length for a constant is caught by these.
_CASES: Final = ((1, 1), (3, 1), (1, 7), (2, 12), (4, 5))


class Call(nn.Module):
    """A model behind one function of flat tensors; which function is the subclass's ``forward``."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model


def separate(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Outputs that share memory neither with an input nor with one another, whose names in a file they would take."""
    return tuple(tensor.clone() for tensor in tensors)


def real_dtype(model: nn.Module) -> torch.dtype:
    """The type of a model's weights."""
    return next((each.dtype for each in model.parameters() if each.is_floating_point()), torch.float32)


def token_port(name: str) -> Port:
    """Rows of token numbers, ``(batch, time)``."""
    return Port(name, INT, ("batch", "time"), "token numbers; padding on the right, of any token")


def lengths_port(name: str, axis: str) -> Port:
    """The lengths of rows along an axis, ``(batch,)``."""
    return Port(name, INT, ("batch",), f"how many steps of each row count, from 0 to {axis}")


def random_tokens(count: int, lengths: Sizes, generator: torch.Generator) -> Tensor:
    """Token numbers below ``count``, ``(batch, time)``."""
    return torch.randint(count, (lengths["batch"], lengths["time"]), generator=generator)


def random_lengths(lengths: Sizes, generator: torch.Generator) -> Tensor:
    """Lengths from 0 to T, with one row of each where there are rows enough."""
    drawn = torch.randint(1, lengths["time"] + 1, (lengths["batch"],), generator=generator)
    drawn[-1] = lengths["time"]
    if lengths["batch"] > 2:
        drawn[0] = 0
    return drawn


def cases(axis: str, **others: int | None) -> list[dict[str, int]]:
    """Sizes to compare a file on: numbers of rows and of steps along ``axis``, with the other axes' lengths if any."""
    more = {name: length for name, length in others.items() if length is not None}
    return [{"batch": rows, axis: steps, **more} for rows, steps in _CASES]


def refuse_segments(is_first: Tensor | None) -> None:
    """Refuses rows that begin anew inside, of which the files know nothing."""
    if is_first is not None:
        raise InputError("the files of this model take no is_first: give each segment a row of its own")


def answer_with_forward(model: nn.Module, files: Files) -> None:
    """Puts the first output of the file ``forward`` in the place of what the model returns."""
    vars(model).update(forward=lambda *arguments: files["forward"](*arguments)[0].to(arguments[0].device))
