"""Inputs for sequences of numbers: frames of features, standardised by what training saw."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn.arguments import check_dropout, check_size
from seqlab.nn.models.inputs import Input


class Standardize(nn.Module):
    """z = (x - m) / s for each feature, with m and s of training.

    ``standardize(x (..., F)) -> z (..., F)``. The statistics are buffers: they are saved with the weights, so a trained
    model takes numbers in the user's units. They belong to the data (``data_buffers``): a run that begins with
    another's weights keeps its own. Before :meth:`load` they are 0 and 1, which change nothing.

    Args:
        num_features: F.

    Example:
        >>> standardize = Standardize(2)
        >>> standardize.load(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 0.5]))
        >>> z = standardize(torch.tensor([[3.0, 1.0]]))
        >>> z, standardize.inverse(z[:, 1:], slice(1, 2))
        (tensor([[1., 2.]]), tensor([[1.]]))
    """

    data_buffers: ClassVar[tuple[str, ...]] = ("mean", "std")
    mean: Tensor
    std: Tensor

    def __init__(self, num_features: int) -> None:
        super().__init__()
        size = check_size("num_features", num_features)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))

    def load(self, mean: Tensor, std: Tensor) -> None:
        """Takes the statistics of training, ``(F,)`` each.

        Raises:
            ValueError: they have another shape, are not finite, or a deviation is not above 0.
        """
        for name, value in (("mean", mean), ("std", std)):
            if value.shape != self.mean.shape or not bool(value.isfinite().all()):
                wanted = f"{len(self.mean)} finite numbers, one a feature"
                raise ValueError(f"{name}: expected {wanted}, got {value.tolist()}")
        if not bool((std > 0).all()):
            raise ValueError(f"std: expected numbers above 0, got {std.tolist()}")
        self.mean.copy_(mean)
        self.std.copy_(std)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std

    def inverse(self, z: Tensor, features: slice = slice(None)) -> Tensor:
        """x = z s + m, of the last axis of ``z``, which holds these ``features``."""
        return z * self.std[features] + self.mean[features]

    def extra_repr(self) -> str:
        return f"{len(self.mean)}"


class FrameInput(Input):
    """Frames of numbers: x_t = D(W [(f_t - m) / s; o_t] + b), with m and s of training.

    ``input(frames (B, T, F)) -> (B, T, output_size)``. Without ``embedding_size`` there are no W and b: the encoder
    reads the standardised numbers themselves.

    Where values may be missing, ``observed`` tells the model so (the masking of Che et al. 2018): a NaN reads as 0,
    which is the feature's mean in training, and o_t holds a 1 for each value that is there and a 0 for each that is
    not. Without ``observed`` there is no o_t, and a NaN stays one: the data refuse or fill it.

    Args:
        num_features: F, the numbers of a frame.
        embedding_size: The width of W f; None: frames are read as they are.
        observed: Whether values may be missing.
        embedding_dropout: The probability of the dropout D, in [0, 1).

    Attributes:
        standardize: m and s; see :class:`Standardize`.

    Raises:
        TypeError: a size is no integer, or, when called, ``frames`` are no float32 or float64.
        ValueError: a size or probability is out of range, or, when called, ``frames`` have another shape.

    Example:
        >>> input = FrameInput(2, observed=True)
        >>> input(torch.tensor([[[0.5, float("nan")]]]))
        tensor([[[0.5000, 0.0000, 1.0000, 0.0000]]])
        >>> FrameInput(2, 8)(torch.zeros(3, 7, 2)).shape
        torch.Size([3, 7, 8])
    """

    def __init__(
        self,
        num_features: int,
        embedding_size: int | None = None,
        *,
        observed: bool = False,
        embedding_dropout: float = 0.0,
    ) -> None:
        width = check_size("num_features", num_features) * (1 + observed)
        super().__init__(width if embedding_size is None else check_size("embedding_size", embedding_size))
        self.num_features = num_features
        self.observed = observed
        self.embedding_dropout = check_dropout("embedding_dropout", embedding_dropout)
        self.standardize = Standardize(num_features)
        self.projection = None if embedding_size is None else nn.Linear(width, embedding_size)

    @property
    def step_shape(self) -> tuple[int, ...]:
        return (self.num_features,)

    def load_statistics(self, mean: Tensor, std: Tensor) -> None:
        self.standardize.load(mean, std)

    def forward(self, frames: Tensor) -> Tensor:
        if not frames.is_floating_point():
            raise TypeError(f"frames: expected floating-point numbers, got {frames.dtype}")
        if frames.dtype in (torch.bfloat16, torch.float16):  # 340.12 would be 340 before its mean is taken away
            mend = "give float32, as trainer.precision=bf16-mixed does"
            raise TypeError(f"frames: {frames.dtype} has too few digits for numbers in their own units; {mend}")
        if frames.dim() != 3 or frames.size(2) != self.num_features:
            raise ValueError(f"frames: expected shape (B, T, {self.num_features}), got {tuple(frames.shape)}")
        x: Tensor = self.standardize(frames)
        if self.observed:
            missing = x.isnan()
            x = torch.cat((x.masked_fill(missing, 0.0), (~missing).to(x.dtype)), 2)
        if self.projection is not None:
            x = self.projection(x)
        return functional.dropout(x, self.embedding_dropout, self.training)

    def extra_repr(self) -> str:
        return f"{self.num_features}, observed={self.observed}"
