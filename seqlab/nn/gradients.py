"""Backpropagation through time, taken apart: what each step adds to a gradient, and how far back it reaches."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seqlab.nn.arguments import check_lengths
from seqlab.nn.layers.order import flip_valid
from seqlab.nn.unrolled import recurrent_layers, unrolled

Loss = Callable[[], Tensor]


class TruncationBias(NamedTuple):
    """How far a gradient by truncated backpropagation lies from the full one.

    Attributes:
        steps: the length of the windows, in steps.
        cosine: the cosine of the angle between the two gradients.
        relative_error: ``|truncated - full| / |full|``.
    """

    steps: int
    cosine: float
    relative_error: float


def step_gradients(model: nn.Module, loss: Loss, parameter: str, tbptt_steps: int | None = None) -> Tensor:
    """What each step of a recurrent layer adds to the gradient of a weight that all steps share.

        dL/dW = sum_t dL/dW_t,   state_t = cell(x_t, state_{t-1}; W_t),   W_t = W   (Werbos 1990)

    No ``.grad`` is touched.

    Args:
        model: a :class:`~seqlab.nn.Recurrent` layer, or a module that holds some.
        loss: calls the model and returns a scalar.
        parameter: the name of a cell's parameter, as in ``model.named_parameters()``:
            "encoder.layers.0.cell.weight_hh". It names the layer and the direction too.
        tbptt_steps: k cuts the gradient of the state every k steps of a call, in every layer, as truncated
            backpropagation in windows of k does; None cuts it nowhere.

    Returns:
        ``(T, *parameter.shape)``. The t-th entry is the part of the layer's t-th step. A reversed layer begins at the
        end of each row; the steps of several calls follow one another. The sum over t is the gradient that autograd
        gives. This takes T times the memory of the parameter; :func:`step_gradient_norms` takes that of one step.

    Raises:
        ValueError: ``parameter`` is not a cell's, is parametrized, or takes part in no step that the loss depends on
            (as one of ``initial_state`` alone); ``loss()`` is no scalar with a gradient; ``tbptt_steps`` is below 1.

    Example:
        >>> from seqlab.nn import LSTMCell, Recurrent
        >>> layer, x = Recurrent(LSTMCell(3, 4)), torch.randn(2, 5, 3)
        >>> last_step = lambda: layer(x)[0][:, -1].sum()
        >>> parts = step_gradients(layer, last_step, "cell.weight_hh")
        >>> last_step().backward()
        >>> parts.shape, torch.allclose(parts.sum(0), layer.cell.weight_hh.grad, atol=1e-6)
        (torch.Size([5, 16, 4]), True)
        >>> truncated = step_gradients(layer, last_step, "cell.weight_hh", tbptt_steps=2)
        >>> truncated.flatten(1).any(1)  # windows of steps 0-1, 2-3 and 4
        tensor([False, False, False, False,  True])
    """
    parts: dict[int, Tensor] = {}
    shared, steps = _visit_steps(model, loss, parameter, tbptt_steps, parts.__setitem__)
    absent = torch.zeros_like(shared)
    return torch.stack([parts.get(t, absent) for t in range(steps)])


def step_gradient_norms(model: nn.Module, loss: Loss, parameter: str, tbptt_steps: int | None = None) -> Tensor:
    """The Euclidean norm of what each step adds to a gradient, in the memory of one step.

    Args:
        model: as in :func:`step_gradients`.
        loss: as in :func:`step_gradients`.
        parameter: as in :func:`step_gradients`.
        tbptt_steps: as in :func:`step_gradients`.

    Returns:
        ``(T,)``, the norms of the entries of :func:`step_gradients`.

    Raises:
        ValueError: as :func:`step_gradients` does.

    Example:
        >>> from seqlab.nn import GRUCell, Recurrent
        >>> layer, x = Recurrent(GRUCell(3, 4)), torch.randn(2, 5, 3)
        >>> norms = step_gradient_norms(layer, lambda: layer(x)[0][:, 2].sum(), "cell.weight_ih")
        >>> norms > 0  # a loss at the third step
        tensor([ True,  True,  True, False, False])
    """
    norms: dict[int, Tensor] = {}

    def keep(t: int, part: Tensor) -> None:
        norms[t] = torch.linalg.vector_norm(part)

    shared, steps = _visit_steps(model, loss, parameter, tbptt_steps, keep)
    return torch.stack([norms.get(t, shared.new_zeros(())) for t in range(steps)])


def truncation_bias(model: nn.Module, loss: Loss, parameter: str, steps: Sequence[int]) -> list[TruncationBias]:
    """Compares gradients by truncated backpropagation with the full gradient.

    Args:
        model: as in :func:`step_gradients`.
        loss: as in :func:`step_gradients`.
        parameter: as in :func:`step_gradients`.
        steps: the lengths of windows to compare.

    Returns:
        One comparison for each length; cosine and relative error are nan where a gradient is zero.

    Raises:
        ValueError: as :func:`step_gradients` does.

    Example:
        >>> from seqlab.nn import RNNCell, Recurrent
        >>> layer, x = Recurrent(RNNCell(3, 4)), torch.randn(2, 8, 3)
        >>> one, all_steps = truncation_bias(layer, lambda: layer(x)[0].sum(), "cell.weight_hh", (1, 8))
        >>> one.relative_error > 0, all_steps.relative_error < 1e-6
        (True, True)
    """
    full = _total(model, loss, parameter, None)
    biases = []
    for k in steps:
        truncated = _total(model, loss, parameter, k)
        norms = truncated.norm() * full.norm()
        error = (truncated - full).norm() / full.norm()
        biases.append(TruncationBias(k, float((truncated * full).sum() / norms), float(error)))
    return biases


def state_gradients(model: nn.Module, loss: Loss, tbptt_steps: int | None = None) -> dict[str, Tensor]:
    """The gradient of the loss with respect to every state of every recurrent layer: dL/dh_t, dL/dc_t, ..., t = 1..T.

    These are total derivatives: through the step's own output and through all later steps. Where one vanishes with the
    distance to the loss, the model does not learn from what happened there (Hochreiter 1991; Bengio et al. 1994).

    Args:
        model: as in :func:`step_gradients`.
        loss: as in :func:`step_gradients`.
        tbptt_steps: as in :func:`step_gradients`.

    Returns:
        ``(T, B, size)`` by the name of the layer and of the part of its state, in the order of the layer's steps: "h"
        and "c" for a ``Recurrent(LSTMCell(...))``, "layers.1.backward_layer.h" in an encoder. Layers that ``loss()``
        does not call are left out. Past the end of a row its state stays the same, and the gradient there is that of
        the row's last state.

    Raises:
        ValueError: ``loss()`` calls no recurrent layer, calls one with batches of different sizes, or is no scalar
            with a gradient; ``tbptt_steps`` is below 1.

    Example:
        >>> from seqlab.nn import LSTMCell, Recurrent
        >>> layer, x = Recurrent(LSTMCell(3, 4)), torch.randn(2, 5, 3)
        >>> gradients = state_gradients(layer, lambda: layer(x)[0][:, -1].sum())
        >>> gradients["c"].shape, bool((gradients["h"][-1] == 1).all())
        (torch.Size([5, 2, 4]), True)
    """
    with unrolled(model, tbptt_steps) as recorders:
        value = _scalar(loss)
    called = {name: recorder for name, recorder in recorders.items() if recorder.states}
    if not called:
        raise ValueError("loss: expected it to call a Recurrent layer of the model, but it called none")
    states_of = {}
    for name, recorder in called.items():
        if len({state[0].size(0) for state in recorder.states}) > 1:
            raise ValueError(f"loss: expected calls of {name or 'the layer'} with batches of one size")
        for part, states in zip(recorder.state_names, zip(*recorder.states, strict=True), strict=True):
            states_of[f"{name}.{part}" if name else part] = states
    flat = [state for states in states_of.values() for state in states]
    gradients = iter(torch.autograd.grad(value, flat, allow_unused=True, materialize_grads=True))
    return {name: torch.stack([next(gradients) for _ in states]) for name, states in states_of.items()}


def norms_by_distance(gradients: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The mean over rows of ``|dL/dh_t|``, by the number of steps from t to the row's last.

    For each row's own gradient, let the loss be a sum over rows, not a mean.

    Args:
        gradients: ``(T, B, size)``, of :func:`state_gradients`.
        lengths: ``(B,)``, those of the layer's call, in steps; None for rows of T steps.

    Returns:
        ``(T,)``, the last step first. At a distance that only some rows reach, the mean is over those; at one that no
        row reaches, it is nan.

    Raises:
        ValueError: the gradients have other than three axes, or a length is below 0 or above T (told on the CPU).

    Example:
        >>> norms_by_distance(torch.tensor([[[3.0, 4.0]], [[1.0, 0.0]]]))
        tensor([1., 5.])
    """
    if gradients.dim() != 3:
        raise ValueError(f"gradients: expected (T, B, size), got {tuple(gradients.shape)}")
    norms: Tensor = torch.linalg.vector_norm(gradients, dim=2).T.unsqueeze(2)  # (B, T, 1)
    steps = norms.size(1)
    if lengths is None:
        return norms.squeeze(2).mean(0).flip(0)
    lengths = check_lengths(lengths, norms)
    reached = torch.arange(steps, device=norms.device) < lengths.unsqueeze(1)  # (B, T)
    by_distance = flip_valid(norms, lengths).squeeze(2).masked_fill(~reached, torch.nan)  # (B, T)
    return by_distance.nanmean(0)


