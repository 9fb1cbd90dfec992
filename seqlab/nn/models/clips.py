"""Inputs for sequences of pictures: a small convolutional network reads each frame."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.nn.arguments import check_dropout, check_size
from seqlab.nn.models.frames import Standardize
from seqlab.nn.models.inputs import Input


class ConvFrameInput(Input):
    """A vector for each picture: x_t = D(W vec(g_L(...g_1((f_t - m) / s))) + b), with m and s of training.

    g_l is a convolution with a kernel of 3 x 3 and a stride of 2, then a ReLU: it halves height and width. All that is
    left of the last one is read by W, so where something is seen in a picture is known. Frames are read one by one:
    none changes the vector of another, and padding changes nothing.

    ``input(frames (B, T, C, H, W)) -> (B, T, embedding_size)``.

    Args:
        num_channels: C.
        height: H.
        width: W of the pictures.
        embedding_size: The width of x_t.
        channels: The channels of each convolution, one number a layer.
        embedding_dropout: The probability of the dropout D, in [0, 1).

    Attributes:
        standardize: m and s of each channel; see :class:`Standardize`.

    Raises:
        TypeError: a size is no integer, or, when called, ``frames`` are no floating-point numbers.
        ValueError: a size or probability is out of range, or, when called, ``frames`` have another shape.

    Example:
        >>> input = ConvFrameInput(1, 40, 40, embedding_size=32)
        >>> input(torch.zeros(2, 16, 1, 40, 40)).shape
        torch.Size([2, 16, 32])
    """

    def __init__(
        self,
        num_channels: int,
        height: int,
        width: int,
        embedding_size: int,
        *,
        channels: Sequence[int] = (8, 16, 32),
        embedding_dropout: float = 0.0,
    ) -> None:
        super().__init__(check_size("embedding_size", embedding_size))
        self.frame = tuple(map(check_size, ("num_channels", "height", "width"), (num_channels, height, width)))
        self.embedding_dropout = check_dropout("embedding_dropout", embedding_dropout)
        if not channels:
            raise ValueError("channels: expected one number a layer, got none")
        sizes = [num_channels, *(check_size("channels", size) for size in channels)]
        self.standardize = Standardize(num_channels)
        self.layers = nn.ModuleList(nn.Conv2d(one, other, 3, stride=2, padding=1) for one, other in pairwise(sizes))
        for _ in channels:
            height, width = (height + 1) // 2, (width + 1) // 2
        self.projection = nn.Linear(sizes[-1] * height * width, embedding_size)

    @property
    def step_shape(self) -> tuple[int, ...]:
        return self.frame

    def load_statistics(self, mean: Tensor, std: Tensor) -> None:
        self.standardize.load(mean, std)

    def forward(self, frames: Tensor) -> Tensor:
        if not frames.is_floating_point():
            raise TypeError(f"frames: expected floating-point numbers, got {frames.dtype}")
        if frames.dim() != 5 or tuple(frames.shape[2:]) != self.frame:
            wanted = ", ".join(map(str, self.frame))
            raise ValueError(f"frames: expected shape (B, T, {wanted}), got {tuple(frames.shape)}")
        x: Tensor = self.standardize(frames.flatten(0, 1).movedim(1, -1)).movedim(-1, 1)
        for layer in self.layers:
            x = torch.relu(layer(x))
        vectors = self.projection(x.flatten(1)).unflatten(0, frames.shape[:2])
        return functional.dropout(vectors, self.embedding_dropout, self.training)

    def extra_repr(self) -> str:
        return "{} x {} x {}".format(*self.frame)
