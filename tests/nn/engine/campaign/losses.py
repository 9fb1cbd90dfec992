"""The losses of a history: what is made of a layer's output and final state."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def loss_of(name: str, output: Tensor, final: list[Tensor], draw: torch.Generator) -> Any:
    def weights(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw, dtype=torch.float64).to(output.dtype)

    last, every = final[-1], [output, *final]
    weighted = [(part * weights(*part.shape)).sum() for part in every]
    match name:
        case "weighted":
            return sum(weighted)
        case "square":
            return sum(part.square().sum() for part in every)
        case "final_transposed":
            return (last.t() * weights(*last.t().shape)).sum()
        case "final_last":
            return last.sum()
        case "first_part":
            return (final[0] * final[0]).sum()
        case "second_only":
            return final[len(final) // 2].sin().sum()
        case "output_sum":
            return output.sum()
        case "mean":
            return output.mean() + last.mean()
        case "one_step":
            return output[:, output.size(1) // 2].square().sum()
        case "strided":
            return (output[:, ::2] * 0.5).sum() + last[:, ::2].square().sum() + output[..., 1:].sin().sum()
        case "permuted":
            return (output.permute(2, 0, 1) * weights(*output.permute(2, 0, 1).shape)).sum()
        case "log_softmax_batch":
            return F.log_softmax(final[0].t(), 1)[:, 0].sum() + F.log_softmax(output, 0)[0].sum()
        case "convolution":
            return F.conv1d(last.t()[None], weights(2, last.size(1), 1)).square().sum()
        case "huge":
            return sum(weighted) * 1e4
        case "tiny":
            return sum(weighted) * 1e-6
        case "zero":
            return sum(weighted) * 0.0
        case "in_place":
            output.mul_(2.0)
            output[:, 0] = 0.0
            return output.square().sum() + last.sum()
        case "in_place_final":
            last.add_(1.0)
            return last.square().sum() + output.sum()
        case "product":
            return (output.flatten(0, 1) @ weights(output.size(2), 3)).tanh().sum()
        case "maximum":
            return output.amax((0, 1)).sum() + weighted[1]
        case "joined":
            return torch.cat((output[:, -1].double(), last.double()), 1).square().sum()
        case "unbound":
            return (
                sum((part * k).sum() for k, part in enumerate(output.unbind(1)))
                + torch.stack([part.double().sum() for part in final]).norm()
            )
        case "flipped":
            return (output.flip(1) * weights(*output.shape)).sum() + (final[0].flip(0) * weights(*final[0].shape)).sum()
        case "norm":
            return output.norm() + last.norm()
        case "detached":
            return (output * output.detach()).sum() + (last.detach() * last).sum()
        case "masked":
            return output[torch.rand(output.shape, generator=draw) > 0.5].sum()
        case "einsum":
            return torch.einsum("bti,btj->ij", output, output).sum()
        case "broadcast":
            return (output.unsqueeze(0) * weights(3, 1, 1, 1)).sum() + last.expand(2, *last.shape).sum()
        case "output_view":
            return output.reshape(-1)[1:].square().sum() + output.transpose(0, 2).contiguous().sin().sum()
    raise AssertionError(name)
