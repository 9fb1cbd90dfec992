"""The contract of a recurrent cell: what one step is, and what an engine may rely on."""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar
from typing import cast as typed

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn.arguments import check_input, check_size, check_state
from seqlab.nn.state import State, describe

_STEP = ("step", "pointwise", "coefficients")  # the methods that make a step
_GATES = ("gates", "gate_values")  # those that say what its gates are


def _definer(cls: type, methods: tuple[str, ...]) -> int:
    """The place in ``cls.__mro__`` of the first class that defines one of the methods."""
    return next((place for place, base in enumerate(cls.__mro__) if any(name in vars(base) for name in methods)), -1)


class RecurrentCell(nn.Module, ABC):
    """Anything that steps: ``state_t = step(project(x_t), state_{t-1})``, ``y_t = output(state_t)``.

    A state is a tuple of ``(B, size)`` tensors, named by ``state_names``, ``h`` first. Most cells are better written as
    a :class:`GatedCell`; this rung is for those whose step has another form. Engines call ``project``, ``step`` and
    ``output`` directly and not the cell itself: forward pre-hooks of the cell, as pruning registers, run once before a
    sequence, on every engine; other hooks belong on :class:`~seqlab.nn.Recurrent`. ``project`` sees all steps at once,
    ``(B, T, I)``, padding as zeros; one that mixes rows or steps does so on every engine alike.

    Called by itself, a cell makes one step: ``cell(x, state=None)`` with ``x (B, I)`` gives the new state.

    A cell that has gates may name them in ``gate_names`` and give their values in :meth:`gates`, for those who look
    inside: no engine asks for them, and they cost nothing elsewhere. A subclass that changes the step without saying
    what its gates are has none: those of its base would be another step's.

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state.

    Raises:
        TypeError: a size is no integer, or, when called, ``x`` is no tensor of floating-point values; or, where the
            class is defined, its names are none, two are equal, or gates are named and not given.
        ValueError: a size is below 1, or, when called, ``x`` or ``state`` has a wrong shape, or the new state has not
            the structure of the old one.

    Example:
        >>> class Leaky(RecurrentCell):
        ...     def step(self, gi, state):
        ...         return (0.5 * state[0] + gi,)
        >>> (h,) = Leaky(2, 2)(torch.ones(1, 2), (torch.ones(1, 2),))
        >>> h.tolist()
        [[1.5, 1.5]]
    """

    state_names: ClassVar[tuple[str, ...]] = ("h",)
    gate_names: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        names = cls.state_names
        if not isinstance(names, tuple) or not names or not all(isinstance(name, str) for name in names):
            raise TypeError(f"{cls.__name__}.state_names: expected a tuple of names such as ('h',), got {names!r}")
        if _definer(cls, _STEP) < _definer(cls, _GATES):
            if vars(cls).get("gate_names"):
                raise TypeError(
                    f"{cls.__name__}.gate_names: expected a method that gives the values of {cls.gate_names}: "
                    "gate_values in a GatedCell, gates in a RecurrentCell"
                )
            cls.gate_names = ()
        gates = cls.gate_names
        if not isinstance(gates, tuple) or not all(isinstance(name, str) for name in gates):
            raise TypeError(f"{cls.__name__}.gate_names: expected a tuple of names such as ('i', 'f'), got {gates!r}")
        if len({*names, *gates}) < len(names) + len(gates):
            raise TypeError(
                f"{cls.__name__}.gate_names: expected names that are neither repeated nor those of the state, {names}, "
                f"got {gates}"
            )

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size = check_size("input_size", input_size)
        self.hidden_size = check_size("hidden_size", hidden_size)

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """The width of each part of the state; ``hidden_size`` for all unless overridden."""
        return (self.hidden_size,) * len(self.state_names)

    @property
    def output_size(self) -> int:
        """The width of :meth:`output`; ``hidden_size`` unless overridden."""
        return self.hidden_size

    def project(self, x: Tensor) -> Tensor:
        """The part of a step that needs no state, ``(..., I) -> (..., P)``: an engine does it for all T at once."""
        return x

    @abstractmethod
    def step(self, gi: Tensor, state: State) -> State:
        """One step: the projected input ``gi (B, P)`` and the old state give the new state."""

    def output(self, state: State) -> Tensor:
        """What the layer above sees, ``(B, output_size)``."""
        return state[0]

    def gates(self, gi: Tensor, state: State) -> tuple[Tensor, ...]:
        """The values of the gates ``gate_names`` in the step from ``state``, ``(B, size)`` each; here none.

        They are as the step uses them: after their nonlinearities.
        """
        return ()

    def initial_state(self, batch_size: int, *, like: Tensor) -> State:
        """The state before the first step, of the device and dtype of ``like``: zeros; override it to learn it."""
        return tuple(like.new_zeros(batch_size, size) for size in self.state_sizes)

    def initialize(self) -> None:
        """Sets the parameters that the cell begins with for a reason, in place, once all others have been drawn anew.

        :func:`~seqlab.nn.initialize` calls it after ``uniform``; here there are none.
        """

    def forward(self, x: Tensor, state: State | None = None) -> State:
        check_input(x, self.input_size, axes="B")
        if state is None:
            state = self.initial_state(x.size(0), like=x)
        check_state(state, self.state_names, self.state_sizes, x)
        new = self.step(self.project(x), state)
        new = tuple(new) if isinstance(new, list) else new
        check_state(new, self.state_names, self.state_sizes, x, name=f"{type(self).__name__}: the new state")
        return new

    def check_output(self, output: Tensor, x: Tensor) -> None:
        """Raise ``ValueError`` unless ``output`` is one of this cell for the rows of ``x``."""
        name = type(self).__name__
        if not isinstance(output, Tensor) or output.shape != (x.size(0), self.output_size):
            shape = (x.size(0), self.output_size)
            raise ValueError(f"{name}.output: expected a tensor {shape}, got {describe(output)}")

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


