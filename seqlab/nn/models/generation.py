"""Writing with a language model: one step at a time, the state carried."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

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
        temperature: above 0; below 1 sharpens, above 1 flattens.
        top_k: keep the ``k`` likeliest tokens (Fan et al. 2018).
        top_p: keep the smallest set of likeliest tokens whose probability reaches ``p`` (Holtzman et al. 2020), after
            ``top_k``.

    Raises:
        ValueError: for a value out of range.

    Example:
        >>> filter_logits(torch.tensor([3.0, 1.0, 2.0]), temperature=0.5, top_k=2)
        tensor([6., -inf, 4.])
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; expected a number above 0 (or ask for greedy)")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k is {top_k}; expected a number of tokens, 1 or more")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p}; expected a probability in (0, 1]")
    logits = logits / temperature
    if top_k is not None and top_k < logits.size(-1):
        least = logits.topk(top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < least, -math.inf)
    if top_p is not None and top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True)
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


def generate(
    model: NextTokenModel,
    prompt: Sequence[int],
    max_new_tokens: int,
    *,
    greedy: bool = False,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    num_samples: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Continues ``prompt`` by ``max_new_tokens`` tokens, ``num_samples`` times side by side: ``(num_samples,
    max_new_tokens)``.

    The prompt is read in one pass; then each token costs one step, however long the text has become. The model's
    training mode is left as it was found. ``generator`` lives on the CPU, so that a seed gives the same text on every
    device.

    Raises:
        ValueError: for an empty prompt or a sampling parameter out of range.
    """
    with evaluation(model):
        tokens = _prompt(model, prompt).expand(num_samples, -1)
        state = None
        written = torch.empty(num_samples, max_new_tokens, dtype=torch.int64)
        for position in range(max_new_tokens):
            features, state = model.features(tokens, state)
            logits = model.logits(features[:, -1]).float().cpu()  # (num_samples, V)
            if greedy:
                chosen = logits.argmax(-1, keepdim=True)
            else:
                probabilities = filter_logits(logits, temperature, top_k, top_p).softmax(-1)
                chosen = torch.multinomial(probabilities, 1, generator=generator)
            written[:, position] = chosen[:, 0]
            tokens = chosen.to(tokens.device)
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
    r"""The ``count`` likeliest finished continuations of ``prompt``, each with :math:`\log p(\text{continuation} \mid
    \text{prompt})`.

    A continuation grows until ``finished(tokens)`` holds or it has ``max_new_tokens``. Each step keeps the ``width``
    likeliest unfinished ones; since a longer one is never likelier, the search ends as soon as no unfinished one can
    still enter the list.

    Raises:
        ValueError: for an empty prompt.
    """
    with evaluation(model):
        start = _prompt(model, prompt)
        features, state = model.features(start)
        done: list[tuple[tuple[int, ...], float]] = []
        beam: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
        for length in range(1, max_new_tokens + 1):
            log_p = model.logits(features[:, -1]).double().log_softmax(-1).cpu()  # (beam, V)
            scores = log_p + torch.tensor([score for _, score in beam], dtype=torch.float64)[:, None]
            kept = scores.flatten().topk(min(width, scores.numel()))
            grown, rows = [], []
            for score, index in zip(kept.values.tolist(), kept.indices.tolist(), strict=True):
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
