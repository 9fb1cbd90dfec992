"""Communication between the processes of a run on several devices.

On one device there is no process group, and each function returns its argument.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from seqlab.errors import InputError
from seqlab.nn.state import map_state


def rank() -> int:
    """The rank of this process in the run; 0 on one device."""
    return dist.get_rank() if _has_group() else 0


def world_size() -> int:
    """The number of processes, one per device."""
    return dist.get_world_size() if _has_group() else 1


def _has_group() -> bool:
    return dist.is_available() and dist.is_initialized()


def leave_group() -> None:
    """Waits for all processes, then ends their group. Each continues alone."""
    if world_size() > 1:
        dist.barrier()
        dist.destroy_process_group()


def summed(value: Tensor) -> Tensor:
    """The sum of a tensor over all devices, on each of them. The tensor itself does not change."""
    if world_size() == 1:
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total


def gathered(value: Any) -> list[Any]:
    """The value of each device, in the order of ranks, on each of them. It must be picklable."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def global_mean(mean: Tensor, count: Tensor) -> Tensor:
    r"""Scales the mean of this device so that the average over devices is the mean over all terms.

    .. math::  \frac{1}{W} \sum_r \frac{W n_r}{\sum_s n_s} m_r = \frac{\sum_r n_r m_r}{\sum_s n_s}

    Data-parallel training averages the gradients of W devices with equal weights. Their counts differ, because rows
    run out and examples have different lengths.

    Args:
        mean: :math:`m_r`, a scalar, over :math:`n_r` terms; any finite value without terms.
        count: :math:`n_r`, a scalar integer tensor.

    Returns:
        The loss to differentiate on this device; on one device ``mean`` itself.

    Example:
        >>> global_mean(torch.tensor(0.5), torch.tensor(3))
        tensor(0.5000)
    """
    devices = world_size()
    if devices == 1:
        return mean
    return mean * (devices * count.double() / summed(count).clamp(min=1)).to(mean.dtype)


def gather_rows(state: Any) -> Any:
    """Joins the states of all devices, nested tuples of ``(B / W, ...)`` tensors, to one of all rows ``(B, ...)``.

    None stays None.
    """
    if state is None or world_size() == 1:
        return state

    def whole(part: Tensor) -> Tensor:
        parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(world_size())]
        dist.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    return map_state(whole, state)


def own_rows(state: Any) -> Any:
    """Returns this device's rows of what :func:`gather_rows` returned on any number of devices.

    Raises:
        InputError: the number of rows is no multiple of the number of devices.
    """

    def share(whole: Tensor) -> Tensor:
        if whole.size(0) % world_size():
            raise InputError(
                f"the checkpoint carries the state of {whole.size(0)} rows, which do not divide over {world_size()} "
                "devices: resume on a number that divides them"
            )
        return whole.chunk(world_size())[rank()].clone()

    return state if state is None or world_size() == 1 else map_state(share, state)
