"""Pooling: the outputs of an encoder, one vector a step, made into one vector a row."""

from typing import TypeAlias

import torch
from torch import Tensor, nn

from seqlab.nn.arguments import check_choice, check_lengths, check_size
from seqlab.nn.layers.sequence import SequenceEncoder

Part: TypeAlias = tuple[Tensor, ...]
POOLINGS = ("last", "max", "mean", "attention")


def valid_steps(output: Tensor, lengths: Tensor | None) -> Tensor:
    """Which steps of ``output (B, T, F)`` are no padding: ``(B, T)`` bool; all of them without ``lengths (B,)``.

    Example:
        >>> valid_steps(torch.zeros(2, 3, 1), torch.tensor([3, 1])).int().tolist()
        [[1, 1, 1], [1, 0, 0]]
    """
    if lengths is None:
        return torch.ones(output.shape[:2], dtype=torch.bool, device=output.device)
    steps = torch.arange(output.size(1), device=output.device)
    return steps < check_lengths(lengths, output).unsqueeze(1)


class Pooling(nn.Module):
    """``pooling(output (B, T, F), lengths=None) -> (B, F)``: one vector a row from the vectors of its valid steps.

    What stands in the padding, beyond a row's length, never changes an answer; a row of length 0 gives zeros.

    A sequence may come in windows: ``finish(merge(part(first), part(second)))`` is the pooling of both together, and a
    part, a tuple of tensors ``(B, ...)``, is as large for a long window as for a short one. A subclass defines
    ``_part``, ``merge`` and ``finish``.

    Args:
        size: The width F of the vectors.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = check_size("size", size)

    def forward(self, output: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.finish(self.part(output, lengths))

    def part(self, output: Tensor, lengths: Tensor | None = None) -> Part:
        """What one window adds."""
        if output.dim() != 3 or output.size(2) != self.size:
            raise ValueError(f"output: expected shape (B, T, {self.size}), got {tuple(output.shape)}")
        return self._part(output, valid_steps(output, lengths))

    def _part(self, output: Tensor, valid: Tensor) -> Part:
        raise NotImplementedError

    def merge(self, earlier: Part, later: Part) -> Part:
        """The part of two windows, one after the other."""
        raise NotImplementedError

    def finish(self, part: Part) -> Tensor:
        """The vector ``(B, F)`` that a part stands for."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f"{self.size}"


class LastPooling(Pooling):
    """Each direction's output at the step that it reads last: s = [forward_n; backward_1], with n the row's length.

    That is the state an encoder ends in (Sutskever et al. 2014), for a bidirectional one of both directions.

    Args:
        size: The width F of y.
        backward: ``(F,)`` bool, which features the backward direction gives; None: none.

    Raises:
        ValueError: ``backward`` has another shape or type.

    Example:
        >>> LastPooling(1)(torch.tensor([[[1.0], [2.0], [9.0]]]), torch.tensor([2]))
        tensor([[2.]])
    """

    backward: Tensor

    def __init__(self, size: int, backward: Tensor | None = None) -> None:
        super().__init__(size)
        mask = torch.zeros(size, dtype=torch.bool) if backward is None else backward
        if mask.shape != (size,) or mask.dtype != torch.bool:
            raise ValueError(f"backward: expected a boolean tensor ({size},), got {mask.dtype} {tuple(mask.shape)}")
        self.register_buffer("backward", mask, persistent=False)

    def _part(self, output: Tensor, valid: Tensor) -> Part:
        lengths = valid.sum(1)
        rows = torch.arange(output.size(0), device=output.device)
        last = output[rows, (lengths - 1).clamp(min=0)]  # (B, F)
        return torch.where(self.backward, output[:, 0], last), lengths.unsqueeze(1) > 0

    def merge(self, earlier: Part, later: Part) -> Part:
        takes_later = later[1] & ~(self.backward & earlier[1])  # (B, F)
        return torch.where(takes_later, later[0], earlier[0]), earlier[1] | later[1]

    def finish(self, part: Part) -> Tensor:
        return torch.where(part[1], part[0], 0.0)


class MaxPooling(Pooling):
    """Element-wise maximum over time: s_f = max_t y_{t,f} (Collobert et al. 2011)."""

    def _part(self, output: Tensor, valid: Tensor) -> Part:
        return output.masked_fill(~valid.unsqueeze(2), -torch.inf).amax(1), valid.any(1, keepdim=True)

    def merge(self, earlier: Part, later: Part) -> Part:
        return torch.maximum(earlier[0], later[0]), earlier[1] | later[1]

    def finish(self, part: Part) -> Tensor:
        return torch.where(part[1], part[0], 0.0)


