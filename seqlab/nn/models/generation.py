"""Writing with a language model: one step at a time, the state carried."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seqlab.nn import state as states
from seqlab.nn.models.language_model import NextTokenModel


def filter_logits(
    logits: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    r"""Logits to sample from: divided by ``temperature``, all but the likeliest tokens at :math:`-\infty`.

    Args:
        logits: ``(..., V)``.
        temperature: Above 0; below 1 sharpens, above 1 flattens.
        top_k: Keep the ``k`` likeliest tokens (Fan et al. 2018); of those that are equally likely, the first.
        top_p: Keep the smallest set of likeliest tokens whose probability reaches ``p`` (Holtzman et al. 2020), after
            ``top_k``.

    Raises:
        ValueError: a value is out of range.

    Example:
        >>> filter_logits(torch.tensor([3.0, 1.0, 2.0]), temperature=0.5, top_k=2)
        tensor([6., -inf, 4.])
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; expected a number above 0 (or ask for greedy)")
    if top_k is not None and not (isinstance(top_k, int) and top_k >= 1):
        raise ValueError(f"top_k is {top_k}; expected a number of tokens, 1 or more")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p}; expected a probability in (0, 1]")
    scaled = logits / temperature
    overflown = logits.isfinite() & ~scaled.isfinite()
    if overflown.any():  # a tiny temperature: of the likeliest token, all are infinitely far
        scaled = (logits - logits.amax(-1, keepdim=True)) / max(temperature, torch.finfo(logits.dtype).tiny)
    logits = scaled
    if top_k is not None and top_k < logits.size(-1):
        kept = logits >= logits.topk(top_k, dim=-1).values[..., -1:]
        if bool((kept.sum(-1) > top_k).any()):  # an n-gram model has many that are equally likely
            first = logits.sort(dim=-1, descending=True, stable=True).indices[..., :top_k]
            kept = torch.zeros_like(kept).scatter(-1, first, True)
        logits = logits.masked_fill(~kept, -math.inf)
    if top_p is not None and top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True, stable=True)
        probabilities = ordered.softmax(-1)
        before = probabilities.cumsum(-1) - probabilities  # of all likelier tokens: 0 for the first, which always stays
        dropped = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, before >= top_p)
        logits = logits.masked_fill(dropped, -math.inf)
    return logits


@contextmanager
def evaluation(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards the model's training mode is what it was."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn.

    Args:
        greedy: Whether the likeliest token is taken, and nothing drawn; the other options then mean nothing.
        temperature: As in :func:`filter_logits`.
        top_k: As in :func:`filter_logits`.
        top_p: As in :func:`filter_logits`.

    Example:
        >>> Sampling(greedy=True).draw(torch.tensor([[0.0, 2.0, 1.0]]))
        tensor([[1]])
    """

    greedy: bool = False
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def draw(self, logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The next token of each row, ``(B, 1)``, from ``logits (B, V)``.

        Raises:
            ValueError: an option is out of range.
        """
        if self.greedy:
            return logits.argmax(-1, keepdim=True)
        probabilities = filter_logits(logits, self.temperature, self.top_k, self.top_p).softmax(-1)
        return torch.multinomial(probabilities, 1, generator=generator)


def generate(
    model: NextTokenModel,
    prompt: Sequence[int],
    max_new_tokens: int,
    sampling: Sampling = Sampling(),
    *,
    num_samples: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Continues a prompt token by token.

    The prompt is read in one pass; then each token costs one step, however long the text has become. The model's
    training mode stays as it was.

    Args:
        model: The language model.
        prompt: One token or more.
        max_new_tokens: The number of tokens to write.
        sampling: How each token is drawn.
        num_samples: The number of continuations, which are written side by side.
        generator: The source of random numbers, on the CPU: so a seed gives the same text on every device.

    Returns:
        The new tokens, int64 ``(num_samples, max_new_tokens)``, on the CPU.

    Raises:
        ValueError: the prompt is empty, or an option of ``sampling`` out of range.
    """
    with evaluation(model):
        tokens = _prompt(model, prompt).expand(num_samples, -1)
        state = None
        written = torch.empty(num_samples, max_new_tokens, dtype=torch.int64)
        for position in range(max_new_tokens):
            features, state = model.features(tokens, state)
            logits = model.logits(features[:, -1]).float().cpu()  # (num_samples, V)
            drawn = sampling.draw(logits, generator)
            written[:, position] = drawn[:, 0]
            tokens = drawn.to(tokens.device)
        return written


def beam_search(
    model: NextTokenModel,
    prompt: Sequence[int],
    finished: Callable[[tuple[int, ...]], bool],
    *,
    count: int = 10,
    width: int = 64,
    max_new_tokens: int = 40,
) -> list[tuple[tuple[int, ...], float]]:
    r"""The likeliest finished continuations of a prompt.

    Each step keeps the ``width`` likeliest unfinished ones. A longer one is never likelier, so the search ends as soon
    as no unfinished one can still enter the list.

    Args:
        model: The language model.
        prompt: One token or more.
        finished: Whether a continuation, a tuple of tokens, has come to its end.
        count: The number of continuations to return, at most.
        width: The number of unfinished continuations that are kept.
        max_new_tokens: The number of tokens at which a continuation ends in any case.

    Returns:
        Each continuation with :math:`\log p(\text{continuation} \mid \text{prompt})`, the likeliest first.

    Raises:
        ValueError: the prompt is empty.
    """
    with evaluation(model):
        start = _prompt(model, prompt)
        features, state = model.features(start)
        done: list[tuple[tuple[int, ...], float]] = []
        beam: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
        for length in range(1, max_new_tokens + 1):
            log_p = model.logits(features[:, -1]).double().log_softmax(-1).cpu()  # (beam, V)
            scores = log_p + torch.tensor([score for _, score in beam], dtype=torch.float64)[:, None]
            best = scores.flatten().topk(min(width, scores.numel()))
            grown, rows = [], []
            for score, index in zip(best.values.tolist(), best.indices.tolist(), strict=True):
                row, token = divmod(index, log_p.size(-1))
                tokens = (*beam[row][0], token)
                if length == max_new_tokens or finished(tokens):
                    done.append((tokens, score))
                else:
                    grown.append((tokens, score))
                    rows.append(row)
            done = sorted(done, key=lambda item: -item[1])[:count]
            if not grown or (len(done) == count and grown[0][1] <= done[-1][1]):
                break
            beam = grown
            state = states.select_rows(state, torch.tensor(rows, device=start.device))
            last = torch.tensor([[tokens[-1]] for tokens, _ in beam], device=start.device)
            features, state = model.features(last, state)
        return done


def _prompt(model: NextTokenModel, prompt: Sequence[int]) -> Tensor:
    """The prompt's tokens ``(1, P)`` on the model's device."""
    if len(prompt) == 0:
        raise ValueError("the prompt is empty: a language model continues at least one token")
    return torch.tensor([list(prompt)], device=next(model.parameters()).device)
