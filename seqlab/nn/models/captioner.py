"""The captioner: a picture, read as a grid of places, and a decoder that describes it."""

from collections.abc import Callable
from typing import cast as typed

import torch
from torch import Tensor, nn

from seqlab.nn.arguments import check_dropout, check_size
from seqlab.nn.cells.base import RecurrentCell
from seqlab.nn.layers.batch_norm import PictureNorm
from seqlab.nn.layers.recurrent import Recurrent
from seqlab.nn.models.attention import Memory
from seqlab.nn.models.decoder import Decoder, DecoderState
from seqlab.nn.models.inputs import Input, InputFactory
from seqlab.nn.models.parts import make_part
from seqlab.nn.models.translator import EncoderDecoder
from seqlab.nn.state import NestedState


class PictureInput(Input):
    """The places of a picture: k_l = CNN(x)_l + p_l, with a learned vector p_l for each place l.

    ``input(pictures (B, C, H, W)) -> (B, L, output_size)``. Each halving of the sides is a convolution of stride 2 and
    another of stride 1, both of width 3, each with batch normalisation and a ReLU; after h of them, L is
    ceil(H / 2^h) ceil(W / 2^h). Colours are floats from 0 to 1; they are moved to -1 to 1.

    Args:
        picture_size: (C, H, W).
        feature_size: The width of a place.
        halvings: How often the sides are halved; the first has half as many features, and at least 8.
        input_dropout: The probability of the dropout on places, in [0, 1).

    Raises:
        TypeError: a size is no integer.
        ValueError: a size or probability is out of range, or, when called, pictures have another shape or type.

    Example:
        >>> PictureInput((3, 32, 32), 16)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 64, 16])
    """

    def __init__(
        self, picture_size: tuple[int, int, int], feature_size: int, *, halvings: int = 2, input_dropout: float = 0.0
    ) -> None:
        super().__init__(check_size("feature_size", feature_size))
        channels, height, width = (check_size("picture_size", size) for size in picture_size)
        self.picture_size = (channels, height, width)
        self.input_dropout = check_dropout("input_dropout", input_dropout)
        layers: list[nn.Module] = []
        before = channels
        for halving in range(check_size("halvings", halvings)):
            half = max(feature_size // 2, 8) if halving == 0 and halvings > 1 else feature_size
            layers += [*_convolution(before, half, 2), *_convolution(half, feature_size, 1)]
            before, height, width = feature_size, -(-height // 2), -(-width // 2)
        self.convolutions = nn.Sequential(*layers)
        self.places = nn.Parameter(0.02 * torch.randn(height * width, feature_size))

    def forward(self, pictures: Tensor) -> Tensor:
        if not pictures.is_floating_point() or pictures.shape[1:] != self.picture_size:
            wanted = f"floats of shape (B, {', '.join(map(str, self.picture_size))})"
            raise ValueError(f"pictures: expected {wanted}, got {pictures.dtype} {tuple(pictures.shape)}")
        places: Tensor = self.convolutions(2 * pictures - 1).flatten(2).transpose(1, 2) + self.places
        return nn.functional.dropout(places, self.input_dropout, self.training)


def _convolution(before: int, after: int, stride: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
    return convolution, PictureNorm(after), nn.ReLU()


class FeatureInput(Input):
    """Features that have been computed of a picture's places already, projected: k_l = W f_l + b.

    ``input(features (B, L, F)) -> (B, L, output_size)``.

    Args:
        picture_size: (L, F).
        feature_size: The width of a place.
        input_dropout: The probability of the dropout on places, in [0, 1).

    Raises:
        TypeError: a size is no integer.
        ValueError: a size or probability is out of range, or, when called, features have another shape or type.

    Example:
        >>> FeatureInput((49, 512), 16)(torch.zeros(2, 49, 512)).shape
        torch.Size([2, 49, 16])
    """

    def __init__(self, picture_size: tuple[int, int], feature_size: int, *, input_dropout: float = 0.0) -> None:
        super().__init__(check_size("feature_size", feature_size))
        self.picture_size = typed(tuple[int, int], tuple(check_size("picture_size", size) for size in picture_size))
        self.input_dropout = check_dropout("input_dropout", input_dropout)
        self.projection = nn.Linear(self.picture_size[1], feature_size)

    def forward(self, features: Tensor) -> Tensor:
        if not features.is_floating_point() or features.shape[1:] != self.picture_size:
            wanted = f"floats of shape (B, {', '.join(map(str, self.picture_size))})"
            raise ValueError(f"features: expected {wanted}, got {features.dtype} {tuple(features.shape)}")
        places: Tensor = self.projection(features)
        return nn.functional.dropout(places, self.input_dropout, self.training)


class Captioner(EncoderDecoder):
    """A picture described in words (Vinyals et al. 2015), with attention over its places (Xu et al. 2015).

        k_1..k_L = input(picture);   s_0 = tanh(W mean(k) + b);   P(y_{s+1} | y_1..y_s, picture) = decoder(y, s_0, k)

    ``model(pictures, None, target_inputs (B, S), target_lengths=None) -> logits (B, S, V)``; it writes as
    :class:`Translator` does, whose ``greedy`` and ``beam_search`` it shares. Each part of each layer's first state has
    a W of its own.

    Args:
        input: The factory of the input, such as a ``functools.partial`` of :class:`PictureInput`.
        head: The factory of the decoder, called ``head(memory_size=input.output_size)``: a ``functools.partial`` of
            :class:`Decoder` with all other options.

    Raises:
        TypeError: a part is no factory of such a part.
        ValueError: what the parts refuse.

    Example:
        >>> from functools import partial
        >>> from seqlab.nn import Encoder, GRUCell, TokenHead, TokenInput
        >>> layers, output = partial(Encoder, GRUCell, hidden_size=4), partial(TokenHead, vocab_size=11)
        >>> decoder = partial(Decoder, partial(TokenInput, 11, 4), layers, output, feature_size=4)
        >>> model = Captioner(partial(PictureInput, (3, 32, 32), 8), decoder)
        >>> model(torch.zeros(2, 3, 32, 32), None, torch.tensor([[1, 5], [1, 6]])).shape
        torch.Size([2, 2, 11])
    """

    def __init__(self, input: InputFactory, head: Callable[..., Decoder]) -> None:
        super().__init__()
        self.input = make_part("input", input, Input)
        self.decoder = make_part("head", head, Decoder, memory_size=self.input.output_size)
        cells = [typed(Recurrent, layer).cell for layer in self.decoder.recurrent.layers]
        self.first_states = nn.ModuleList(_first_state(cell, self.input.output_size) for cell in cells)

    def encode(self, source: Tensor, source_lengths: Tensor | None = None) -> tuple[Memory | None, DecoderState]:
        """Read ``pictures``, of which all have as many places: ``source_lengths`` mean nothing."""
        places = self.input(source)
        attention = self.decoder.attention
        memory = None if attention is None else attention.prepare(places)
        mean = places.mean(1)
        initial = self.decoder.recurrent.initial_state(source.size(0), like=places)
        state: tuple[NestedState, ...] = tuple(
            tuple(
                part if join is None else join(mean).tanh()
                for part, join in zip(typed(tuple[Tensor, ...], parts), joins, strict=True)
            )
            for parts, joins in zip(initial, map(_of_list, self.first_states), strict=True)
        )
        return memory, self.decoder.start(state)


def _first_state(cell: RecurrentCell, width: int) -> nn.ModuleList:
    """A layer for each part of a state that is h or c; others begin as the cell begins, for they may be bound."""
    bound = not set(cell.state_names) <= {"h", "c"}
    return nn.ModuleList(
        nn.Identity() if bound and name != "h" else nn.Linear(width, size)
        for name, size in zip(cell.state_names, cell.state_sizes, strict=True)
    )


def _of_list(joins: nn.Module) -> list[nn.Module | None]:
    return [None if isinstance(join, nn.Identity) else join for join in typed(nn.ModuleList, joins)]