class GatedCell(RecurrentCell):
    """A cell of one product with the input, one with ``h``, and a pointwise rest: what a user writes, in ten lines.

        gi = W_ih x_t + b_ih,   gh = W_hh h_{t-1} + b_hh,   state_t = pointwise(gi, gh, state_{t-1})

    Subclasses set ``num_gates`` (G) and ``state_names``, and define ``pointwise(gi (B, G*H), gh (B, G*H), state) ->
    state``. ``gi`` and ``gh`` stay apart, biases included, because a reset gate (Cho et al. 2014) acts on one of them
    alone. Extra parameters are made in an overridden ``__init__`` and used in ``pointwise``.

    Parameters ``weight_ih (G*H, I)``, ``weight_hh (G*H, H)``, ``bias_ih (G*H)``, ``bias_hh (G*H)`` carry the names, the
    order and the initialisation, uniform in ±1/sqrt(H), of ``torch.nn``'s cells; ``bias=False`` leaves the biases out.
    ``forget_gate``, for :func:`~seqlab.nn.initialize`, is the index of the chunk whose gate keeps the old state when it
    is open; None without such a gate, and where an open gate forgets.
    A cell that multiplies ``h`` by no matrix says ``recurrent = False``: it has neither ``weight_hh`` nor ``bias_hh``,
    and ``gh`` is None. A cell whose gates can be looked at names them in ``gate_names`` and gives their values in
    ``gate_values``, which takes what ``pointwise`` takes.

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state.
        bias: Whether the products have biases.

    Raises:
        TypeError: ``pointwise`` comes without ``num_gates``, which is noticed where the class is defined; or as
            :class:`RecurrentCell` does.
        ValueError: as :class:`RecurrentCell` does.

    Example:
        >>> class Minimal(GatedCell):  # the minimal gated unit, Zhou et al. 2016
        ...     num_gates, state_names = 2, ("h",)
        ...     def pointwise(self, gi, gh, state):
        ...         (fi, ni), (fh, nh) = gi.chunk(2, -1), gh.chunk(2, -1)
        ...         f = (fi + fh).sigmoid()
        ...         return ((1 - f) * state[0] + f * (ni + f * nh).tanh(),)
        >>> (h,) = Minimal(3, 4)(torch.zeros(2, 3))
        >>> h.shape
        torch.Size([2, 4])
    """

    num_gates: ClassVar[int]
    forget_gate: ClassVar[int | None] = None
    recurrent: ClassVar[bool] = True
    weight_ih: Tensor
    weight_hh: Tensor | None
    bias_ih: Tensor | None
    bias_hh: Tensor | None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "pointwise" not in vars(cls):
            return
        gates = getattr(cls, "num_gates", None)
        if isinstance(gates, bool) or not isinstance(gates, int) or gates < 1:
            raise TypeError(f"{cls.__name__}.num_gates: expected the number of gates, 1 or more, got {gates!r}")
        if cls.forget_gate is not None and cls.forget_gate not in range(gates):
            raise TypeError(f"{cls.__name__}.forget_gate: expected an index below {gates}, got {cls.forget_gate!r}")

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__(input_size, hidden_size)
        self.bias = bias
        rows = self.num_gates * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.register_parameter("weight_hh", nn.Parameter(torch.empty(rows, hidden_size)) if self.recurrent else None)
        self.register_parameter("bias_ih", nn.Parameter(torch.empty(rows)) if bias else None)
        self.register_parameter("bias_hh", nn.Parameter(torch.empty(rows)) if bias and self.recurrent else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every parameter anew from U(-1/sqrt(H), 1/sqrt(H)), as ``torch.nn`` does."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def project(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight_ih, self.bias_ih)

    def step(self, gi: Tensor, state: State) -> State:
        return self.pointwise(gi, self.product(state[0]), state)

    def product(self, h: Tensor) -> Tensor:
        """``gh (B, G*H)``, the product with the recurrent weights; None where ``recurrent`` is False."""
        if self.weight_hh is None:
            return typed(Tensor, None)  # such a cell's pointwise is told to expect None; all others get a tensor
        return functional.linear(h, self.weight_hh, self.bias_hh)

    @abstractmethod
    def pointwise(self, gi: Tensor, gh: Tensor, state: State) -> State:
        """The gates' values before their nonlinearities, ``(B, G*H)`` each, and the old state give the new state."""

    def gates(self, gi: Tensor, state: State) -> tuple[Tensor, ...]:
        return self.gate_values(gi, self.product(state[0]), state)

    def gate_values(self, gi: Tensor, gh: Tensor, state: State) -> tuple[Tensor, ...]:
        """The values of the gates ``gate_names`` after their nonlinearities, ``(B, H)`` each; here none."""
        return ()

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, bias={self.bias}"
