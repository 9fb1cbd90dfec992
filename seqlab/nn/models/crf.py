"""A linear-chain conditional random field: tags that are scored together.

Written here because no kept library offers it: the widely used one, pytorch-crf, was last released in 2019, and knows
neither rows without steps nor constraints.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from seqlab.nn.arguments import check_input, check_lengths, check_size

# Added to what constraints forbid. Finite, for -inf gives NaN gradients; exp of it is 0 in any floating-point type.
_FORBIDDEN = -1e9


class Constraints(NamedTuple):
    """Which tags may follow which, begin and end: boolean tensors."""

    transitions: Tensor  # (N, N), from row to column
    start: Tensor  # (N,)
    end: Tensor  # (N,)


def bio_constraints(labels: Sequence[str]) -> Constraints:
    """What BIO allows (Ramshaw & Marcus 1995, as IOB2): I-X only after B-X or I-X; without types, I only after B or I.

    Args:
        labels: The names of the tags.

    Raises:
        ValueError: a label is neither O, B-X, I-X, B nor I, or there is an I-X without its B-X.

    Example:
        >>> bio_constraints(["O", "B-place", "I-place"]).transitions.int().tolist()
        [[1, 1, 0], [1, 1, 1], [1, 1, 1]]
    """
    for label in labels:
        typed = label[:2] in ("B-", "I-") and len(label) > 2
        if not typed and label not in ("O", "B", "I"):
            raise ValueError(f"labels: expected O, B-X and I-X, got {label!r}; other labels take no BIO constraints")
        if label[0] == "I" and f"B{label[1:]}" not in labels:
            raise ValueError(f"labels: expected B{label[1:]} beside {label}, for no {label} may stand without it")
    before = [{f"B{label[1:]}", label} if label[0] == "I" else set(labels) for label in labels]
    allowed = torch.tensor([[label in each for each in before] for label in labels])
    start = torch.tensor([label[0] != "I" for label in labels])
    return Constraints(allowed, start, torch.ones(len(labels), dtype=torch.bool))


class CRF(nn.Module):
    """A linear-chain conditional random field (Lafferty et al. 2001) over N tags.

        score(y) = start[y_1] + sum_t e_t[y_t] + sum_{t>1} transitions[y_{t-1}, y_t] + end[y_T]
        -log P(y | e) = log sum_y' exp score(y') - score(y)

    ``crf(emissions (B, T, N), tags (B, T), lengths=None) -> (B,)`` gives -log P of each row, in nats; ``decode``
    the best tags. ``lengths (B,)`` counts each row's steps, padding on the right, which changes nothing, whatever it
    holds; a row of length 0 has one way to be tagged, with score 0. All is computed in float32 where emissions have 16
    bits. Parameters ``transitions (N, N)``, from row to column, ``start (N,)`` and ``end (N,)`` begin as zeros.

    Args:
        num_tags: N.
        constraints: The only sequences that there are, in training and in decoding; :func:`bio_constraints` makes those
            of BIO. None: all.

    Raises:
        TypeError: ``num_tags`` is no integer.
        ValueError: ``num_tags`` is below 1, constraints have a wrong shape or leave no sequence of some length up to
            N + 1, or, when called, shapes are wrong, tags are out of range (on a CPU) or forbidden by the constraints.

    Example:
        >>> crf = CRF(3)
        >>> nll = crf(torch.zeros(1, 2, 3), torch.tensor([[0, 2]]))
        >>> round(nll.exp().item(), 4)  # one of nine equal ways
        9.0
    """

    data_buffers: ClassVar[tuple[str, ...]] = ("allowed", "allowed_start", "allowed_end")
    allowed: Tensor | None
    allowed_start: Tensor | None
    allowed_end: Tensor | None

    def __init__(self, num_tags: int, constraints: Constraints | None = None) -> None:
        super().__init__()
        self.num_tags = check_size("num_tags", num_tags)
        self.transitions = nn.Parameter(torch.zeros(num_tags, num_tags))
        self.start = nn.Parameter(torch.zeros(num_tags))
        self.end = nn.Parameter(torch.zeros(num_tags))
        if constraints is not None:
            _check_constraints(constraints, num_tags)
        self.register_buffer("allowed", None if constraints is None else constraints.transitions)
        self.register_buffer("allowed_start", None if constraints is None else constraints.start)
        self.register_buffer("allowed_end", None if constraints is None else constraints.end)

    def forward(self, emissions: Tensor, tags: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.log_partition(emissions, lengths) - self.score(emissions, tags, lengths)

    def log_partition(self, emissions: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The log of the sum of exp(score) over all tag sequences, ``(B,)``."""
        emissions, lengths, valid = self._prepare(emissions, lengths)
        transitions, start, end = self._weights()
        alpha = start + emissions[:, 0]  # (B, N)
        for t in range(1, emissions.size(1)):
            new = (alpha.unsqueeze(2) + transitions).logsumexp(1) + emissions[:, t]
            alpha = torch.where(valid[:, t].unsqueeze(1), new, alpha)
        return (alpha + end).logsumexp(1).masked_fill(lengths == 0, 0.0)

    def score(self, emissions: Tensor, tags: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The score of the given tags, ``(B,)``; those in the padding may be anything."""
        emissions, lengths, valid = self._prepare(emissions, lengths)
        tags = self._checked_tags(tags, valid)
        transitions, start, end = self._weights()
        last = tags.gather(1, (lengths - 1).clamp_min(0).unsqueeze(1)).squeeze(1)  # (B,)
        steps = emissions.gather(2, tags.unsqueeze(2)).squeeze(2)  # (B, T)
        moves = transitions[tags[:, :-1], tags[:, 1:]].masked_fill(~valid[:, 1:], 0.0)
        ends = (start[tags[:, 0]] + end[last]).masked_fill(lengths == 0, 0.0)
        return ends + steps.sum(1) + moves.sum(1)

    @torch.no_grad()
    def decode(self, emissions: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The tags of the highest score, ``(B, T)`` and 0 in the padding, and that score, ``(B,)`` (Viterbi 1967)."""
        emissions, lengths, valid = self._prepare(emissions, lengths)
        transitions, start, end = self._weights()
        alpha, own = start + emissions[:, 0], torch.arange(self.num_tags, device=emissions.device)
        pointers = []  # (B, N) each: where the best way to a tag comes from
        for t in range(1, emissions.size(1)):
            best, pointer = (alpha.unsqueeze(2) + transitions).max(1)
            keep = valid[:, t].unsqueeze(1)
            alpha = torch.where(keep, best + emissions[:, t], alpha)
            pointers.append(torch.where(keep, pointer, own))  # through the padding a tag comes from itself
        score, tag = (alpha + end).max(1)
        tags = [tag]
        for pointer in reversed(pointers):
            tags.append(pointer.gather(1, tags[-1].unsqueeze(1)).squeeze(1))
        best_tags = torch.stack(tags[::-1], 1).masked_fill(~valid, 0)
        return best_tags, score.masked_fill(lengths == 0, 0.0)

    def _prepare(self, emissions: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Emissions, zero in the padding and of 32 bits or more, the lengths, and where they reach, ``(B, T)``."""
        check_input(emissions, self.num_tags)
        rows, steps = emissions.shape[:2]
        if lengths is None:
            lengths = torch.full((rows,), steps, device=emissions.device)
        lengths = check_lengths(lengths, emissions)
        valid = torch.arange(steps, device=emissions.device) < lengths.unsqueeze(1)
        if emissions.dtype in (torch.float16, torch.bfloat16):
            emissions = emissions.float()
        # Not only at the end: a NaN in the padding times a zero gradient is NaN in every weight.
        return emissions.masked_fill(~valid.unsqueeze(2), 0.0), lengths, valid

    def _weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """Transitions, start and end, with what is forbidden out of reach."""
        if self.allowed is None or self.allowed_start is None or self.allowed_end is None:
            return self.transitions, self.start, self.end
        pairs = (self.transitions, self.allowed), (self.start, self.allowed_start), (self.end, self.allowed_end)
        transitions, start, end = (weight.masked_fill(~allowed, _FORBIDDEN) for weight, allowed in pairs)
        return transitions, start, end

    def _checked_tags(self, tags: Tensor, valid: Tensor) -> Tensor:
        """``tags`` as int64 with zeros in the padding."""
        if tags.shape != valid.shape or tags.dtype not in (torch.int32, torch.int64):
            expected = f"int64 {tuple(valid.shape)}, one for each step of the emissions"
            raise ValueError(f"tags: expected {expected}, got {tags.dtype} of shape {tuple(tags.shape)}")
        tags = tags.long().masked_fill(~valid, 0)
        if tags.device.type == "cpu" and not 0 <= int(tags.min()) <= int(tags.max()) < self.num_tags:
            raise ValueError(f"tags: expected values from 0 to {self.num_tags - 1}, got {_range(tags)}")
        if self.allowed is not None and self.allowed_start is not None and self.allowed_end is not None:
            follows = torch.cat((valid[:, 1:], valid.new_zeros(valid.size(0), 1)), 1)  # another step comes
            bad = valid & ~follows & ~self.allowed_end[tags]
            bad[:, 0] |= valid[:, 0] & ~self.allowed_start[tags[:, 0]]
            bad[:, 1:] |= valid[:, 1:] & ~self.allowed[tags[:, :-1], tags[:, 1:]]
            if bool(bad.any()):
                row, step = bad.nonzero()[0].tolist()
                raise ValueError(
                    f"tags: expected what the constraints allow, got tag {int(tags[row, step])} in row {row}, "
                    f"step {step}; mend the tags or leave the constraints out"
                )
        return tags

    def extra_repr(self) -> str:
        return f"{self.num_tags}, constrained={self.allowed is not None}"


def _range(tags: Tensor) -> str:
    return f"{int(tags.min())} to {int(tags.max())}"


def _check_constraints(constraints: Constraints, num_tags: int) -> None:
    shapes = ((num_tags, num_tags), (num_tags,), (num_tags,))
    for name, mask, shape in zip(Constraints._fields, constraints, shapes, strict=True):
        if mask.shape != shape or mask.dtype != torch.bool:
            got = f"{mask.dtype} of shape {tuple(mask.shape)}"
            raise ValueError(f"constraints.{name}: expected a boolean tensor {shape}, got {got}")
    reached = constraints.start
    for length in range(1, num_tags + 2):
        if not bool((reached & constraints.end).any()):
            raise ValueError(f"constraints: expected some sequence of every length, but they allow none of {length}")
        reached = (reached.unsqueeze(1) & constraints.transitions).any(0)
