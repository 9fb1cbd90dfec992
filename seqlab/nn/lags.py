"""The gradient by lag: how strongly the loss at one step depends on the state some steps before it."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from seqlab.nn.arguments import check_lengths, check_size
from seqlab.nn.unrolled import Recorder, recurrent_layers, unrolled


def norms_by_lag(
    model: nn.Module, losses: Callable[[], Tensor], lengths: Tensor | None = None, positions: int = 8
) -> dict[str, Tensor]:
    """The mean of ``|d loss_t / d s_{t-k}|`` by the lag k, for every part s of the state of every recurrent layer.

    A norm that falls with k vanishes, one that grows explodes (Hochreiter 1991; Bengio et al. 1994; Pascanu et al.
    2013). The derivative is total: through all steps and layers between. The parts of a state are taken as independent:
    an LSTM's c_t acts on the loss by way of later steps alone, so its norm at lag 0 is 0. The mean is over rows and
    over ``positions`` steps t, spread evenly, the last one among them. No ``.grad`` is touched.

    Args:
        model: a :class:`~seqlab.nn.Recurrent` layer, or a module that holds some.
        losses: calls the model once and returns the loss of each step ``(B, T)``, as of a language model; or of each
            row ``(B,)``, as of a classifier: t is then the layer's own last step in the row.
        lengths: the steps of each row, ``(B,)``; None: all have as many.
        positions: how many steps t; each takes a backward pass.

    Returns:
        ``(T,)`` from lag 0 on, by the name of the layer and of the part of its state, as those of
        :func:`state_gradients`; nan at a lag that no row reaches. Lags are in a layer's own steps: those of a reversed
        one run towards the end of the row. Layers that read other rows or steps, such as the letters of words, are left
        out.

    Raises:
        TypeError: ``lengths`` or ``positions`` is no integer.
        ValueError: the losses have another shape or no gradient, no layer reads their steps, or ``lengths`` or
            ``positions`` is out of range.

    Example:
        >>> from seqlab.nn import LSTMCell, Recurrent
        >>> layer, x = Recurrent(LSTMCell(3, 4)), torch.randn(2, 30, 3)
        >>> norms = norms_by_lag(layer, lambda: layer(x)[0].sum(2))
        >>> norms["c"].shape, bool(norms["h"][20] < norms["h"][0])
        (torch.Size([30]), True)
    """
    check_size("positions", positions)
    with unrolled(model, None) as recorders, torch.enable_grad():
        terms = losses()
    if not isinstance(terms, Tensor) or terms.dim() not in (1, 2) or not terms.requires_grad:
        got = f"{tuple(terms.shape)}" if isinstance(terms, Tensor) else type(terms).__name__
        got += " without a gradient" if isinstance(terms, Tensor) and not terms.requires_grad else ""
        raise ValueError(f"losses: expected a tensor (B, T) or (B,) that depends on the model, got {got}")
    rows = terms.size(0)
    steps = terms.size(1) if terms.dim() == 2 else None
    reverse = {name: layer.reverse for name, layer in recurrent_layers(model).items()}
    layers = {name: (recorder, reverse[name]) for name, recorder in recorders.items() if _reads(recorder, rows, steps)}
    if not layers:
        raise ValueError(f"losses: expected a recurrent layer that reads the {rows} rows of the losses, but none does")
    steps = len(next(iter(layers.values()))[0].states) if steps is None else steps
    layers = {name: each for name, each in layers.items() if len(each[0].states) == steps}
    if lengths is None:
        lengths = torch.full((rows,), steps, device=terms.device)
    lengths = check_lengths(lengths, terms.detach().view(rows, -1, 1).expand(rows, steps, 1))
    return _means(layers, terms, lengths, steps, positions)


def _reads(recorder: Recorder, rows: int, steps: int | None) -> bool:
    """Whether a layer has read these rows, and so many steps."""
    states = recorder.states
    return bool(states) and states[0][0].size(0) == rows and (steps is None or len(states) == steps)


def _means(
    layers: dict[str, tuple[Recorder, bool]], terms: Tensor, lengths: Tensor, steps: int, positions: int
) -> dict[str, Tensor]:
    flat = [part for recorder, _ in layers.values() for state in recorder.states for part in state]
    parts = {
        f"{name}.{part}" if name else part: reverse
        for name, (recorder, reverse) in layers.items()
        for part in recorder.state_names
    }
    sums = {name: terms.new_zeros(steps, dtype=torch.float64) for name in parts}
    counts = dict.fromkeys(parts, terms.new_zeros(steps, dtype=torch.float64))
    own_steps = torch.arange(steps, device=terms.device)
    for t in _spread(steps, positions) if terms.dim() == 2 else [None]:
        loss = terms.sum() if t is None else terms[:, t].sum()
        gradients = iter(torch.autograd.grad(loss, flat, retain_graph=True, allow_unused=True))
        norms = _norms(layers, gradients, lengths)
        for name, reverse in parts.items():
            own = lengths - 1 if t is None else (lengths - 1 - t if reverse else torch.full_like(lengths, t))
            own = own.masked_fill(lengths <= (0 if t is None else t), -1)  # of a row that has no such step
            lags = own - own_steps.unsqueeze(1)  # (T, B)
            valid = lags >= 0
            sums[name] = sums[name].index_add(0, lags[valid], norms[name][valid])
            counts[name] = counts[name].index_add(0, lags[valid], torch.ones_like(norms[name][valid]))
    return {name: sums[name] / counts[name] for name in parts}


def _norms(
    layers: dict[str, tuple[Recorder, bool]], gradients: Iterator[Tensor | None], lengths: Tensor
) -> dict[str, Tensor]:
    """``|d loss / d s|`` by part, ``(T, B)``, of gradients in the order of layers, steps and parts."""
    norms: dict[str, list[Tensor]] = {}
    for name, (recorder, _) in layers.items():
        for _ in recorder.states:
            for part in recorder.state_names:
                gradient = next(gradients)
                value = lengths.new_zeros(lengths.shape, dtype=torch.float64)  # where the loss does not depend on it
                if gradient is not None:
                    value = torch.linalg.vector_norm(gradient, dim=1, dtype=torch.float64)
                norms.setdefault(f"{name}.{part}" if name else part, []).append(value)
    return {name: torch.stack(values) for name, values in norms.items()}


def _spread(steps: int, positions: int) -> list[int]:
    """Up to ``positions`` of the steps 0..steps - 1, spread evenly, the last one first."""
    count = min(positions, steps)
    return [steps - 1 - index * steps // count for index in range(count)]
