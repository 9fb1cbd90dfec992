"""Initialisation by configuration."""

import torch
from torch import Tensor, nn

from seqlab.nn.cells.base import GatedCell, RecurrentCell
from seqlab.nn.layers.connections import Connection
from seqlab.nn.layers.transformer import TransformerEncoder

_NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)


def initialize(
    module: nn.Module, *, uniform: float | None = None, orthogonal: bool = False, forget_bias: float | None = None
) -> None:
    """Draws the parameters of a module anew, in place.

    The options act in the order below, a later one over an earlier. What no option names stays as it was made, by
    ``torch.nn``'s defaults.

    Args:
        module: The model, or a part of it.
        uniform: a: every parameter, embeddings and biases too, is drawn from U(-a, a) (Zaremba et al. 2014). What
            begins as it does for a reason stays so: the norms between layers and pictures with gains of 1 and biases of
            0, the norms in cells with gains of 1, the gates of a highway with their bias, a Transformer with its scores
            of distances, and a cell with what its own options set, such as the ``memory`` of a :class:`MinGRUCell` and
            the identity of an :class:`IRNNCell`.
        orthogonal: Whether each gate's block of every cell's ``weight_hh`` is a random orthogonal matrix (Saxe et al.
            2014).
        forget_bias: b: for every forget gate, b_ih + b_hh = b (Jozefowicz et al. 2015 take 1); in a layer-normalised
            cell the biases of its norms.

    Raises:
        ValueError: ``uniform`` is not positive, ``orthogonal`` meets no ``weight_hh``, or ``forget_bias`` a cell that
            has no forget gate or no bias.

    Example:
        >>> from seqlab.nn import LSTMCell
        >>> cell = LSTMCell(3, 4)
        >>> initialize(cell, uniform=0.1, forget_bias=1.0)
        >>> (cell.bias_ih + cell.bias_hh).chunk(4)[1].tolist()
        [1.0, 1.0, 1.0, 1.0]
    """
    if uniform is not None and not uniform > 0:
        raise ValueError(f"uniform: expected a positive bound, got {uniform}")
    cells = [part for part in module.modules() if isinstance(part, RecurrentCell)]
    weights = _recurrent_weights(cells) if orthogonal else []
    biases = _forget_biases(cells) if forget_bias is not None else []
    with torch.no_grad():
        if uniform is not None:
            for parameter in module.parameters():
                parameter.uniform_(-uniform, uniform)
            for part in module.modules():
                if isinstance(part, _NORMS):
                    part.reset_parameters()
                elif isinstance(part, (Connection, RecurrentCell, TransformerEncoder)):
                    part.initialize()
        for weight in weights:
            for block in torch.split(weight, weight.size(1)):
                nn.init.orthogonal_(block)
        if forget_bias is not None:
            for first, *others in biases:
                first.fill_(forget_bias)
                for other in others:
                    other.zero_()


def _recurrent_weights(cells: list[RecurrentCell]) -> list[Tensor]:
    own = [dict(cell.named_parameters(recurse=False)) for cell in cells]
    weights: list[Tensor] = [parameters["weight_hh"] for parameters in own if "weight_hh" in parameters]
    if not weights:
        raise ValueError("orthogonal: expected a module with cells that have a parameter weight_hh, found none")
    return weights


def _forget_biases(cells: list[RecurrentCell]) -> list[list[Tensor]]:
    """For every gated cell, the forget gate's chunks of the biases that are added up before it."""
    chunks = []
    for cell in cells:
        if not isinstance(cell, GatedCell):
            continue
        if cell.forget_gate is None:
            raise ValueError(f"forget_bias: expected cells with a forget gate, but {type(cell).__name__} has none")
        own = dict(cell.named_parameters(recurse=False))
        biases = [own[name] for name in ("bias_ih", "bias_hh", "norm_bias_ih", "norm_bias_hh") if name in own]
        if not biases:
            raise ValueError(
                f"forget_bias: expected cells with biases, but {type(cell).__name__} has none; use bias=True"
            )
        chunks.append([bias.chunk(cell.num_gates)[cell.forget_gate] for bias in biases])
    if not chunks:
        raise ValueError("forget_bias: expected a module with gated cells, found none")
    return chunks