def _total(model: nn.Module, loss: Loss, parameter: str, tbptt_steps: int | None) -> Tensor:
    """The sum of :func:`step_gradients`, in the memory of one step's."""
    parts: list[Tensor] = []

    def add(_: int, part: Tensor) -> None:
        parts[:] = [parts[0] + part] if parts else [part]

    _visit_steps(model, loss, parameter, tbptt_steps, add)
    return parts[0]


def _visit_steps(
    model: nn.Module, loss: Loss, parameter: str, tbptt_steps: int | None, visit: Callable[[int, Tensor], None]
) -> tuple[Tensor, int]:
    """Calls ``visit(t, part)`` with each step's part of the gradient; returns the parameter and the number of steps."""
    layer, name = _find(model, parameter)
    with unrolled(model, tbptt_steps, {layer: name}) as recorders:
        value = _scalar(loss)
    copies = recorders[layer].copies
    visited = 0

    def visit_step(t: int, copy: Tensor) -> None:
        nonlocal visited
        assert copy.grad is not None
        part, copy.grad = copy.grad, None
        visit(t, part)
        visited += 1

    for t, copy in enumerate(copies):
        copy.register_post_accumulate_grad_hook(lambda copy, t=t: visit_step(t, copy))  # type: ignore[no-untyped-call]
    if copies:
        torch.autograd.backward(value, inputs=copies)
    if not visited:
        mend = (
            "; a forward pre-hook of its cell may compute with it once a call, as pruning does: make that permanent on "
            "a copy of the model, as by torch.nn.utils.prune.remove"
        )
        mend = mend if recurrent_layers(model)[layer].cell._forward_pre_hooks else ""
        raise ValueError(f"parameter: {parameter} took part in no step that the loss depends on{mend}")
    return copies[0].detach(), len(copies)


def _find(model: nn.Module, parameter: str) -> tuple[str, str]:
    """The name of the recurrent layer that ``parameter`` belongs to, and its name in the layer's cell."""
    names = {
        f"{layer}.cell.{name}" if layer else f"cell.{name}": (layer, name)
        for layer, module in recurrent_layers(model).items()
        for name, _ in module.cell.named_parameters()
    }
    shared = [name for name in names if "parametrizations." not in name]
    if parameter not in shared:
        mend = "; one that is parametrized is computed once a call: call remove_parametrizations on a copy of the model"
        mend = "" if len(shared) == len(names) else mend
        known = ", ".join(shared) or "none"
        raise ValueError(
            f"parameter: expected one that a recurrent layer's cell uses at every step, got {parameter!r}; the model "
            f"has {known}{mend}"
        )
    return names[parameter]


def _scalar(loss: Loss) -> Tensor:
    with torch.enable_grad():
        value = loss()
    if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
        shown = f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        shown += " without a gradient" if isinstance(value, Tensor) and not value.requires_grad else ""
        raise ValueError(f"loss: expected a function that calls the model and returns a scalar, but it gave {shown}")
    return value
