"""What of a model becomes a file: a program, with the names, types and axes of what it reads and returns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

Sizes: TypeAlias = Mapping[str, int]
"""The length of each free axis, by its name."""

Arguments: TypeAlias = tuple[Any, ...]
"""What a program is called with: tensors, and tuples of them for a state or a memory."""


@dataclass(frozen=True)
class Port:
    """An input or output of a program.

    Attributes:
        name: its name in the file.
        dtype: its type.
        shape: its axes; a name is a free length, the same wherever it stands.
        text: what it holds.
        units: of an answer in a user's units, its mean and its deviation in training, which broadcast with it; a file
            is compared with its model in these.
    """

    name: str
    dtype: torch.dtype
    shape: tuple[str | int, ...]
    text: str
    units: tuple[Tensor, Tensor] | None = field(default=None, compare=False, repr=False)


@dataclass
class Program:
    """A function of tensors that becomes a file.

    Attributes:
        name: "forward", "step" or "encode": the name of its file.
        text: what it does.
        reference: the model's own answer: called with the arguments, it returns a tuple of tensors.
        module: the same over a copy that can be exported.
        inputs: the arguments; a tuple is one argument of several tensors.
        outputs: what it returns.
        sample: random arguments of given sizes.
        state: names of an input and of the output that takes its place at the next call.
        cases: sizes on which the file is compared with the model.
    """

    name: str
    text: str
    reference: nn.Module
    module: nn.Module
    inputs: Sequence[Port | tuple[Port, ...]]
    outputs: Sequence[Port]
    sample: Callable[[Sizes, torch.Generator], Arguments]
    state: Sequence[tuple[str, str]] = ()
    cases: Sequence[Sizes] = ()

    @property
    def flat_inputs(self) -> list[Port]:
        """All inputs, one after the other, as a file has them."""
        return [port for each in self.inputs for port in (each if isinstance(each, tuple) else (each,))]


@dataclass
class Export:
    """All that is exported of a model.

    Attributes:
        task: what kind of model it is.
        programs: its programs.
        left_out: programs that it can't have, each with the reason.
        initial: the state before the first step, one row of each part, by the name of the input.
        names: what the numbers of an answer stand for, as far as the model and not its data knows it.
    """

    task: str
    programs: list[Program]
    left_out: dict[str, str] = field(default_factory=dict)
    initial: dict[str, Tensor] = field(default_factory=dict)
    names: dict[str, Any] = field(default_factory=dict)
