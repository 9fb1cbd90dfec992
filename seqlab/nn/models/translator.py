"""The encoder-decoder: a model that reads one sequence and writes another."""

from collections.abc import Callable
from typing import cast as typed

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn.arguments import check_lengths, check_size
from seqlab.nn.layers.encoder import Encoder
from seqlab.nn.layers.sequence import EncoderFactory, make_encoder
from seqlab.nn.models.attention import Memory
from seqlab.nn.models.beams import Beams, Translations, check_limits
from seqlab.nn.models.decoder import Bridge, Decoder, DecoderState
from seqlab.nn.models.generation import evaluation
from seqlab.nn.models.inputs import Input, InputFactory
from seqlab.nn.models.parts import make_part


class EncoderDecoder(nn.Module):
    """What writes an answer to a source, token by token: the half that all such models share.

    ``model(source, source_lengths, target_inputs (B, S), target_lengths=None) -> logits (B, S, V)``, with V tokens of
    the target: teacher forcing, where ``target_inputs`` begin with the token that begins an answer, and logits s are
    for the token after input s. A subclass defines :meth:`encode` and has a ``decoder``.
    """

    decoder: Decoder

    def encode(self, source: Tensor, source_lengths: Tensor | None = None) -> tuple[Memory | None, DecoderState]:
        """Read the sources: what attention reads, None without it, and the decoder's first state."""
        raise NotImplementedError(f"{type(self).__name__} must define encode")

    def step(
        self, tokens: Tensor, state: DecoderState, memory: Memory | None
    ) -> tuple[Tensor, DecoderState, Tensor | None]:
        """Read one token a row: logits for the next, the new state, attention's weights."""
        features, state, weights = self.decoder(tokens.unsqueeze(1), state, memory)
        return self.logits(features.squeeze(1)), state, None if weights is None else weights.squeeze(1)

    def features(
        self,
        source: Tensor,
        source_lengths: Tensor | None,
        target_inputs: Tensor,
        target_lengths: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """What the output layer sees, ``(B, S, decoder.feature_size)``, and attention's weights ``(B, S, T)``, both 0
        past ``target_lengths``."""
        memory, state = self.encode(source, source_lengths)
        features, _, weights = self.decoder(target_inputs, state, memory)
        if target_lengths is None:
            return features, weights
        # Only here: a step to the right changes none before it, and rows of one length run faster.
        steps = torch.arange(features.size(1), device=features.device)
        padding = (steps >= check_lengths(target_lengths, features).unsqueeze(1)).unsqueeze(2)  # (B, S, 1)
        return features.masked_fill(padding, 0.0), None if weights is None else weights.masked_fill(padding, 0.0)

    def logits(self, features: Tensor) -> Tensor:
        """Scores for the next token, ``(..., decoder.feature_size) -> (..., V)``."""
        return self.decoder.logits(features)

    def forward(
        self,
        source: Tensor,
        source_lengths: Tensor | None,
        target_inputs: Tensor,
        target_lengths: Tensor | None = None,
    ) -> Tensor:
        return self.logits(self.features(source, source_lengths, target_inputs, target_lengths)[0])

    def greedy(
        self, source: Tensor, source_lengths: Tensor | None = None, *, max_length: int | Tensor, bos: int, eos: int
    ) -> Translations:
        """The likeliest token at each step: :meth:`beam_search` with one beam; the score is the log-probability."""
        return self.beam_search(source, source_lengths, beam_size=1, max_length=max_length, bos=bos, eos=eos)

    def beam_search(
        self,
        source: Tensor,
        source_lengths: Tensor | None = None,
        *,
        beam_size: int,
        max_length: int | Tensor,
        length_penalty: float = 0.0,
        bos: int,
        eos: int,
    ) -> Translations:
        """Answers of high score (Wu et al. 2016): ``log P(y, eos | x) / ((5 + n) / 6) ** penalty``, n tokens with eos.

        Each step extends the ``beam_size`` likeliest open answers of a source by one token; those among the
        ``beam_size`` likeliest extensions that end in ``eos`` are answers, the likeliest others stay open. A source is
        done when it has ``beam_size`` answers. An answer has at most ``max_length`` tokens, one number or one a source
        ``(B,)``: an open answer of that length must end. ``bos`` begins every answer and is not part of it.

        A source's answers depend neither on the other sources nor on padding. The model's training mode is left as it
        was found, and no gradients are kept.

        Raises ``ValueError`` or ``TypeError`` for ``beam_size`` or ``max_length`` below 1, ``bos`` or ``eos`` outside
        the vocabulary, a vocabulary of ``eos`` alone, and what :meth:`encode` refuses.
        """
        with evaluation(self):
            memory, start = self.encode(source, source_lengths)
            head = self.decoder.head

            def step(tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
                logits, state, _ = self.step(tokens, state, memory)
                return logits.to(torch.promote_types(head.output.weight.dtype, torch.float32)), state

            size, limits = check_size("beam_size", beam_size), check_limits(max_length, source)
            beams = Beams(size, limits, head.vocab_size, bos, eos, length_penalty)
            answers = beams.search(step, start)
            if memory is None:
                return answers
            # Once more for the weights of the best, which costs less than to keep those of every beam at every step.
            inputs = functional.pad(answers.tokens[:, 0], (1, 0), value=bos)
            _, _, weights = self.decoder(inputs, start, memory)
            past = torch.arange(inputs.size(1), device=source.device) > answers.lengths[:, :1]
            return answers._replace(attention=typed(Tensor, weights).masked_fill(past.unsqueeze(2), 0.0))


class Translator(EncoderDecoder):
    """An encoder-decoder (Sutskever et al. 2014; Cho et al. 2014), with attention after Luong et al. (2015).

        k_1..k_T, z = encoder(input(x));   P(y_{s+1} | y_1..y_s, x) = decoder(y_1..y_s, bridge(z), k_1..k_T)

    ``model(source (B, T), source_lengths (B,), target_inputs (B, S), target_lengths=None) -> logits (B, S, V)``, with
    V tokens of the target: teacher forcing, where ``target_inputs`` begin with the token that begins an answer, and
    logits s are for the token after input s. Padding is on the right, of any token number, and changes nothing; logits
    past ``target_lengths (B,)`` are the output layer's bias. ``features`` and ``logits`` are its two halves, for those
    who need the logits of some steps only.

    ``encode(source, source_lengths) -> (memory, state)`` and ``step(tokens (N,), state, memory) -> (logits (N, V),
    state, weights (N, T) or None)`` write token by token, :meth:`greedy` and :meth:`beam_search`
    whole answers.

    How the states of the two halves meet is in :class:`~seqlab.nn.models.decoder.Bridge`.

    Args:
        input: The factory of the input, such as a ``functools.partial`` of :class:`TokenInput` for the source's tokens.
        encoder: The factory of the encoder, called ``encoder(input_size=input.output_size)``: a ``functools.partial``
            of :class:`Encoder` with all other options.
        head: The factory of the decoder, called ``head(memory_size=encoder.output_size)``: a ``functools.partial`` of
            :class:`Decoder` with all other options. The model keeps what it makes as ``decoder``.

    Raises:
        TypeError: a part is no factory of such a part.
        ValueError: what the parts refuse, such as a bidirectional decoder, or the encoder has norms or a highway's
            gates without attention.

    Example:
        >>> from functools import partial
        >>> from seqlab.nn import Encoder, GRUCell, TokenHead, TokenInput
        >>> encoder = partial(Encoder, GRUCell, hidden_size=4, bidirectional=True)
        >>> layers = partial(Encoder, GRUCell, hidden_size=4, num_layers=2)
        >>> target, output = partial(TokenInput, 11, 4), partial(TokenHead, vocab_size=11)
        >>> decoder = partial(Decoder, target, layers, output, feature_size=4)
        >>> model = Translator(partial(TokenInput, 9, 4), encoder, decoder)
        >>> source, lengths = torch.tensor([[3, 4, 5], [6, 7, 0]]), torch.tensor([3, 2])
        >>> model(source, lengths, torch.tensor([[1, 5], [1, 6]])).shape
        torch.Size([2, 2, 11])
        >>> answers = model.beam_search(source, lengths, beam_size=3, max_length=8, bos=1, eos=2)
        >>> answers.scores.shape, len(answers.best())
        (torch.Size([2, 3]), 2)
    """

    def __init__(self, input: InputFactory, encoder: EncoderFactory, head: Callable[..., Decoder]) -> None:
        super().__init__()
        self.input = make_part("input", input, Input)
        self.encoder = make_encoder("encoder", encoder, self.input.output_size, Encoder)
        self.decoder = make_part("head", head, Decoder, memory_size=self.encoder.output_size)
        gates = self.encoder.connect == "highway" and self.encoder.num_layers > 1
        if self.decoder.attention is None and (gates or self.encoder.norm != "none"):
            option = "connect" if gates else "norm"
            value = getattr(self.encoder, option)
            raise ValueError(
                f'encoder: expected {option}="none" without attention, got {value!r}: only final states are read, and '
                "what changes the last layer's outputs would learn nothing"
            )
        self.bridge = Bridge(self.encoder, self.decoder.recurrent)

    def encode(self, source: Tensor, source_lengths: Tensor | None = None) -> tuple[Memory | None, DecoderState]:
        """Read ``source (B, T)``: what attention reads, None without it, and the decoder's first state."""
        output, final = self.encoder(self.input(source), lengths=source_lengths)
        attention = self.decoder.attention
        memory = None if attention is None else attention.prepare(output, source_lengths)
        initial = self.decoder.recurrent.initial_state(source.size(0), like=output)
        return memory, self.decoder.start(self.bridge(final, initial))
