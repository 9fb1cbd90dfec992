"""The character encoder: a word's letters as one vector."""

from typing import cast as typed

import torch
from torch import Tensor, nn

from seqlab.nn.arguments import check_lengths, check_size, check_tokens
from seqlab.nn.layers.bidirectional import Bidirectional
from seqlab.nn.layers.encoder import Encoder
from seqlab.nn.layers.sequence import EncoderFactory, make_encoder
from seqlab.nn.models.distinct import distinct_rows
from seqlab.nn.state import State


class CharacterEncoder(nn.Module):
    """A word's letters as one vector: the final outputs of a recurrent layer from each end (Ling et al. 2015).

        r_w = [forward layer after the last letter; backward layer after the first]

    ``encoder(characters (B, T, C), word_lengths (B, T)) -> (B, T, output_size)``, with ``word_lengths`` the number of
    each word's letters, padding on the right of any character number. Each distinct word of the batch is read once. A
    word without letters gives what the layer's initial state gives.

    Args:
        num_characters: The number of characters.
        encoder: The factory of the layer, called ``encoder(input_size=embedding_size)``: a ``functools.partial`` of
            :class:`Encoder` with ``bidirectional=True`` and one layer.
        embedding_size: The width of a letter's vector.

    Raises:
        TypeError: ``encoder`` is no factory of encoders, or a size no integer.
        ValueError: a size is below 1, the encoder has one direction, several layers or a norm, or, when called,
            characters or lengths have a wrong shape or type.

    Example:
        >>> from functools import partial
        >>> from seqlab.nn import Encoder, LSTMCell
        >>> letters = partial(Encoder, LSTMCell, hidden_size=4, bidirectional=True)
        >>> encoder = CharacterEncoder(5, letters, embedding_size=3)
        >>> vectors = encoder(torch.tensor([[[1, 2], [3, 0], [1, 2]]]), torch.tensor([[2, 1, 2]]))
        >>> vectors.shape, torch.equal(vectors[0, 0], vectors[0, 2])
        (torch.Size([1, 3, 8]), True)
    """

    def __init__(self, num_characters: int, encoder: EncoderFactory, *, embedding_size: int = 30) -> None:
        super().__init__()
        sizes = check_size("num_characters", num_characters), check_size("embedding_size", embedding_size)
        self.embedding = nn.Embedding(*sizes)
        self.encoder = make_encoder("character_encoder", encoder, embedding_size, Encoder)
        if not self.encoder.bidirectional or self.encoder.num_layers != 1:
            got = f"bidirectional={self.encoder.bidirectional}, num_layers={self.encoder.num_layers}"
            raise ValueError(f"character_encoder: expected bidirectional=True and num_layers=1, got {got}")
        if self.encoder.norm != "none":  # the final states are read, and a norm changes the outputs alone
            raise ValueError(f"character_encoder: expected norm='none', got {self.encoder.norm!r}")
        self.output_size = self.encoder.output_size

    def forward(self, characters: Tensor, word_lengths: Tensor) -> Tensor:
        if characters.dim() != 3 or word_lengths.shape != characters.shape[:2]:
            shapes = f"{tuple(characters.shape)} and {tuple(word_lengths.shape)}"
            raise ValueError(f"characters, word_lengths: expected shapes (B, T, C) and (B, T), got {shapes}")
        rows = characters.flatten(0, 1)  # (B * T, C)
        check_tokens("characters", rows)
        counts = check_lengths(word_lengths.flatten(), rows)
        distinct, lengths, which = distinct_rows(rows, counts)  # (D, C), (D,), (B * T,)
        _, (final,) = self.encoder(self.embedding(distinct), lengths=lengths)
        layer = typed(Bidirectional, self.encoder.layers[0])
        forward, backward = typed(tuple[State, State], final)
        outputs = layer.forward_layer.cell.output(forward), layer.backward_layer.cell.output(backward)
        return torch.cat(outputs, 1).index_select(0, which).view(*word_lengths.shape, self.output_size)
