"""The forecaster: an input of frames, an encoder, and a head that says what comes, with its uncertainty."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn.arguments import check_choice, check_dropout, check_size
from seqlab.nn.layers.sequence import EncoderFactory, SequenceEncoder, make_encoder
from seqlab.nn.models.frames import FrameInput
from seqlab.nn.models.inputs import InputFactory
from seqlab.nn.models.parts import make_part
from seqlab.nn.models.pooling import Part, make_pooling

NORMALIZE = ("none", "window", "last")


class QuantileHead(nn.Module):
    """Quantiles of the next H steps of K targets: sort(W D_o([pooling(y); f]) + b), with f what is known beforehand.

    ``head(output (B, T, F), lengths, future (B, H, N)) -> quantiles (B, H, K, Q)``, ascending over Q, as the sorting of
    Chernozhukov et al. (2010) has it. All steps come at once, so no error feeds on another (the direct strategy, as in
    MQ-RNN, Wen et al. 2017).

    Args:
        encoder: The encoder whose outputs are read; the model gives it.
        num_targets: K.
        horizon: H.
        num_known: N, the features that are known beforehand.
        quantiles: The Q probabilities, ascending, in (0, 1).
        pooling: "last", "max", "mean" or "attention"; see :mod:`seqlab.nn.models.pooling`.
        output_dropout: The probability of the dropout D_o, in [0, 1).

    Raises:
        TypeError: a size is no integer.
        ValueError: a size, probability or choice is out of range.

    Example:
        >>> from seqlab.nn import Encoder, GRUCell
        >>> head = QuantileHead(Encoder(GRUCell, 3, 4), num_targets=2, horizon=5, quantiles=[0.1, 0.5, 0.9])
        >>> head(torch.zeros(6, 7, 4), None, torch.zeros(6, 5, 0)).shape
        torch.Size([6, 5, 2, 3])
    """

    def __init__(
        self,
        encoder: SequenceEncoder,
        num_targets: int,
        horizon: int,
        *,
        num_known: int = 0,
        quantiles: Sequence[float] = (0.1, 0.5, 0.9),
        pooling: str = "last",
        output_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_targets = check_size("num_targets", num_targets)
        self.horizon = check_size("horizon", horizon)
        self.num_known = num_known
        self.quantiles = check_quantiles(quantiles)
        self.output_dropout = check_dropout("output_dropout", output_dropout)
        self.pooling = make_pooling(pooling, encoder, None)
        self.output = nn.Linear(encoder.output_size + horizon * num_known, horizon * num_targets * len(self.quantiles))

    def check_future(self, future: Tensor, rows: int) -> None:
        """Refuses what is known beforehand in another shape than ``(rows, H, N)``."""
        wanted = (rows, self.horizon, self.num_known)
        if future.shape != wanted:
            raise ValueError(f"future: expected shape {wanted}, got {tuple(future.shape)}")

    def forward(self, output: Tensor, lengths: Tensor | None, future: Tensor) -> Tensor:
        return self.finish(self.pooling.part(output, lengths), future)

    def finish(self, part: Part, future: Tensor) -> Tensor:
        """The quantiles from what ``pooling`` has made of the outputs."""
        pooled = self.pooling.finish(part)
        self.check_future(future, pooled.size(0))
        features = torch.cat((pooled, future.flatten(1)), 1)
        values: Tensor = self.output(functional.dropout(features, self.output_dropout, self.training))
        return values.view(-1, self.horizon, self.num_targets, len(self.quantiles)).sort(-1).values


def check_quantiles(quantiles: Sequence[float]) -> tuple[float, ...]:
    """Probabilities in (0, 1), ascending, the median among them, for the forecast itself is the median."""
    values = tuple(float(value) for value in quantiles)
    if not values or not all(0 < value < 1 for value in values) or list(values) != sorted(set(values)):
        raise ValueError(f"quantiles: expected ascending probabilities between 0 and 1, got {list(quantiles)}")
    if 0.5 not in values:
        raise ValueError(f"quantiles: expected 0.5 among them, for the forecast is the median, got {list(quantiles)}")
    return values


_LEAST_SCALE = 1e-5  # of a window, in deviations of training: the rounding of float32 stays small beside it


class Forecaster(nn.Module):
    """A recurrent forecaster with quantiles: y_(t+1..t+H) = head(encoder(input(x_1..x_t)), what is known beforehand).

    ``model(frames (B, T, F), lengths=None, future=None) -> quantiles (B, H, K, Q)``. The first K features of a frame
    are the targets, the last N those known beforehand, whose next H steps are ``future (B, H, N)``. All numbers are in
    the user's units: the input standardises them by the statistics of training, and the answer is brought back.

    With ``normalize`` each window is brought to a level and scale of its own first, as series with a trend or of many
    sizes need: "window" takes the mean of its targets, "last" their last value (NLinear, Zeng et al. 2023), and both
    divide by the deviation of the window (RevIN, Kim et al. 2022, without its learned scale). Missing targets do not
    count. A window that never changes has its level for a forecast.

    Args:
        input: The factory of the input: a ``functools.partial`` of :class:`FrameInput`.
        encoder: The factory of the encoder, called ``encoder(input_size=input.output_size)``.
        head: The factory of the head, called ``head(encoder=encoder)``: a ``functools.partial`` of
            :class:`QuantileHead`.
        normalize: "none", "window" or "last".

    Raises:
        TypeError: a part is no factory of such a part.
        ValueError: what the parts refuse, or more targets and known features than features.

    Example:
        >>> from functools import partial
        >>> from seqlab.nn import Encoder, FrameInput, GRUCell
        >>> head = partial(QuantileHead, num_targets=1, horizon=4)
        >>> model = Forecaster(partial(FrameInput, 2), partial(Encoder, GRUCell, hidden_size=6), head, normalize="last")
        >>> model(torch.zeros(3, 9, 2), torch.tensor([9, 5, 1])).shape
        torch.Size([3, 4, 1, 3])
    """

    def __init__(
        self,
        input: InputFactory,
        encoder: EncoderFactory,
        head: Callable[..., QuantileHead],
        *,
        normalize: str = "none",
    ) -> None:
        super().__init__()
        self.normalize = check_choice("normalize", normalize, NORMALIZE)
        self.input = make_part("input", input, FrameInput)
        self.encoder = make_encoder("encoder", encoder, self.input.output_size, SequenceEncoder)
        self.head = make_part("head", head, QuantileHead, encoder=self.encoder)
        if self.head.num_targets + self.head.num_known > self.input.num_features:
            parts = f"{self.head.num_targets} targets and {self.head.num_known} known features"
            raise ValueError(f"head: expected at most the {self.input.num_features} features of a frame, got {parts}")

    @property
    def target_stds(self) -> Tensor:
        """The deviation of each target in training, ``(K,)``."""
        return self.input.standardize.std[: self.head.num_targets]

    def forward(self, frames: Tensor, lengths: Tensor | None = None, future: Tensor | None = None) -> Tensor:
        targets, known = slice(0, self.head.num_targets), self.head.num_known
        if future is None and known:
            raise ValueError(f"future: expected the {known} features that are known beforehand, got None")
        if future is not None:  # before statistics of N features would spread one to all
            self.head.check_future(future, frames.size(0))
        standardize = self.input.standardize
        level = scale = None
        if self.normalize != "none":
            level, scale = self._window(standardize(frames)[..., targets], lengths)
            own = (standardize(frames)[..., targets] - level) / scale
            frames = torch.cat((standardize.inverse(own, targets), frames[..., self.head.num_targets :]), 2)
        output, _ = self.encoder(self.input(frames), lengths=lengths)
        quantiles: Tensor = self.head(output, lengths, self._known(future, frames))
        if level is not None and scale is not None:
            quantiles = quantiles * scale.unsqueeze(-1) + level.unsqueeze(-1)
        return self._in_units(quantiles)

    def finish(self, part: Part, future: Tensor | None = None) -> Tensor:
        """The quantiles ``(B, H, K, Q)`` from what the head's ``pooling`` has made of the encoder's outputs.

        It is for a model that reads step by step, with ``normalize="none"``: a window has no level before its end.
        """
        return self._in_units(self.head.finish(part, self._known(future, part[0])))

    def _in_units(self, quantiles: Tensor) -> Tensor:
        """Quantiles in standardised units as numbers in those of the targets."""
        standardize, targets = self.input.standardize, slice(0, self.head.num_targets)
        mean, std = standardize.mean[targets], standardize.std[targets]
        return quantiles * std.unsqueeze(-1) + mean.unsqueeze(-1)

    def _known(self, future: Tensor | None, like: Tensor) -> Tensor:
        """The features known beforehand, standardised; a missing one is its mean in training."""
        if future is None:
            return like.new_zeros(like.size(0), self.head.horizon, 0)
        if not self.head.num_known:
            return future
        standardize = self.input.standardize
        place = slice(self.input.num_features - self.head.num_known, None)
        z = (future - standardize.mean[place]) / standardize.std[place]
        return z.masked_fill(z.isnan(), 0.0) if self.input.observed else z

    def _window(self, z: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """The level and the scale of each window's targets, ``(B, 1, K)``, in standardised units.

        The scale is at least what float32 tells apart of the deviation in training, so a constant window divides by no
        zero, and its forecast is its level.
        """
        steps = torch.arange(z.size(1), device=z.device).view(1, -1, 1)
        there = ~z.isnan()
        if lengths is not None:
            there = there & (steps < lengths.view(-1, 1, 1))
        values = z.masked_fill(~there, 0.0)
        count = there.sum(1, keepdim=True).clamp(min=1)
        mean = values.sum(1, keepdim=True) / count
        spread = ((values - mean).masked_fill(~there, 0.0).square().sum(1, keepdim=True) / count).sqrt()
        if self.normalize == "last":
            last = torch.where(there, steps, -1).amax(1, keepdim=True)
            mean = torch.where(last >= 0, values.gather(1, last.clamp(min=0)), mean)
        return mean, spread.clamp(min=_LEAST_SCALE)