class MeanPooling(Pooling):
    """Mean over time: s = 1/n sum_t y_t."""

    def _part(self, output: Tensor, valid: Tensor) -> Part:
        return output.masked_fill(~valid.unsqueeze(2), 0.0).sum(1), valid.sum(1, keepdim=True)

    def merge(self, earlier: Part, later: Part) -> Part:
        return earlier[0] + later[0], earlier[1] + later[1]

    def finish(self, part: Part) -> Tensor:
        return part[0] / part[1].clamp(min=1)


class AttentionPooling(Pooling):
    """A weighted mean over time whose weights are learned (Yang et al. 2016, eq. 5 to 7).

        u_t = tanh(W y_t + b),   a = softmax_t(u_t . v),   s = sum_t a_t y_t

    Args:
        size: The width of y.
        attention_size: The width of u; None: ``size``.

    Raises:
        TypeError: a size is no integer.
        ValueError: a size is below 1.

    Example:
        >>> pooling = AttentionPooling(4)
        >>> weights = pooling.weights(torch.randn(2, 5, 4), torch.tensor([5, 2]))
        >>> [round(total, 5) for total in weights.sum(1).tolist()], weights[1, 2:].tolist()
        ([1.0, 1.0], [0.0, 0.0, 0.0])
    """

    def __init__(self, size: int, attention_size: int | None = None) -> None:
        super().__init__(size)
        width = size if attention_size is None else check_size("attention_size", attention_size)
        self.project = nn.Linear(size, width)
        self.query = nn.Linear(width, 1, bias=False)

    def weights(self, output: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The weights a, ``(B, T)``: they sum to 1 over a row's valid steps and are 0 elsewhere."""
        valid = valid_steps(output, lengths)
        return self._scores(output.masked_fill(~valid.unsqueeze(2), 0.0), valid).softmax(1).masked_fill(~valid, 0.0)

    def _scores(self, output: Tensor, valid: Tensor) -> Tensor:
        scores: Tensor = self.query(torch.tanh(self.project(output))).squeeze(2)
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))  # bfloat16 has three digits
        return scores.masked_fill(~valid, torch.finfo(scores.dtype).min)  # not -inf: an empty row would give NaN

    def _part(self, output: Tensor, valid: Tensor) -> Part:
        valid_output = output.masked_fill(~valid.unsqueeze(2), 0.0)
        scores = self._scores(valid_output, valid)
        highest = scores.detach().amax(1, keepdim=True)  # (B, 1), only against overflow: it cancels
        weights = (scores - highest).exp().masked_fill(~valid, 0.0)
        return (weights.unsqueeze(1) @ valid_output.to(weights.dtype)).squeeze(1), weights.sum(1, keepdim=True), highest

    def merge(self, earlier: Part, later: Part) -> Part:
        highest = torch.maximum(earlier[2], later[2])
        one, other = (earlier[2] - highest).exp(), (later[2] - highest).exp()
        return earlier[0] * one + later[0] * other, earlier[1] * one + later[1] * other, highest

    def finish(self, part: Part) -> Tensor:
        # A row's weights add up to 1 or more, the highest being 1, and to 0 only where it has no step.
        return (part[0] / part[1].clamp(min=0.5)).to(self.project.weight.dtype)


def make_pooling(name: str, encoder: SequenceEncoder, attention_size: int | None = None) -> Pooling:
    """The pooling of a name over the outputs of an encoder.

    Args:
        name: "last", "max", "mean" or "attention".
        encoder: The encoder.
        attention_size: The width of the scores of "attention".

    Raises:
        ValueError: the name is unknown, or ``attention_size`` comes with another pooling than attention.

    Example:
        >>> from seqlab.nn import Encoder, GRUCell
        >>> make_pooling("last", Encoder(GRUCell, 3, 2, bidirectional=True)).backward.tolist()
        [False, False, True, True]
    """
    check_choice("pooling", name, POOLINGS)
    if name == "attention":
        return AttentionPooling(encoder.output_size, attention_size)
    if attention_size is not None:
        raise ValueError(f"attention_size: expected None beside pooling={name!r}, got {attention_size}")
    if name == "last":
        return LastPooling(encoder.output_size, encoder.backward_features())
    return (MaxPooling if name == "max" else MeanPooling)(encoder.output_size)
