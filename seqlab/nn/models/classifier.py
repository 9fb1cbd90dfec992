"""The classifier: an input, an encoder, and a head that pools over time."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from seqlab.nn.arguments import check_size
from seqlab.nn.layers.sequence import EncoderFactory, SequenceEncoder, make_encoder
from seqlab.nn.models.heads import ClassHead
from seqlab.nn.models.inputs import Input, InputFactory
from seqlab.nn.models.parts import make_part
from seqlab.nn.models.pooling import Part
from seqlab.nn.state import NestedState


class Classifier(nn.Module):
    """A recurrent classifier of whole sequences: logits = head(encoder(input(inputs))).

    ``model(inputs (B, T) or (B, T, F), lengths=None) -> logits (B, num_classes)``; ``inputs`` are what the input reads,
    such as token numbers, ``lengths (B,)`` the steps of each row, whose padding never changes an answer.

    Args:
        input: The factory of the input, such as a ``functools.partial`` of :class:`TokenInput`.
        encoder: The factory of the encoder, called ``encoder(input_size=input.output_size)``: a ``functools.partial``
            of :class:`Encoder` with all other options.
        head: The factory of the head, called ``head(encoder=encoder)``: a ``functools.partial`` of :class:`ClassHead`
            with all other options.
        tbptt_steps: For long documents: a row is read in windows of that many steps, the state and the pooling
            carried on detached, and the gradient flows through its last ``tbptt_steps`` steps alone (truncated as in
            Williams & Peng 1990). The answer is the same, and training takes the memory of one window.

    Raises:
        TypeError: a part is no factory of such a part, or ``tbptt_steps`` no integer.
        ValueError: what the parts refuse, or ``tbptt_steps`` meets a bidirectional encoder, which reads from the end,
            or an input that reads whole rows.

    Example:
        >>> from functools import partial
        >>> from seqlab.nn import ClassHead, Encoder, GRUCell, TokenInput
        >>> encoder = partial(Encoder, GRUCell, hidden_size=6, bidirectional=True)
        >>> model = Classifier(partial(TokenInput, 11, 6), encoder, partial(ClassHead, num_classes=2, pooling="max"))
        >>> model(torch.tensor([[1, 2, 3], [4, 0, 0]]), torch.tensor([3, 1])).shape
        torch.Size([2, 2])
    """

    def __init__(
        self,
        input: InputFactory,
        encoder: EncoderFactory,
        head: Callable[..., ClassHead],
        *,
        tbptt_steps: int | None = None,
    ) -> None:
        super().__init__()
        self.tbptt_steps = None if tbptt_steps is None else check_size("tbptt_steps", tbptt_steps)
        self.input = make_part("input", input, Input)
        self.encoder = make_encoder("encoder", encoder, self.input.output_size, SequenceEncoder)
        if tbptt_steps is not None and self.encoder.bidirectional:
            raise ValueError("tbptt_steps: expected None with bidirectional=True, whose backward direction begins last")
        if tbptt_steps is not None and self.input.reads_whole:
            name = type(self.input).__name__
            raise ValueError(f"tbptt_steps: expected None with {name}, which reads whole rows, not windows")
        self.head = make_part("head", head, ClassHead, encoder=self.encoder)

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        if self.tbptt_steps is None or inputs.size(1) <= self.tbptt_steps:
            part, _ = self._window(inputs, lengths, None)
        else:
            part = self._long(inputs, lengths, self.tbptt_steps)
        logits: Tensor = self.head(part)
        return logits

    def _window(
        self, inputs: Tensor, lengths: Tensor | None, state: tuple[NestedState, ...] | None
    ) -> tuple[Part, tuple[NestedState, ...]]:
        """What a window adds to the pooling, and the state after it."""
        output, new = self.encoder(self.input(inputs), state, lengths)
        return self.head.pooling.part(output, lengths), new

    def _long(self, inputs: Tensor, lengths: Tensor | None, steps: int) -> Part:
        """The pooling of whole rows, with a gradient through the last ``steps`` steps of each."""
        if lengths is None:
            lengths = torch.full(inputs.shape[:1], inputs.size(1), device=inputs.device)
        heads = (lengths - steps).clamp(min=0)  # the steps before a row's last window
        state, earlier = None, None
        with torch.no_grad():
            for start in range(0, int(heads.max()), steps):
                window = inputs[:, start : start + steps]
                part, state = self._window(window, (heads - start).clamp(0, window.size(1)), state)
                earlier = part if earlier is None else self.head.pooling.merge(earlier, part)
        rows = torch.arange(inputs.size(0), device=inputs.device).unsqueeze(1)
        place = heads.unsqueeze(1) + torch.arange(steps, device=inputs.device)
        last = inputs[rows, place.clamp(max=inputs.size(1) - 1)]
        part, _ = self._window(last, lengths - heads, state)
        return part if earlier is None else self.head.pooling.merge(earlier, part)
