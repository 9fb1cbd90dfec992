"""What a checkpoint holds of a task, beside weights and optimizer, so that a run resumes exactly."""

import logging
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from seqlab.nn import Recurrent
from seqlab.tasks.devices import gathered, rank, world_size
from seqlab.tasks.schedules import Plan

logger = logging.getLogger("seqlab")


def generator_states() -> dict[str, Any]:
    """The states of the random generators that training draws from, on this device."""
    name, keys, *rest = np.random.get_state(legacy=True)
    states: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def restore_generators(devices: Sequence[dict[str, Any]]) -> None:
    """Restores what :func:`generator_states` returned on this device; nothing on a device that the run did not have."""
    if rank() >= len(devices):
        return
    states = devices[rank()]
    torch.set_rng_state(states["torch"].cpu())
    random.setstate(states["python"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"].cpu())


def gathered_gradients(model: nn.Module) -> list[dict[str, Tensor]]:
    """The gradients of the parameters on each device, by name; complete on the first device alone."""
    devices: list[dict[str, Tensor]] = [{} for _ in range(world_size())]
    for name, parameter in model.named_parameters():
        gradient = None if parameter.grad is None else parameter.grad.cpu()
        # One parameter at a time, because each device receives the gradients of all.
        for device, part in zip(devices, gathered(gradient), strict=True):
            if part is not None and rank() == 0:
                device[name] = part
    return devices


def restore_gradients(model: nn.Module, devices: Sequence[dict[str, Tensor]]) -> None:
    """Restores this device's share of what :func:`gathered_gradients` returned."""
    if len(devices) == world_size():
        devices = [devices[rank()]]
    for name, parameter in model.named_parameters():
        gradients = [device[name] for device in devices if name in device]
        if gradients:
            # On another number of devices each starts with the mean, so that their mean is the same.
            mean = gradients[0] if len(devices) == 1 else torch.stack(gradients).sum(0) / len(devices)
            parameter.grad = mean.to(parameter.device)


def engines_of(model: nn.Module) -> list[str]:
    """The names of the engines that the recurrent layers of ``model`` run on, in the order of its modules."""
    return [
        "loop" if layer.kept_to_loop is not None else layer.chosen_engine
        for layer in model.modules()
        if isinstance(layer, Recurrent)
    ]


def restore_engines(model: nn.Module, engines: Sequence[str] | None) -> None:
    """Keeps layers on ``loop`` that ran on it before the resume. Warns where a layer runs on another engine now.

    Args:
        model: the model that resumes.
        engines: what :func:`engines_of` returned; None where the checkpoint does not say.
    """
    layers = [module for module in model.modules() if isinstance(module, Recurrent)]
    for layer, engine in zip(layers, engines or (), strict=False):
        if engine == "loop" and layer.backend == "auto":  # another engine had failed, and may fail again
            layer.keep_to_loop("the run that is resumed ran on it")
    now = engines_of(model)
    if engines is not None and engines != now:
        logger.warning(
            "the checkpoint's layers ran on %s, here they run on %s: results may differ in their rounding",
            ", ".join(engines),
            ", ".join(now),
        )


def lengthen(schedulers: Any, before: Plan, after: Plan) -> None:
    """Moves schedules to a longer plan, because the checkpoint holds the rate of the shorter one.

    Args:
        schedulers: the task's ``lr_schedulers()``: one, or a list.
        before: the plan in the checkpoint.
        after: the plan now.
    """
    logger.info("the schedule's horizon is %d steps, where it was %d", after.total_steps, before.total_steps)
    for scheduler in schedulers if isinstance(schedulers, list) else [schedulers]:
        if not isinstance(scheduler, LambdaLR):
            continue
        step = scheduler.last_epoch
        rates = [base * factor(step) for base, factor in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)]
        for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
            if group["lr"] != rate:
                logger.info("the rate at step %d is %.4g, where it was %.4g", step, rate, group["lr"])
            group["lr"] = rate
        scheduler._last_lr = rates
