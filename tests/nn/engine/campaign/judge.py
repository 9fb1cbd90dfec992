"""Whether what one subject saw is what the hand-written steps saw, up to the rounding of those themselves.

The rule. ``truth`` is the hand-written history in float64. A tensor agrees if it is no further from the truth than
``K`` = 16 times the noise: the largest of the hand-written steps' own distance from the truth in the cell's precision,
and 16 eps times the tensor's scale (its largest number, or the largest gradient of the step, or the loss's weight
times the input's size; of a loss, the largest of what it sums up). The precisions' eps are 2.2e-16, 1.2e-7 and, under
autocast, 2**-8. What does not agree so is looked at again: the hand-written history runs in float64 with every weight
and input moved by eps of itself (a zero by eps), and by 64 eps, eight times each; the noise is then also what that
moved. So a cell that is chaotic, or stands at the edge of a jump, raises no alarm by its rounding, and one that is
neither is held to 1e-13 in float64.

What is no tensor (attributes, draws, text, names) must be equal. Where the hand-written steps raise, an engine may
raise too; one that runs there is reported, but is no fault.
"""

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tests.nn.engine.campaign.seen import Seen

K = 16
_SCALES = {"huge": 1e4, "tiny": 1e-6, "mean": 1e-2, "zero": 1e-6}


@dataclass(frozen=True)
class Difference:
    """Something that a subject saw otherwise, at a step of its history."""

    step: int
    name: str
    what: str
    error: float = 0.0
    allowed: float = 0.0


_RAISED = (": raised", ": message")


def differences(
    hand: list[Seen], truth: list[Seen], subject: list[Seen], steps: list[dict[str, Any]], moved: list[list[Seen]]
) -> list[Difference]:
    """The differences at the first step that has any; ``moved`` are hand-written histories of moved numbers."""
    for number, (a, t, s) in enumerate(zip(hand, truth, subject, strict=True)):
        if "raised" in a or "raised" in s:
            if "raised" in a and "raised" in s:
                return []
            if "raised" in s:
                return [Difference(number, "raised", f"{s['raised']}: {s['message']}")]
            return [Difference(number, "ran", f"where the steps raise {a['raised']}: {a['message']}")]
        failed = [name for name in s if name.endswith(": raised") and name not in a]
        if failed:
            message = s[failed[0].replace(": raised", ": message")]
            return [Difference(number, failed[0], f"{s[failed[0]]}: {message}")]
        failed = [name for name in a if name.endswith(": raised") and name not in s]
        if failed:
            return [Difference(number, "ran", f"where the steps raise {a[failed[0]]}")]
        # Where both raise, in their own words.
        a, t, s = ({name: value for name, value in each.items() if not name.endswith(_RAISED)} for each in (a, t, s))
        found = _of_step(number, a, t, s, steps[number], [each[number] for each in moved if len(each) > number])
        if found:
            return found
    return []


def _of_step(number: int, a: Seen, t: Seen, s: Seen, step: dict[str, Any], moved: list[Seen]) -> list[Difference]:
    found = []
    if a.get("loss") == "without gradient" and isinstance(s.get("loss"), Tensor):
        # What no weight reaches may require a gradient all the same: it must be zero.
        extra = {name for name in s if name.startswith("gradient ")}
        found += [Difference(number, name, "is not zero") for name in sorted(extra) if bool(s[name].any())]
        s = {name: value for name, value in s.items() if name not in extra} | {"loss": a["loss"]}
    for name in sorted(a.keys() - s.keys()):
        found.append(Difference(number, name, "is missing"))
    for name in sorted(s.keys() - a.keys()):
        found.append(Difference(number, name, "is more than the steps give"))
    # A rounding in what comes to a weight is as large in its gradient as the input that it is multiplied by.
    scales = {"gradient": 1.0}
    if "scale" in step:
        scales["gradient"] = _SCALES.get(step.get("loss", ""), 1.0) * max(1.0, step["scale"])
    for name, value in t.items():
        if isinstance(value, Tensor) and value.is_floating_point() and value.numel():
            group = _group(name)
            largest = float(torch.nan_to_num(value.double(), 0.0, 0.0, 0.0).abs().max())
            scales[group] = max(scales.get(group, 0.0), largest)
    # Of a sum the terms tell how large a rounding is; by itself it may be near zero.
    scales["loss"] = max(scales.get(group, 0.0) for group in ("loss", "output", "final"))
    for name in a.keys() & s.keys():
        one, other = a[name], s[name]
        if not isinstance(one, Tensor) or not isinstance(other, Tensor):
            more = name.endswith(" requires_grad") and other is True
            if (type(one) is not type(other) or one != other) and not more:
                found.append(Difference(number, name, f"is {_short(other)}, should be {_short(one)}"))
            continue
        if one.shape != other.shape:
            found.append(Difference(number, name, f"has shape {tuple(other.shape)}, should be {tuple(one.shape)}"))
        elif one.dtype != other.dtype and not step.get("autocast"):
            found.append(Difference(number, name, f"is of {other.dtype}, should be of {one.dtype}"))
        elif one.numel():
            scale = scales.get(_group(name), 0.0)
            others = [each[name] for each in moved if isinstance(each.get(name), Tensor)]
            kind = a["output"].dtype if name == "loss" else one.dtype  # a loss is noted in float64 in any case
            low = bool(step.get("autocast")) and kind != torch.float64
            found += _of_tensor(
                number, name, one, t.get(name, one), other, scale, 2.0**-8 if low else _eps(kind), others
            )
    return found


def _group(name: str) -> str:
    """What kind of tensor it is, whichever thread has made it."""
    return re.sub(r"^(thread \d+: )?(after the loss: )?", "", name).split()[0]


def _eps(kind: torch.dtype) -> float:
    return torch.finfo(kind).eps if kind.is_floating_point else 0.0


def _of_tensor(
    number: int, name: str, one: Tensor, true: Tensor, other: Tensor, scale: float, eps: float, moved: list[Tensor]
) -> list[Difference]:
    if not one.is_floating_point():
        return [] if torch.equal(one, other) else [Difference(number, name, "differs")]
    exact = eps == _eps(torch.float64)
    if true.shape != one.shape:
        true = one
    one, true, other = one.double(), true.double(), other.double()
    finite = one.isfinite() & true.isfinite()
    if exact and not torch.equal(torch.nan_to_num(other[~finite]), torch.nan_to_num(one[~finite])):
        return [Difference(number, name, "is not what it should be where that is not finite")]
    if not finite.any():
        return []
    if not other[finite].isfinite().all():
        return [Difference(number, name, "is not finite", float("inf"))]
    noise = max(float((one - true)[finite].abs().max()), 16 * eps * max(scale, 1e-30))
    for each in moved:
        if each.shape == true.shape:
            noise = max(noise, float(torch.nan_to_num((each.double() - true)[finite], posinf=1e300).abs().max()))
    error = float((other - true)[finite].abs().max())
    return [Difference(number, name, "differs", error, K * noise)] if error > K * noise else []


def _short(value: Any) -> str:
    return repr(value)[:60]
