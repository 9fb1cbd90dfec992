"""One recurrent layer: a cell run over time."""

import logging
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from seqlab.nn.arguments import check_input, check_is_first, check_lengths, check_state
from seqlab.nn.cells.base import RecurrentCell
from seqlab.nn.engine import candidates, choose, run
from seqlab.nn.engine.dynamo import mode_refusal
from seqlab.nn.engine.errors import FinalError, UnsupportedError
from seqlab.nn.engine.methods import run_pre_hooks
from seqlab.nn.engine.repeat import repeat_refusal, versions
from seqlab.nn.engine.resets import Resets
from seqlab.nn.engine.weights import tensor_refusal
from seqlab.nn.layers.order import flip_valid, resets_in_order
from seqlab.nn.state import State

logger = logging.getLogger("seqlab")
_SHORT = (torch.float16, torch.bfloat16)


class LastRun(NamedTuple):
    """The engine that ran a layer's last call and, where it is "loop" for want of a faster one, why."""

    engine: str
    reason: str | None


class Recurrent(nn.Module):
    """A cell run over time: ``state_t = cell(x_t, state_{t-1})`` for t = 1..T, or from T to 1 with ``reverse=True``.

    ``layer(x (B, T, I), state=None, lengths=None, is_first=None) -> (output (B, T, output_size), state)``, with
    ``state`` a tuple of ``(B, size)`` tensors; without one, the cell's ``initial_state``. ``lengths (B,)`` counts the
    valid steps of each row, padding on the right: a padded step keeps the old state and outputs zero, a row of length 0
    keeps the state that came in, and a reversed layer begins at each row's own last step. The state is returned in the
    dtype of ``x``, and in float32 under a 16-bit autocast, so that carrying it loses nothing.

    ``is_first (B, T)`` is true at the steps at which a segment of a row begins, such as an episode or a document;
    ``(B,)`` stands for the first step. There the state becomes the cell's ``initial_state``, so that a row is as its
    segments run apart, in values and gradients. A reversed layer begins anew at a segment's other end: the state that
    is given belongs to the row's last segment. Past a row's length ``is_first`` is not looked at.

    "auto" takes the engine that a table in :mod:`seqlab.nn.engine` holds for the fastest, and logs its choice, which
    ``layer.engine`` names. The table knows the cell, the device, the precision, and whether rows have lengths of their
    own or begin anew inside the sequence. Under "auto", a single step without gradients on a CPU, and an exported
    model, run on "loop". A choice never changes a result beyond rounding.

    With ``recompute``, a layer keeps the input and the state every ``ceil(sqrt(T))`` steps for the backward pass, and
    runs each stretch between them a second time when its gradients are due (Chen et al. 2016): the memory for the gates
    of one stretch, for the time of a second forward pass. A cell whose steps can't be run twice to the same effect,
    such as one that counts its calls, keeps all instead, and a logged line says so.

    Args:
        cell: The cell.
        backend: The engine: "native", "parallel", "scan", "loop", or "auto".
        reverse: Whether time runs from T to 1.
        recompute: Whether steps are run a second time for the backward pass, to save memory.

    Raises:
        TypeError: ``cell`` is no cell, or, when called, ``x``, ``lengths`` or ``is_first`` have a wrong type.
        ValueError: the named engine can't serve the cell, or, when called, ``x``, ``state``, ``lengths`` or
            ``is_first`` have a wrong shape or range.

    Example:
        >>> from seqlab.nn import LSTMCell
        >>> layer = Recurrent(LSTMCell(3, 4))
        >>> output, (h, c) = layer(torch.randn(2, 5, 3), lengths=torch.tensor([5, 2]))
        >>> bool((output[1, 2:] == 0).all()), torch.equal(output[1, 1], h[1])
        (True, True)
        >>> x, is_first = torch.randn(1, 5, 3), torch.tensor([[True, False, True, False, False]])
        >>> torch.allclose(layer(x, is_first=is_first)[0][:, 2:], layer(x[:, 2:])[0], atol=1e-6)
        True
    """

    def __init__(
        self, cell: RecurrentCell, backend: str = "auto", reverse: bool = False, recompute: bool = False
    ) -> None:
        super().__init__()
        if not isinstance(cell, RecurrentCell):
            raise TypeError(f"cell: expected a RecurrentCell, such as LSTMCell(10, 20), got {cell!r}")
        self.cell = cell
        self.reverse = reverse
        self.recompute = recompute
        self._backend = backend
        self._choices: dict[object, tuple[str, ...]] = {}
        self._warned: set[str] = set()
        self._told_of_resets = False
        self.last_run: LastRun | None = None
        self.kept_to_loop: str | None = None  # why it runs on "loop" for good
        self._engine = choose(cell, backend)
        # A model on the meta device is built to be counted, many times over, and never run.
        if backend == "auto" and not any(parameter.is_meta for parameter in cell.parameters()):
            logger.info('%s(%s): backend "auto" chose %s', type(cell).__name__, cell.extra_repr(), self._engine)

    @property
    def engine(self) -> str:
        """The name of the engine that runs this layer where its parameters are, in float32, for rows of one length.

        "loop" once a call has had to step aside to it; ``layer.last_run`` says why.
        """
        if self._backend == "auto" and self.last_run is not None and self.last_run.reason is not None:
            return self.last_run.engine
        return self.chosen_engine

    @property
    def chosen_engine(self) -> str:
        """The same by the table alone, whatever the last call ran on."""
        parameter = next(self.cell.parameters(), None)
        return self._chosen("cpu" if parameter is None or parameter.is_meta else parameter.device.type, False, False)[0]

    @property
    def backend(self) -> str:
        """The engine that was asked for: its name, or "auto"."""
        return self._backend

    @property
    def output_size(self) -> int:
        """The width of the layer's output."""
        return self.cell.output_size

    def initial_state(self, batch_size: int, *, like: Tensor) -> State:
        """The cell's state before the first step, of the device and dtype of ``like``."""
        return self.cell.initial_state(batch_size, like=like)

    def forward(
        self,
        x: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        is_first: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        cell = self.cell
        check_input(x, cell.input_size)
        if lengths is not None:
            lengths = check_lengths(lengths, x)
        resets = None
        if is_first is not None:
            mask = resets_in_order(check_is_first(is_first, x), lengths, self.reverse)
            resets = Resets(mask, self._checked("initial_state", cell.initial_state(x.size(0), like=x), x))
        if state is not None:
            state = self._checked("state", state, x)
        elif resets is not None:
            state = resets.initial
        else:
            state = self._checked("state", cell.initial_state(x.size(0), like=x), x)
        if self.reverse:
            x = flip_valid(x, lengths)
        run_pre_hooks(cell, x, state)
        if self.recompute and torch.is_grad_enabled() and x.size(1) > 1 and self._repeats(x):
            output, state = self._run_in_stretches(x, state, lengths, resets)
        else:
            output, state = self._run(x, state, lengths, resets)
        if self.reverse:
            output = flip_valid(output, lengths)
        return _rows_first(output), self._carried(state, x)

    def _checked(self, name: str, state: State, x: Tensor) -> State:
        """A state of the cell for the rows of ``x``, in the dtype in which it is carried."""
        check_state(state, self.cell.state_names, self.cell.state_sizes, x, name)
        return self._carried(state, x)

    def _carried(self, state: State, x: Tensor) -> State:
        """A state in the dtype in which it is carried."""
        dtype = state_dtype(x)
        for name, part in zip(self.cell.state_names, state, strict=True):
            if part.is_complex() and not dtype.is_complex:  # the imaginary part would be lost
                mend = "carry its real and its imaginary part as two states"
                raise TypeError(
                    f"{type(self.cell).__name__}: expected real numbers in {name}, got {part.dtype}; {mend}"
                )
        return tuple(part.to(dtype) for part in state)

    def _run(self, x: Tensor, state: State, lengths: Tensor | None, resets: Resets | None) -> tuple[Tensor, State]:
        """On the engine for this call; under "auto" on the next one where that can't run what the cell does now."""
        if resets is not None:
            state, resets = resets.begin(state)
        auto, names = self._backend == "auto", self._engines_for(x, lengths, resets)
        if torch.compiler.is_compiling():
            return run(names[0], self.cell, x, state, lengths, auto, resets)
        tensors = (x, *state, *(() if resets is None else resets.initial))
        reason = (mode_refusal() or tensor_refusal(self.cell, *tensors)) if names[0] != "loop" else self.kept_to_loop
        if reason is not None:
            if not auto:
                names = ("loop",)  # what it is to do is not to be watched, and no engine is at fault
            names = names[-1:]
        for name in names:
            try:
                output, new = run(name, self.cell, x, state, lengths, auto, resets)
            except UnsupportedError as error:
                reason = str(error)
                if not auto:
                    kind = type(self.cell).__name__
                    raise ValueError(f'backend: {name} can\'t run this {kind}: {reason}; use backend="auto"') from None
                self._warn(name, reason)
                if isinstance(error, FinalError):
                    self.keep_to_loop(reason)
            else:
                self.last_run = LastRun(name, reason if name == "loop" else None)
                if resets is not None and auto:
                    self._log_resets(name)
                return output, new
        raise AssertionError("loop serves every cell")

    def _log_resets(self, name: str) -> None:
        """Logs once which engine runs sequences with resets, where that is another than without."""
        if not self._told_of_resets and name != self.chosen_engine:
            kind, usual = type(self.cell).__name__, self.chosen_engine
            logger.info('%s: backend "auto" runs sequences with resets on %s, others on %s', kind, name, usual)
        self._told_of_resets = True

    def keep_to_loop(self, reason: str) -> None:
        """Run on "loop" from now on, as a layer that has had to step aside for good, or a run that is resumed did."""
        self.kept_to_loop = reason

    def _engines_for(self, x: Tensor, lengths: Tensor | None, resets: Resets | None) -> tuple[str, ...]:
        if self._backend != "auto":
            return (self._engine,)
        if torch.compiler.is_exporting() or self.kept_to_loop is not None:
            return ("loop",)  # plain operators, which any program can load
        if x.is_meta:
            return ("loop",)  # shapes alone, and nothing to compute
        # A single step on a CPU, as in writing text, takes the plain step half the time of what is made for many.
        if x.size(1) == 1 and x.device.type == "cpu" and not torch.is_grad_enabled():
            return ("loop",)
        device = x.device.type
        low = x.dtype in _SHORT or (torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) in _SHORT)
        return self._chosen(device, low, lengths is not None or resets is not None)

    def _chosen(self, device: str, low: bool, packed: bool) -> tuple[str, ...]:
        if self._backend != "auto":
            return (self._engine,)
        case = (type(self.cell), self.cell.input_size, self.cell.hidden_size, device, low, packed)
        if case not in self._choices:
            self._choices[case] = candidates(self.cell, device, low, packed)
        return self._choices[case]

    def __getstate__(self) -> dict[str, Any]:
        # The classes by which an engine was chosen may be PyTorch's own of a parametrization, which can't be pickled.
        return {**self.__dict__, "_choices": {}}

    def _repeats(self, x: Tensor) -> bool:
        """Whether stretches of steps may be run twice; logs once why they may not."""
        reason = None if torch.compiler.is_compiling() else repeat_refusal(self.cell, x)
        if reason is not None and reason not in self._warned:
            self._warned.add(reason)
            logger.warning("%s: recompute has no effect: %s", type(self.cell).__name__, reason)
        return reason is None

    def _run_in_stretches(
        self, x: Tensor, state: State, lengths: Tensor | None, resets: Resets | None
    ) -> tuple[Tensor, State]:
        size = math.isqrt(x.size(1) - 1) + 1
        given = (x, *state, *(() if resets is None else resets.initial))
        outputs, before = [], versions(self.cell, given)

        def run_stretch(x: Tensor, state: State, lengths: Tensor | None, resets: Resets | None) -> tuple[Tensor, State]:
            if versions(self.cell, given) != before:  # autograd sees no change of what it has not kept
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation: "
                    f"recompute runs the steps of {type(self.cell).__name__} again, and its input, its first state, or "
                    "a parameter or buffer of it is not what it was in the forward pass"
                )
            return self._run(x, state, lengths, resets)

        for start in range(0, x.size(1), size):
            stretch = x[:, start : start + size]
            valid = None if lengths is None else (lengths - start).clamp(0, stretch.size(1))
            here = None if resets is None else resets.between(start, start + size)
            output, state = checkpoint(
                run_stretch, stretch, state, valid, here, use_reentrant=False, preserve_rng_state=True
            )
            outputs.append(output)
        return torch.cat(outputs, 1), state

    def _warn(self, name: str, reason: str) -> None:
        """Logs once why a faster engine can't run this layer."""
        if reason not in self._warned:
            self._warned.add(reason)
            logger.warning("%s can't run on %s, and another engine does it: %s", type(self.cell).__name__, name, reason)

    def extra_repr(self) -> str:
        return f"engine={self.engine!r}, reverse={self.reverse}, recompute={self.recompute}"


def _rows_first(output: Tensor) -> Tensor:
    """The output with each row in one piece of memory, where what reads it may be evaluated under autocast.

    Autocast's copies of weights need no gradient there, and PyTorch's linear layer then turns time-first features into
    a batched product, with the weights copied for each row: over 10,000 words that takes four times as long.
    """
    evaluated = not torch.is_grad_enabled() and torch.is_autocast_enabled(output.device.type)
    return output.contiguous() if evaluated and not output.is_meta else output


def state_dtype(x: Tensor) -> torch.dtype:
    """The dtype a state is carried in: that of ``x``, but float32 where ``x`` was shortened by autocast."""
    shortened = x.dtype in _SHORT and not x.is_meta and torch.is_autocast_enabled(x.device.type)
    return torch.float32 if shortened else x.dtype
