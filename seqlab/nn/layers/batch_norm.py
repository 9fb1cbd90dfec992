"""Batch normalisation over the pictures of all devices."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class PictureNorm(nn.BatchNorm2d):
    """Batch normalisation (Ioffe & Szegedy 2015) by the statistics of the whole batch, on however many devices it lies.

        y = weight * (x - mean) / sqrt(var + eps) + bias

    ``norm(x (B, C, H, W)) -> (B, C, H, W)``, with mean and var of each channel over the batch in training, and over the
    batches of training, as moving averages, afterwards. In data-parallel training each device has its share of the
    batch; PyTorch's layer would take the statistics of the share, and its ``SyncBatchNorm`` needs GPUs.

    Raises:
        ValueError: when called in training, a channel has a single value on all devices together.

    Example:
        >>> PictureNorm(3)(torch.randn(4, 3, 8, 8)).mean((0, 2, 3)).abs().max().item() < 1e-6
        True
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
            return super().forward(input)
        x = input.float() if input.dtype in (torch.bfloat16, torch.float16) else input
        count = x.new_tensor([x.numel() / x.size(1)])
        total = _summed(torch.cat([x.sum((0, 2, 3)), count]))
        number = total[-1].detach()
        if x.numel() <= x.size(1) and number <= 1:  # a large share need not be waited for
            raise ValueError(f"input: expected more than 1 value a channel in training, got {tuple(input.shape)}")
        mean = total[:-1] / number
        centred = x - mean[:, None, None]
        var = _summed(centred.square().sum((0, 2, 3))) / number
        with torch.no_grad():
            # As torch.nn does: the variance of the batch for the batch, the unbiased one for later.
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_((var * number / (number - 1)).to(self.running_var.dtype), self.momentum)
            self.num_batches_tracked += 1
        scale: Tensor = self.weight * (var + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(input.dtype)


class _Sum(torch.autograd.Function):
    """The sum over all devices, whose gradient is the sum over all devices too."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        total = grad.clone()
        dist.all_reduce(total)
        return total


def _summed(value: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(value)  # type: ignore[no-untyped-call]
    return total
