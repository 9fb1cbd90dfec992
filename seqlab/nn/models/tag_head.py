"""The head of a tagger: from the encoder's output to tags, each by itself or all of a row together."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn.arguments import check_choice, check_dropout, check_input, check_lengths, check_size
from seqlab.nn.models.crf import CRF, bio_constraints

_ANY = -100  # the tag of a step that may have any: what PyTorch's losses ignore
_NEVER = -1e9  # the emission of a tag that a step does not have; finite, for -inf gives NaN gradients


class TagHead(nn.Module):
    """Scores of the tags of each step, e_t = W D_o(y_t) + b, and what they mean.

    P(y_t) = softmax(e_t) with ``decoder="greedy"``, or P(y) of :class:`CRF` over e with ``decoder="crf"`` (Lample et
    al. 2016). Where the ``tags`` are those of ``entities``, in BIO, that CRF gives only what BIO allows, unless
    ``constrained=False``.

    ``head(output (B, T, input_size)) -> emissions e (B, T, len(tags))``. :meth:`nll`, :meth:`loss` and :meth:`decode`
    take the emissions; padding is on the right.

    Args:
        input_size: The width of y_t; the model gives it.
        tags: The names of the tags.
        decoder: "greedy" or "crf".
        entities: Whether the tags are those of entities, in BIO.
        constrained: Whether a CRF over entities gives only what BIO allows.
        output_dropout: The probability of the dropout D_o, in [0, 1).

    Raises:
        TypeError: a size is no integer.
        ValueError: a probability or choice is out of range, there are no tags, or they are not BIO where a CRF is to
            keep to it.

    Example:
        >>> head = TagHead(4, ["B-place", "I-place", "O"], decoder="crf", entities=True)
        >>> head.crf.allowed.int().tolist()
        [[1, 1, 1], [1, 1, 1], [1, 0, 1]]
        >>> emissions = head(torch.zeros(2, 5, 4))
        >>> emissions.shape, head.decode(emissions, torch.tensor([5, 2])).shape
        (torch.Size([2, 5, 3]), torch.Size([2, 5]))
    """

    def __init__(
        self,
        input_size: int,
        tags: Sequence[str],
        *,
        decoder: str = "greedy",
        entities: bool = False,
        constrained: bool = True,
        output_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_tags = check_size("tags", len(tags))
        self.output_dropout = check_dropout("output_dropout", output_dropout)
        self.output = nn.Linear(check_size("input_size", input_size), self.num_tags)
        check_choice("decoder", decoder, ("greedy", "crf"))
        constraints = None
        if decoder == "crf" and entities and constrained:
            with torch.device("cpu"):  # the CRF looks at them, which no meta tensor bears
                constraints = bio_constraints(tags)
        self.crf = CRF(self.num_tags, constraints) if decoder == "crf" else None

    def forward(self, output: Tensor) -> Tensor:
        emissions: Tensor = self.output(functional.dropout(output, self.output_dropout, self.training))
        return emissions

    def nll(self, emissions: Tensor, tags: Tensor, lengths: Tensor | None = None) -> Tensor:
        """-log P of each row's ``tags (B, T)``, ``(B,)``, in nats, summed over its steps; padding may hold anything.

        A step whose tag is -100 may have any tag: P is that of the others together.
        """
        if self.crf is not None:
            certain = tags != _ANY
            if bool(certain.all()):
                return self.crf(emissions, tags, lengths)  # type: ignore[no-any-return]
            others = torch.arange(self.num_tags, device=tags.device) != tags.unsqueeze(2)  # (B, T, N)
            possible = emissions.to(torch.promote_types(emissions.dtype, torch.float32))
            possible = possible.masked_fill(others & certain.unsqueeze(2), _NEVER)
            return self.crf.log_partition(emissions, lengths) - self.crf.log_partition(possible, lengths)
        check_input(emissions, self.num_tags)
        padding = _padding(emissions, lengths)
        if tags.shape != padding.shape:
            raise ValueError(f"tags: expected {tuple(padding.shape)}, one a step, got {tuple(tags.shape)}")
        tags = tags.masked_fill(padding, _ANY)  # what cross entropy leaves out, wherever it lies
        if emissions.dtype in (torch.float16, torch.bfloat16):
            emissions = emissions.float()
        losses = functional.cross_entropy(emissions.transpose(1, 2), tags, ignore_index=_ANY, reduction="none")
        return losses.sum(1)

    def loss(self, emissions: Tensor, tags: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The mean of :meth:`nll` over the batch's steps: nats a word, also with a CRF; 0 if there are none."""
        total = self.nll(emissions, tags, lengths).sum()
        return total / (tags.numel() if lengths is None else lengths.sum().clamp_min(1).to(total.device))

    def decode(self, emissions: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The likeliest tags, ``(B, T)``: of each step by itself, or with a CRF of the row; 0 in the padding."""
        if self.crf is not None:
            tags: Tensor = self.crf.decode(emissions, lengths)[0]
            return tags
        check_input(emissions, self.num_tags)
        return emissions.argmax(2).masked_fill(_padding(emissions, lengths), 0)


def _padding(emissions: Tensor, lengths: Tensor | None) -> Tensor:
    """Where a row's steps have ended, ``(B, T)``."""
    rows, steps = emissions.shape[:2]
    if lengths is None:
        return emissions.new_zeros(rows, steps, dtype=torch.bool)
    return torch.arange(steps, device=emissions.device) >= check_lengths(lengths, emissions).unsqueeze(1)
