"""The Transformer: self-attention in the place of recurrent layers, as a baseline beside them."""

from typing import cast as typed

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn.arguments import check_dropout, check_input, check_is_first, check_lengths, check_size, check_state
from seqlab.nn.layers.order import resets_in_order
from seqlab.nn.layers.recurrent import state_dtype
from seqlab.nn.layers.sequence import SequenceEncoder, without_padding
from seqlab.nn.state import NestedState, State, describe


class TransformerEncoder(SequenceEncoder):
    """L layers of self-attention (Vaswani et al. 2017), ``torch.nn.TransformerEncoderLayer`` in pre-norm form.

        h_0 = W x + b;   h_l = u_l + F_l(N'_l(u_l)),  u_l = h_{l-1} + A_l(N_l(h_{l-1}));   output = N(h_L)

    F is two linear layers with a GELU between them; the norms come before what they feed (Xiong et al. 2020). Attention
    A of step i to step j has the scores

        q_i . k_j / sqrt(d / num_heads) + r[i - j]

    for each head, with r learned and shared by the layers (Raffel et al. 2020, here without buckets). At first a step n
    steps away has the score r = -n / 2^(8 k / num_heads) in head k = 1..num_heads (Press et al. 2022). Only distances
    count: a text may be longer than any in training, and where it is cut changes nothing.

    - One direction (the default): step i attends to itself and the ``context - 1`` steps before it, in each layer. The
      state is what a layer has to remember for that: a tuple of ``valid (B, context - 1)``, 1 where there was a step,
      and for each layer its last inputs ``(B, (context - 1) * hidden_size)``, the newest last. A text read in windows,
      the state handed on, gives what it gives read at once (as in Dai et al. 2019), and so does one read step by step.
      Gradients end where the state is detached: at the window's first step.
    - ``bidirectional``: every step attends to all steps of its row; distances of ``context`` and more share r of
      ``context - 1``. There is no state: the tuple is empty.

    ``encoder(x (B, T, input_size), state=None, lengths=None, is_first=None) -> (output (B, T, hidden_size), state)``;
    padding, beyond ``lengths (B,)``, is attended to by no valid step, and its output is zero. Where ``is_first``,
    ``(B,)`` or ``(B, T)`` bool, says that a segment begins, no step on the one side attends to any on the other, and
    the state is that of the last segment.

    Args:
        input_size: The width of x.
        hidden_size: d, the width of each layer; a multiple of ``num_heads``.
        num_layers: L.
        bidirectional: Whether steps attend to later ones too.
        dropout: The probability of dropout where torch's layer has it, in [0, 1): on attention's weights, within F, and
            on what A and F add.
        num_heads: The number of attention heads.
        feedforward_size: The inner width of F; None: 4 d.
        context: The number of steps that a step of one direction attends to, itself among them.

    Raises:
        TypeError: a size is no integer, or, when called, ``x``, ``lengths`` or ``is_first`` have a wrong type.
        ValueError: a size or probability is out of range, ``hidden_size`` is no multiple of ``num_heads``, or, when
            called, ``x``, ``state``, ``lengths`` or ``is_first`` have a wrong shape or range.

    Example:
        >>> encoder = TransformerEncoder(input_size=3, hidden_size=8, num_layers=2, num_heads=2, context=4).eval()
        >>> x = torch.randn(1, 6, 3)
        >>> whole, _ = encoder(x)
        >>> first, state = encoder(x[:, :5])
        >>> torch.allclose(encoder(x[:, 5:], state)[0], whole[:, 5:], atol=1e-5)
        True
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        *,
        num_heads: int = 4,
        feedforward_size: int | None = None,
        context: int = 128,
    ) -> None:
        super().__init__(input_size, check_size("hidden_size", hidden_size), bidirectional)
        self.hidden_size, self.num_layers = hidden_size, check_size("num_layers", num_layers)
        self.num_heads, self.context = check_size("num_heads", num_heads), check_size("context", context)
        self.dropout = check_dropout("dropout", dropout)
        if hidden_size % num_heads:
            raise ValueError(f"hidden_size: expected a multiple of num_heads={num_heads}, got {hidden_size}")
        inner = 4 * hidden_size if feedforward_size is None else check_size("feedforward_size", feedforward_size)
        self.project = nn.Linear(input_size, hidden_size)
        self.layers = nn.ModuleList(_Layer(hidden_size, num_heads, inner, dropout) for _ in range(num_layers))
        self.norm = nn.LayerNorm(hidden_size)
        self.distance_scores = nn.Parameter(
            torch.empty(num_heads, (2 if bidirectional else 1) * context - bidirectional)
        )
        self.initialize()

    def initialize(self) -> None:
        """Sets r, ``(num_heads, distances)``, as it is at first."""
        distances = torch.arange(-(self.context - 1) if self.bidirectional else 0, self.context).abs()
        slopes = 2.0 ** (-8.0 * torch.arange(1, self.num_heads + 1) / self.num_heads)
        with torch.no_grad():
            self.distance_scores.copy_(-slopes.unsqueeze(1) * distances)

    def initial_state(self, batch_size: int, *, like: Tensor) -> State:
        """An empty context, of the device and dtype of ``like``."""
        return tuple(like.new_zeros(batch_size, size) for size in self._state_sizes())

    def _state_sizes(self) -> tuple[int, ...]:
        past = self.context - 1
        return () if self.bidirectional else (past, *[past * self.hidden_size] * self.num_layers)

    def forward(
        self,
        x: Tensor,
        state: tuple[NestedState, ...] | None = None,
        lengths: Tensor | None = None,
        is_first: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        check_input(x, self.input_size)
        if lengths is not None:
            lengths = check_lengths(lengths, x)
        segments = None if is_first is None else _number_segments(check_is_first(is_first, x), x, lengths)
        if self.bidirectional:
            if state:
                raise ValueError(f"state: expected none, as later steps are read too, got {describe(state)}")
            nothing = x.new_zeros(x.size(0), 0)
            return self._run(x, nothing, [nothing] * self.num_layers, lengths, segments)
        names = ("valid", *(f"layer {number}" for number in range(1, self.num_layers + 1)))
        parts = self.initial_state(x.size(0), like=x) if state is None else typed(State, state)
        check_state(parts, names, self._state_sizes(), x)
        valid, *inputs = parts
        # What no row remembers need not be read. On a GPU the host would have to wait to know; a graph can't.
        used = 0 if state is None else self.context - 1
        if state is not None and x.device.type == "cpu" and not torch.compiler.is_exporting():
            used = int((valid > 0).sum(1).max())  # not a sum of the ones: 16 bits hold no 301
        start = self.context - 1 - used
        memories = [each.view(x.size(0), -1, self.hidden_size)[:, start:] if used else each[:, :0] for each in inputs]
        return self._run(x, valid[:, start:], memories, lengths, segments)

    def _run(
        self, x: Tensor, valid: Tensor, memories: list[Tensor], lengths: Tensor | None, segments: Tensor | None
    ) -> tuple[Tensor, State]:
        """``valid (B, M)`` and ``memories (B, M, d)``: which steps came before, and what each layer read there.

        ``segments (B, T)`` numbers the segment of each step, from 0 for the one that those steps belong to.
        """
        past, dtype = valid.size(1), state_dtype(x)
        steps = torch.arange(x.size(1), device=x.device)
        now = steps.expand(x.size(0), -1) < (x.size(1) if lengths is None else lengths.unsqueeze(1))  # (B, T)
        seen = torch.cat((valid > 0, now), 1)  # (B, M + T)
        h = self.project(without_padding(x, lengths))
        if segments is not None:
            segments = functional.pad(segments, (past, 0))  # (B, M + T)
        scores = self._scores(past, x.size(1), seen, segments).to(h.dtype)
        read = []
        for layer, memory in zip(self.layers, memories, strict=True):
            whole = torch.cat((memory.to(h.dtype), h), 1) if past else h
            read.append(whole)
            h = layer(whole, past, scores)
        output = without_padding(self.norm(h), lengths)
        if self.bidirectional:
            return output, ()
        ends = now.sum(1) + past
        if segments is not None:  # resets past a row's end are not counted, so its last segment has the highest number
            seen = seen & (segments == segments[:, -1:])
        return output, self._remembered(seen, read, ends, dtype)

    def _scores(self, past: int, steps: int, seen: Tensor, segments: Tensor | None) -> Tensor:
        """What is added to the scores: ``(B * num_heads, T, M + T)``, -inf where a step does not attend.

        Only distances count, so a segment that attends to itself alone is read as if it stood at the beginning.
        """
        ago = torch.arange(past, past + steps, device=seen.device).unsqueeze(1) - torch.arange(
            past + steps, device=seen.device
        )  # (T, M + T)
        least = -(self.context - 1) if self.bidirectional else 0
        bias = self.distance_scores[:, ago.clamp(least, self.context - 1) - least]  # (num_heads, T, M + T)
        allowed = seen.unsqueeze(1)  # (B, 1, M + T)
        if segments is not None:
            allowed = allowed & (segments.unsqueeze(1) == segments[:, past:].unsqueeze(2))  # (B, T, M + T)
        if not self.bidirectional:
            allowed = allowed & (ago >= 0) & (ago < self.context)
        allowed = allowed | (ago == 0)  # padding attends to itself: a row without any score would be NaN
        return torch.where(allowed.unsqueeze(1), bias, -torch.inf).flatten(0, 1)

    def _remembered(self, seen: Tensor, read: list[Tensor], ends: Tensor, dtype: torch.dtype) -> State:
        """The last ``context - 1`` steps of each row before ``ends (B,)``, of ``seen (B, M + T)`` and what was read."""
        past = self.context - 1
        index = ends.unsqueeze(1) + torch.arange(past, device=seen.device)  # (B, past), behind ``past`` empty places
        valid = functional.pad(seen, (past, 0)).gather(1, index)
        state = [valid.to(dtype)]
        for inputs in read:
            places = index.unsqueeze(2).expand(-1, -1, self.hidden_size)
            kept = functional.pad(inputs, (0, 0, past, 0)).gather(1, places)
            state.append(kept.masked_fill(~valid.unsqueeze(2), 0.0).flatten(1).to(dtype))
        return tuple(state)

    def extra_repr(self) -> str:
        return f"bidirectional={self.bidirectional}, context={self.context}"


def _number_segments(is_first: Tensor, x: Tensor, lengths: Tensor | None) -> Tensor:
    """How many segments have begun up to each step: ``(B, T)``."""
    begun = resets_in_order(is_first, lengths, False).long().cumsum(1)
    return begun.expand(-1, x.size(1))


class _Layer(nn.TransformerEncoderLayer):
    """PyTorch's layer, with steps that are attended to and not computed again: those before the window."""

    def __init__(self, hidden_size: int, num_heads: int, feedforward_size: int, dropout: float) -> None:
        super().__init__(
            hidden_size, num_heads, feedforward_size, dropout, activation="gelu", batch_first=True, norm_first=True
        )

    def forward(self, whole: Tensor, past: int, scores: Tensor) -> Tensor:  # type: ignore[override]
        """The layer's output ``(B, T, d)`` for the last T steps of ``whole (B, past + T, d)``."""
        read = self.norm1(whole)
        attended, _ = self.self_attn(read[:, past:], read, read, attn_mask=scores, need_weights=False)
        h = whole[:, past:] + self.dropout1(attended)
        inner = self.dropout(functional.gelu(self.linear1(self.norm2(h))))
        result: Tensor = h + self.dropout2(self.linear2(inner))
        return result
