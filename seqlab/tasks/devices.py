"""What the processes of one run tell each other when several devices train it.

On one device, where there is no process group, everything is what it was.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from seqlab.errors import InputError
from seqlab.nn.state import map_state


def rank() -> int:
    """This process's number among those of the run; 0 where it is alone."""
    return dist.get_rank() if _together() else 0


def world_size() -> int:
    """The number of processes, one a device."""
    return dist.get_world_size() if _together() else 1


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()


def leave_group() -> None:
    """Ends what the processes share, once all of them have come here: each goes on alone."""
    if world_size() > 1:
        dist.barrier()
        dist.destroy_process_group()


def summed(value: Tensor) -> Tensor:
    """The sum of ``value`` over all devices, which all of them get; the tensor itself is left as it is."""
    if world_size() == 1:
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total


def gathered(value: Any) -> list[Any]:
    """``value``, plain and picklable, of each device in their order, which all of them get."""
    if world_size() == 1:
        return [value]
    found: list[Any] = [None] * world_size()
    dist.all_gather_object(found, value)
    return found


def global_mean(mean: Tensor, count: Tensor) -> Tensor:
    r"""Weighs this device's mean so that the average over devices is the mean over all that they have together.

    .. math::  \frac{1}{W} \sum_r \frac{W n_r}{\sum_s n_s} m_r = \frac{\sum_r n_r m_r}{\sum_s n_s}

    Data-parallel training averages the gradients of W devices as if each had equally much to say, and they do not:
    rows run out and examples are of different lengths.

    Args:
        mean: :math:`m_r`, of :math:`n_r` terms; any finite value where there is none.
        count: :math:`n_r`, an integer tensor.
    """
    devices = world_size()
    if devices == 1:
        return mean
    return mean * (devices * count.double() / summed(count).clamp(min=1)).to(mean.dtype)


def gather_rows(state: Any) -> Any:
    """A state of this device's rows, nested tuples of ``(B / W, ...)`` tensors, as that of all rows ``(B, ...)``; None
    stays None."""
    if state is None or world_size() == 1:
        return state

    def whole(part: Tensor) -> Tensor:
        parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(world_size())]
        dist.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    return map_state(whole, state)


def own_rows(state: Any) -> Any:
    """The rows of this device, out of what :func:`gather_rows` gave on any number of devices.

    Raises:
        InputError: the rows do not divide over the devices.
    """

    def share(whole: Tensor) -> Tensor:
        if whole.size(0) % world_size():
            raise InputError(
                f"the checkpoint carries the state of {whole.size(0)} rows, which do not divide over {world_size()} "
                "devices: resume on a number that divides them"
            )
        return whole.chunk(world_size())[rank()].clone()

    return state if state is None or world_size() == 1 else map_state(share, state)
