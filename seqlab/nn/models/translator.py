"""The encoder-decoder: a model that reads one sequence and writes another, and the search for its best answers."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from typing import cast as typed

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn.arguments import check_dropout, check_lengths, check_size, check_tokens
from seqlab.nn.layers.encoder import EncoderFactory, make_encoder
from seqlab.nn.layers.init import initialize
from seqlab.nn.models.attention import Memory
from seqlab.nn.models.decoder import Bridge, Decoder, DecoderState
from seqlab.nn.models.generation import evaluation
from seqlab.nn.state import select_rows


class Translations(NamedTuple):
    """The answers of a search for B sources, the K best of each, best first."""

    tokens: Tensor  # (B, K, L), without eos; eos beyond each answer's length
    lengths: Tensor  # (B, K)
    scores: Tensor  # (B, K), log-probability over length penalty; -inf where there are fewer than K answers
    attention: Tensor | None  # (B, L + 1, T), of the best: row s is what was read to write token s, the last for eos

    def best(self) -> list[list[int]]:
        """The best answer of each source, as a list of tokens."""
        pairs = zip(self.tokens[:, 0].tolist(), self.lengths[:, 0].tolist(), strict=True)
        return [tokens[:length] for tokens, length in pairs]


class Translator(nn.Module):
    """An encoder-decoder (Sutskever et al. 2014; Cho et al. 2014), with attention after Luong et al. (2015).

        k_1..k_T, z = encoder(D_e(E_x[x]));   P(y_{s+1} | y_1..y_s, x) = decoder(y_1..y_s, bridge(z), k_1..k_T)

    ``model(source (B, T), source_lengths (B,), target_inputs (B, S), target_lengths=None) -> logits (B, S,
    target_vocab_size)``: teacher forcing, where ``target_inputs`` begin with the token that begins an answer, and
    logits s are for the token after input s. Padding is on the right, of any token number, and changes nothing; logits
    past ``target_lengths (B,)`` are the output layer's bias. ``features`` and ``logits`` are its two halves, for those
    who need the logits of some steps only.

    ``encode(source, source_lengths) -> (memory, state)`` and ``step(tokens (N,), state, memory) -> (logits (N,
    target_vocab_size), state, weights (N, T) or None)`` write token by token, :meth:`greedy` and :meth:`beam_search`
    whole answers.

    How the states of the two halves meet is in :class:`~seqlab.nn.models.decoder.Bridge`.

    Args:
        source_vocab_size: The number of tokens of the source.
        target_vocab_size: The number of tokens of the target.
        encoder: The factory of the encoder, called ``encoder(input_size=embedding_size)``: a ``functools.partial`` of
            :class:`Encoder` with all other options.
        decoder: The same for the recurrent layers of :class:`Decoder`, in one direction.
        embedding_size: The width of both embeddings.
        feature_size: The width of what attention and decoder make together, as in :class:`Decoder`.
        attention: "dot", "general", "additive" or None, as in :class:`Decoder`.
        attention_size: The width of additive scores.
        input_feeding: Whether the decoder also reads what it attended to a step before.
        tie_weights: Whether the output layer has the matrix of the target embedding.
        embedding_dropout: The probability of dropout on both embeddings, in [0, 1).
        output_dropout: The probability of dropout before the output layer, in [0, 1).
        init: The arguments of :func:`initialize`; None leaves PyTorch's initial values.

    Raises:
        TypeError: a half is no factory of encoders, or a size no integer.
        ValueError: what :class:`Encoder` and :class:`Decoder` refuse, such as a bidirectional decoder.

    >>> from functools import partial
    >>> from seqlab.nn import Encoder, GRUCell
    >>> encoder = partial(Encoder, GRUCell, hidden_size=4, bidirectional=True)
    >>> decoder = partial(Encoder, GRUCell, hidden_size=4, num_layers=2)
    >>> model = Translator(9, 11, encoder, decoder, embedding_size=4, feature_size=4)
    >>> source, lengths = torch.tensor([[3, 4, 5], [6, 7, 0]]), torch.tensor([3, 2])
    >>> model(source, lengths, torch.tensor([[1, 5], [1, 6]])).shape
    torch.Size([2, 2, 11])
    >>> answers = model.beam_search(source, lengths, beam_size=3, max_length=8, bos=1, eos=2)
    >>> answers.scores.shape, len(answers.best())
    (torch.Size([2, 3]), 2)
    """

    def __init__(
        self,
        source_vocab_size: int,
        target_vocab_size: int,
        encoder: EncoderFactory,
        decoder: EncoderFactory,
        *,
        embedding_size: int,
        feature_size: int,
        attention: str | None = "general",
        attention_size: int | None = None,
        input_feeding: bool = False,
        tie_weights: bool = False,
        embedding_dropout: float = 0.0,
        output_dropout: float = 0.0,
        init: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        width = check_size("embedding_size", embedding_size)
        self.embedding_dropout = check_dropout("embedding_dropout", embedding_dropout)
        self.source_embedding = nn.Embedding(check_size("source_vocab_size", source_vocab_size), width)
        self.encoder = make_encoder("encoder", encoder, width)
        self.decoder = Decoder(
            target_vocab_size,
            decoder,
            memory_size=self.encoder.output_size,
            embedding_size=width,
            feature_size=feature_size,
            embedding_dropout=embedding_dropout,
            output_dropout=output_dropout,
            attention=attention,
            attention_size=attention_size,
            input_feeding=input_feeding,
            tie_weights=tie_weights,
        )
        self.bridge = Bridge(self.encoder, self.decoder.recurrent)
        if init is not None:
            initialize(self, **init)

    def encode(self, source: Tensor, source_lengths: Tensor | None = None) -> tuple[Memory | None, DecoderState]:
        """Read ``source (B, T)``: what attention reads, None without it, and the decoder's first state."""
        check_tokens("source", source)
        embedded = functional.dropout(self.source_embedding(source), self.embedding_dropout, self.training)
        output, final = self.encoder(embedded, lengths=source_lengths)
        attention = self.decoder.attention
        memory = None if attention is None else attention.prepare(output, source_lengths)
        initial = self.decoder.recurrent.initial_state(source.size(0), like=output)
        return memory, self.decoder.start(self.bridge(final, initial))

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
        """Scores for the next token, ``(..., decoder.feature_size) -> (..., target_vocab_size)``."""
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
            answers = _search(self, memory, start, source, beam_size, max_length, length_penalty, bos, eos)
            if memory is None:
                return answers
            # Once more for the weights of the best, which costs less than to keep those of every beam at every step.
            inputs = functional.pad(answers.tokens[:, 0], (1, 0), value=bos)
            _, _, weights = self.decoder(inputs, start, memory)
            past = torch.arange(inputs.size(1), device=source.device) > answers.lengths[:, :1]
            return answers._replace(attention=typed(Tensor, weights).masked_fill(past.unsqueeze(2), 0.0))


