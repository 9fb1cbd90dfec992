"""The tagger: one tag for each word, from its form, its letters and its neighbours."""

from collections.abc import Callable

from torch import Tensor, nn

from seqlab.nn.layers.sequence import EncoderFactory, SequenceEncoder, make_encoder
from seqlab.nn.models.inputs import Input, InputFactory
from seqlab.nn.models.parts import make_part
from seqlab.nn.models.tag_head import TagHead


class Tagger(nn.Module):
    """A recurrent tagger over words and their letters (Plank et al. 2016; with a CRF, Lample et al. 2016).

        emissions = head(encoder(input(words, letters)))

    ``model(words (B, T), characters (B, T, C), lengths (B,), word_lengths (B, T)) -> emissions (B, T, tags)``; all
    padding is on the right and changes nothing. Without letters, ``characters`` and ``word_lengths`` are None.
    ``is_first (B, T)`` bool, if given, is true where a segment of a row begins, which knows nothing of the others.
    :meth:`nll`, :meth:`loss` and :meth:`decode` take the emissions, as those of :class:`TagHead` do.

    Args:
        input: The factory of the input, such as a ``functools.partial`` of :class:`WordInput`.
        encoder: The factory of the encoder, called ``encoder(input_size=input.output_size)``: a ``functools.partial``
            of :class:`Encoder` with all other options.
        head: The factory of the head, called ``head(input_size=encoder.output_size)``: a ``functools.partial`` of
            :class:`TagHead` with all other options.

    Raises:
        TypeError: a part is no factory of such a part.
        ValueError: what the parts refuse.

    Example:
        >>> import torch
        >>> from functools import partial
        >>> from seqlab.nn import CharacterEncoder, Encoder, GRUCell, WordInput
        >>> encoder = partial(Encoder, GRUCell, hidden_size=4, bidirectional=True)
        >>> input = partial(WordInput, 9, 5, characters=partial(CharacterEncoder, encoder=encoder), num_characters=7)
        >>> head = partial(TagHead, tags=["B-place", "I-place", "O"], decoder="crf", entities=True)
        >>> model = Tagger(input, encoder, head)
        >>> words, lengths = torch.tensor([[3, 4], [5, 0]]), torch.tensor([2, 1])
        >>> characters = torch.tensor([[[1, 2], [3, 0]], [[4, 5], [0, 0]]])
        >>> word_lengths = torch.tensor([[2, 1], [2, 0]])
        >>> emissions = model(words, characters, lengths, word_lengths)
        >>> emissions.shape, model.decode(emissions, lengths).shape
        (torch.Size([2, 2, 3]), torch.Size([2, 2]))
        >>> model.loss(emissions, torch.tensor([[0, 1], [2, 0]]), lengths).item() > 0
        True
    """

    def __init__(self, input: InputFactory, encoder: EncoderFactory, head: Callable[..., TagHead]) -> None:
        super().__init__()
        self.input = make_part("input", input, Input)
        self.encoder = make_encoder("encoder", encoder, self.input.output_size, SequenceEncoder)
        self.head = make_part("head", head, TagHead, input_size=self.encoder.output_size)

    def forward(
        self,
        words: Tensor,
        characters: Tensor | None = None,
        lengths: Tensor | None = None,
        word_lengths: Tensor | None = None,
        *,
        is_first: Tensor | None = None,
    ) -> Tensor:
        letters = () if characters is None and word_lengths is None else (characters, word_lengths)
        output, _ = self.encoder(self.input(words, *letters), lengths=lengths, **self.input.segments(is_first))
        emissions: Tensor = self.head(output)
        return emissions

    def nll(self, emissions: Tensor, tags: Tensor, lengths: Tensor | None = None) -> Tensor:
        """-log P of each row's ``tags (B, T)``, ``(B,)``, in nats; see :meth:`TagHead.nll`."""
        return self.head.nll(emissions, tags, lengths)

    def loss(self, emissions: Tensor, tags: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The mean of :meth:`nll` over the batch's steps; see :meth:`TagHead.loss`."""
        return self.head.loss(emissions, tags, lengths)

    def decode(self, emissions: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The likeliest tags, ``(B, T)``; see :meth:`TagHead.decode`."""
        return self.head.decode(emissions, lengths)
