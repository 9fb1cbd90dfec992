"""Beam search: the answers of high score that an encoder-decoder can write."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from seqlab.nn.arguments import check_size
from seqlab.nn.models.decoder import DecoderState
from seqlab.nn.state import select_rows

Step: TypeAlias = Callable[[Tensor, DecoderState], tuple[Tensor, DecoderState]]


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


@dataclass(frozen=True)
class Beams:
    """The search of :meth:`Translator.beam_search` for B sources at once.

    Args:
        size: K, the open answers of a source.
        limits: ``(B,)``, the most tokens of an answer to each source.
        vocab_size: V, the number of tokens.
        bos: The token that begins every answer.
        eos: The token that ends it.
        length_penalty: The exponent of the length by which a log-probability is divided.

    Raises:
        ValueError: ``bos`` or ``eos`` is outside the vocabulary, or that has no token but ``eos``.
    """

    size: int
    limits: Tensor
    vocab_size: int
    bos: int
    eos: int
    length_penalty: float = 0.0

    def __post_init__(self) -> None:
        for name, token in (("bos", self.bos), ("eos", self.eos)):
            if not 0 <= token < self.vocab_size or self.vocab_size < 2:
                raise ValueError(f"{name}: expected a token of the target's {self.vocab_size} (2 or more), got {token}")

    def search(self, step: Step, start: DecoderState) -> Translations:
        """The K best answers to each source.

        Args:
            step: Reads one token a row: ``step(tokens (B * K,), state) -> (logits (B * K, V), state)``, with logits of
                32 bits or more.
            start: The state before the first token, of B rows.
        """
        device, rows, beams = self.limits.device, self.limits.size(0), self.size
        longest = int(self.limits.max()) + 1
        offsets = torch.arange(rows, device=device).unsqueeze(1) * beams  # (B, 1): each source's first row of B * K
        state = select_rows(start, torch.arange(rows, device=device).repeat_interleave(beams))
        last = torch.full((rows * beams,), self.bos, device=device)
        tokens = torch.full((rows, beams, longest), self.eos, device=device)
        logits, state = step(last, state)
        scores = torch.full((rows, beams), -torch.inf, dtype=logits.dtype, device=device)
        answers = Translations(tokens, torch.zeros_like(scores, dtype=torch.int64), scores, None)  # none yet
        scores = torch.cat((torch.zeros_like(scores[:, :1]), scores[:, 1:]), 1)  # of what is open: first one beam
        done = torch.zeros(rows, dtype=torch.bool, device=device)
        others = torch.arange(self.vocab_size, device=device) != self.eos
        for t in range(longest):
            must_end = t >= self.limits
            log_p = logits.log_softmax(1).view(rows, beams, self.vocab_size)
            log_p = log_p.masked_fill(must_end.view(-1, 1, 1) & others, -torch.inf)
            top = (scores.unsqueeze(2) + log_p).flatten(1).topk(2 * beams)  # of which at most K end
            parents, chosen = top.indices // self.vocab_size, top.indices % self.vocab_size  # (B, 2K)
            grown = _pick(tokens, parents)
            grown[:, :, t] = chosen
            ended = chosen == self.eos

            counted = ended[:, :beams] & ~done.unsqueeze(1)
            penalty = ((5 + t + 1) / 6) ** self.length_penalty
            new = torch.where(counted, top.values[:, :beams] / penalty, -torch.inf)
            answers = _merge(answers, grown[:, :beams], t, new)
            done = done | must_end | answers.scores.isfinite().all(1)
            if bool(done.all()):
                break

            order = ended.to(torch.int8).argsort(stable=True, dim=1)[:, :beams]  # the likeliest that go on
            scores, tokens = top.values.gather(1, order), _pick(grown, order)
            last = chosen.gather(1, order).flatten()
            logits, state = step(last, select_rows(state, (parents.gather(1, order) + offsets).flatten()))
        lengths = answers.lengths.masked_fill(answers.scores == -torch.inf, 0)
        beyond = torch.arange(longest, device=device) >= lengths.unsqueeze(2)
        tokens = answers.tokens.masked_fill(beyond, self.eos)[:, :, : int(lengths.max())]
        return Translations(tokens, lengths, answers.scores, None)


def _merge(answers: Translations, tokens: Tensor, length: int, scores: Tensor) -> Translations:
    """The K best of the answers so far and of new ones ``tokens (B, K, L)`` of one length; those of -inf are none."""
    best, order = torch.cat((answers.scores, scores), 1).topk(answers.scores.size(1))
    lengths = torch.cat((answers.lengths, torch.full_like(answers.lengths, length)), 1).gather(1, order)
    return Translations(_pick(torch.cat((answers.tokens, tokens), 1), order), lengths, best, None)


def _pick(tokens: Tensor, index: Tensor) -> Tensor:
    """Of ``tokens (B, N, L)`` those that ``index (B, M)`` names: ``(B, M, L)``."""
    return tokens.gather(1, index.unsqueeze(2).expand(-1, -1, tokens.size(2)))


def check_limits(max_length: int | Tensor, source: Tensor) -> Tensor:
    """One limit a source, ``(B,)``."""
    if not isinstance(max_length, Tensor):
        return torch.full((source.size(0),), check_size("max_length", max_length), device=source.device)
    if max_length.shape != source.shape[:1] or int(max_length.min()) < 1:
        raise ValueError(f"max_length: expected {source.size(0)} numbers of 1 or more, got {max_length.tolist()}")
    return max_length.to(source.device)