def _search(
    model: Translator,
    memory: Memory | None,
    start: DecoderState,
    source: Tensor,
    beam_size: int,
    max_length: int | Tensor,
    length_penalty: float,
    bos: int,
    eos: int,
) -> Translations:
    """The search of :meth:`Translator.beam_search` for B sources at once; K = ``beam_size``, N = B * K rows."""
    device, rows, size = source.device, source.size(0), model.decoder.vocab_size
    beams, limits = check_size("beam_size", beam_size), _check_limits(max_length, source)  # K, (B,)
    for name, token in (("bos", bos), ("eos", eos)):
        if not 0 <= token < size or size < 2:
            raise ValueError(f"{name}: expected a token of the target's {size} (2 or more), got {token}")
    longest = int(limits.max()) + 1
    offsets = torch.arange(rows, device=device).unsqueeze(1) * beams  # (B, 1): each source's first row of B * K
    state = select_rows(start, torch.arange(rows, device=device).repeat_interleave(beams))
    last = torch.full((rows * beams,), bos, device=device)
    tokens = torch.full((rows, beams, longest), eos, device=device)
    dtype = torch.promote_types(model.decoder.output.weight.dtype, torch.float32)
    scores = torch.full((rows, beams), -torch.inf, dtype=dtype, device=device)
    found = Translations(tokens, torch.zeros_like(scores, dtype=torch.int64), scores, None)  # no answers yet
    scores = torch.cat((torch.zeros_like(scores[:, :1]), scores[:, 1:]), 1)  # of what is open: one beam, to begin with
    done = torch.zeros(rows, dtype=torch.bool, device=device)
    others = torch.arange(size, device=device) != eos
    for t in range(longest):
        logits, state, _ = model.step(last, state, memory)
        must_end = t >= limits
        log_p = logits.to(dtype).log_softmax(1).view(rows, beams, size)
        log_p = log_p.masked_fill(must_end.view(-1, 1, 1) & others, -torch.inf)
        top = (scores.unsqueeze(2) + log_p).flatten(1).topk(2 * beams)  # of which at most K end
        parents, chosen = top.indices // size, top.indices % size  # (B, 2K)
        grown = _pick(tokens, parents)
        grown[:, :, t] = chosen
        ended = chosen == eos

        counted = ended[:, :beams] & ~done.unsqueeze(1)
        penalty = ((5 + t + 1) / 6) ** length_penalty
        new = torch.where(counted, top.values[:, :beams] / penalty, -torch.inf)
        found = _merge(found, grown[:, :beams], t, new)
        done = done | must_end | found.scores.isfinite().all(1)
        if bool(done.all()):
            break

        order = ended.to(torch.int8).argsort(stable=True, dim=1)[:, :beams]  # the likeliest that go on
        scores, tokens = top.values.gather(1, order), _pick(grown, order)
        last = chosen.gather(1, order).flatten()
        state = select_rows(state, (parents.gather(1, order) + offsets).flatten())
    lengths = found.lengths.masked_fill(found.scores == -torch.inf, 0)
    beyond = torch.arange(longest, device=device) >= lengths.unsqueeze(2)
    tokens = found.tokens.masked_fill(beyond, eos)[:, :, : int(lengths.max())]
    return Translations(tokens, lengths, found.scores, None)


def _merge(found: Translations, tokens: Tensor, length: int, scores: Tensor) -> Translations:
    """The K best of the answers found and of new ones ``tokens (B, K, L)`` of one length; those of -inf are none."""
    best, order = torch.cat((found.scores, scores), 1).topk(found.scores.size(1))
    lengths = torch.cat((found.lengths, torch.full_like(found.lengths, length)), 1).gather(1, order)
    return Translations(_pick(torch.cat((found.tokens, tokens), 1), order), lengths, best, None)


def _pick(tokens: Tensor, index: Tensor) -> Tensor:
    """Of ``tokens (B, N, L)`` those that ``index (B, M)`` names: ``(B, M, L)``."""
    return tokens.gather(1, index.unsqueeze(2).expand(-1, -1, tokens.size(2)))


def _check_limits(max_length: int | Tensor, source: Tensor) -> Tensor:
    """One limit a source, ``(B,)``."""
    if not isinstance(max_length, Tensor):
        return torch.full((source.size(0),), check_size("max_length", max_length), device=source.device)
    if max_length.shape != source.shape[:1] or int(max_length.min()) < 1:
        raise ValueError(f"max_length: expected {source.size(0)} numbers of 1 or more, got {max_length.tolist()}")
    return max_length.to(source.device)
