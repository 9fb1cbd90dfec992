"""A model's state as the flat inputs and outputs of a program."""

from collections.abc import Callable, Sequence
from typing import Any
from typing import cast as typed

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from seqlab.errors import InputError
from seqlab.export.programs import Port
from seqlab.nn.layers.encoder import Encoder
from seqlab.nn.layers.recurrent import Recurrent


class State:
    """A nested state as flat tensors and back.

    Args:
        make: the state before the first step, of a number of rows.
    """

    def __init__(self, make: Callable[[int], Any]) -> None:
        with torch.no_grad():
            self.leaves, self.structure = pytree.tree_flatten(make(1))
            for one, several in zip(self.leaves, pytree.tree_leaves(make(2)), strict=True):
                if not torch.equal(one.expand_as(several), several):
                    raise InputError("the initial state differs between the rows of a batch: it can't be exported")

    def nested(self, tensors: Sequence[Tensor]) -> Any:
        """The state as the model takes it."""
        return pytree.tree_unflatten(list(tensors), self.structure)

    def flat(self, state: Any) -> tuple[Tensor, ...]:
        """Its tensors, one after the other."""
        return tuple(pytree.tree_leaves(state))

    def ports(self, names: Sequence[str]) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
        """The inputs and the outputs of these names."""
        sides = (("state", "the state before"), ("new", "the state after"))
        one, other = (
            tuple(
                Port(f"{prefix}_{name}", leaf.dtype, ("batch", *leaf.shape[1:]), text)
                for name, leaf in zip(names, self.leaves, strict=True)
            )
            for prefix, text in sides
        )
        return one, other

    def initial(self, ports: Sequence[Port]) -> dict[str, Tensor]:
        """One row of the state before the first step, by the names of the inputs."""
        return {port.name: leaf.detach().clone() for port, leaf in zip(ports, self.leaves, strict=True)}


def state_names(encoder: object, state: State, count: int | None = None) -> list[str]:
    """A name for each tensor of a state: ``layer0_h`` where it is an encoder's; the others are numbered."""
    total = len(state.leaves)
    count = total if count is None else count
    names: list[str] = []
    if isinstance(encoder, Encoder) and not encoder.bidirectional:
        for number, layer in enumerate(encoder.layers):
            names += [f"layer{number}_{name}" for name in typed(Recurrent, layer).cell.state_names]
    if len(names) != count or len(set(names)) != count or not all(name.isidentifier() for name in names):
        names = [f"part{number}" for number in range(count)]
    return names + [f"extra{number}" for number in range(total - count)]
