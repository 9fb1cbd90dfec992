"""The linear recurrence ``h_t = a_t * h_{t-1} + b_t`` over a whole sequence as one operator, with its adjoint.

Both are scans of products and sums (Blelloch 1990). There is no logarithm and no division, so ``a`` may be 0, negative
or somewhat above 1, as long as its products over time are finite. They are registered operators: each is one node of a
compiled or exported graph, whatever T is.
"""

from typing import Any

import torch
from torch import Tensor

from seqlab.nn.engine.batched import is_batched

_CHUNK = 32  # steps; from T = 256 to 16,384, 16 and 64 are about as fast, and 4 takes 1.5 times as long
# From this many elements a step, the plain loop is as fast: a CPU core is bound by memory, and the chunked scan reads
# ``a`` and ``b`` twice. Other devices should gain more from fewer operations; that has not been measured.
_WIDE = {"cpu": 4096}
_WIDE_ELSEWHERE = 2**20


def linear_scan(a: Tensor, b: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """All states of ``h_t = a_t * h_{t-1} + b_t``, t = 1..T, from ``h_0 = h``.

    It can be differentiated any number of times. For the adjoint it saves ``a``, ``h`` and the states.

    Args:
        a: the factors ``(B, T, H)``, of a floating-point dtype.
        b: the summands ``(B, T, H)``, of the same dtype.
        h: the initial state ``(B, H)``, of the same dtype.

    Returns:
        The states ``(B, T, H)``, and the last of them ``(B, H)``.

    Example:
        >>> states, last = linear_scan(torch.full((1, 3, 1), 0.5), torch.ones(1, 3, 1), torch.zeros(1, 1))
        >>> states.flatten().tolist(), last.tolist()
        ([1.0, 1.5, 1.75], [[1.75]])
    """
    states, last = _forward(a, b, h)
    return states, last


def begin_anew(a: Tensor, b: Tensor, mask: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
    """Coefficients with which rows begin anew: ``h_t = a_t * initial + b_t`` where ``mask`` says so.

    The factor is zero there, and ``a_t * initial`` part of the summand.

    Args:
        a: the factors ``(B, T, H)``.
        b: the summands ``(B, T, H)``.
        mask: ``(B, T)`` bool.
        initial: the states from which rows begin ``(B, H)``.

    Returns:
        The factors and the summands for :func:`linear_scan`.

    Example:
        >>> a, b = torch.full((1, 3, 1), 0.5), torch.ones(1, 3, 1)
        >>> a, b = begin_anew(a, b, torch.tensor([[False, True, False]]), torch.full((1, 1), 4.0))
        >>> a.flatten().tolist(), b.flatten().tolist()
        ([0.5, 0.0, 0.5], [1.0, 3.0, 1.0])
    """
    if a.device.type == "cpu" and not torch.compiler.is_compiling():
        cut, summands, _ = _BeginAnew.apply(a, b, mask, initial)  # type: ignore[no-untyped-call]
        return cut, summands
    where = mask.unsqueeze(2)
    return a.masked_fill(where, 0.0), torch.where(where, a * initial.unsqueeze(1) + b, b)


class _BeginAnew(torch.autograd.Function):
    """:func:`begin_anew` on a CPU: ``(a, b, mask, initial) -> (factors, summands, a at the R resets (R, H))``.

    Resets are few, so all but one copy of ``a`` is the work of some rows. ``a`` at the resets is a result so that a
    second derivative knows where it comes from.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, mask: Tensor, initial: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        steps = mask.flatten().nonzero().squeeze(1)  # (R,)
        rows = steps.div(mask.size(1), rounding_mode="floor")
        cut = a.clone(memory_format=torch.contiguous_format)
        flat = cut.flatten(0, 1)
        factors, first = flat.index_select(0, steps), initial.index_select(0, rows)
        flat.index_fill_(0, steps, 0.0)
        added = factors * first
        summands = b.view_as(b)  # where nothing is added, nothing need be copied
        if added.any():  # of an infinite factor and a zero it is no number, which counts
            summands = b.flatten(0, 1).index_add(0, steps, added).view_as(b)
        ctx.save_for_backward(steps, rows, initial, factors)
        return cut, summands, factors

    @staticmethod
    def backward(
        ctx: Any, to_cut: Tensor | None, to_b: Tensor | None, to_factors: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        steps, rows, initial, factors = ctx.saved_tensors
        if to_cut is None or to_b is None:
            raise AssertionError("a scan gives the gradients of both")
        wide = (-1, to_b.size(2))  # not flatten, which knows no batch of gradients
        at_resets = to_b.reshape(wide).index_select(0, steps)  # (R, H)
        to_a_there = at_resets * initial.index_select(0, rows)
        if to_factors is not None:
            to_a_there = to_a_there + to_factors
        to_initial = torch.zeros_like(initial).index_add(0, rows, at_resets * factors)
        if torch.is_grad_enabled() or is_batched(to_cut):
            to_a = to_cut.reshape(wide).index_copy(0, steps, to_a_there).view(to_cut.shape)
        else:  # nobody else has this gradient: ``cut`` goes to one scan, whose adjoint has made it for this node
            to_a = to_cut.contiguous()
            to_a.flatten(0, 1).index_copy_(0, steps, to_a_there)
        return to_a, to_b, None, to_initial


@torch.library.custom_op("seqlab::linear_scan", mutates_args=())
def _forward(a: Tensor, b: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    states = torch.empty_like(b, memory_format=torch.contiguous_format)
    _scan(a, b, h, states, reverse=False)
    return states, states[:, -1].clone()


@_forward.register_fake
def _(a: Tensor, b: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(b, memory_format=torch.contiguous_format), h.new_empty(h.shape)


@torch.library.custom_op("seqlab::linear_scan_adjoint", mutates_args=())
def _adjoint(a: Tensor, h: Tensor, states: Tensor, grad: Tensor, grad_last: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of ``a`` and ``b (B, T, H)``, from ``grad (B, T, H)`` of the states and ``grad_last (B, H)``.

    grad_b_t = grad_t + a_{t+1} * grad_b_{t+1},   grad_b_T = grad_T + grad_last;   grad_a_t = grad_b_t * h_{t-1}
    """
    grad_a, grad_b = (torch.empty_like(states) for _ in range(2))
    torch.add(grad[:, -1], grad_last, out=grad_b[:, -1])
    if a.size(1) > 1:
        _scan(a[:, 1:], grad[:, :-1], grad_b[:, -1], grad_b[:, :-1], reverse=True)
    torch.mul(grad_b[:, 0], h, out=grad_a[:, 0])
    torch.mul(grad_b[:, 1:], states[:, :-1], out=grad_a[:, 1:])
    return grad_a, grad_b


@_adjoint.register_fake
def _(a: Tensor, h: Tensor, states: Tensor, grad: Tensor, grad_last: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(states), torch.empty_like(states)


def _scan(a: Tensor, b: Tensor, start: Tensor, out: Tensor, reverse: bool) -> None:
    """``out_t = a_t * out_{t-1} + b_t`` from ``start (B, H)``; in reverse, ``out_t = a_t * out_{t+1} + b_t``."""
    steps = b.size(1)
    if steps < 2 * _CHUNK or start.numel() >= _WIDE.get(b.device.type, _WIDE_ELSEWHERE):
        _step_through(_steps(a, reverse), _steps(b, reverse), start, _steps(out, reverse))
        return
    rest = steps % _CHUNK  # steps beyond the whole chunks; they come last in the direction of the scan
    cut = rest if reverse else steps - rest
    whole, left = (slice(cut, None), slice(0, cut)) if reverse else (slice(0, cut), slice(cut, None))
    _scan_chunks(a[:, whole], b[:, whole], start, out[:, whole], reverse)
    if rest:
        _scan(a[:, left], b[:, left], out[:, cut if reverse else cut - 1], out[:, left], reverse)


def _scan_chunks(a: Tensor, b: Tensor, start: Tensor, out: Tensor, reverse: bool) -> None:
    """A scan over whole chunks; one operation runs a step of all chunks.

    First, the steps of each chunk are combined to its total effect, ``end = factor * start + offset``. Then the ends of
    the chunks are a scan of the same kind, 1/_CHUNK as long. Last, each chunk is run from the end of the one before.
    """
    a_steps, b_steps, out_steps = (
        _steps(each.view(each.size(0), -1, _CHUNK, each.size(2)), reverse, axis=2) for each in (a, b, out)
    )  # _CHUNK times (B, chunks, H), in the direction of the scan
    factor = a_steps[0] * a_steps[1]
    offset = torch.addcmul(b_steps[1], a_steps[1], b_steps[0])
    for a_t, b_t in zip(a_steps[2:], b_steps[2:], strict=True):
        factor.mul_(a_t)
        torch.addcmul(b_t, a_t, offset, out=offset)
    ends = out_steps[-1]
    _scan(factor, offset, start, ends, reverse)
    first = start.unsqueeze(1)
    before = torch.cat((ends[:, 1:], first) if reverse else (first, ends[:, :-1]), 1)
    _step_through(a_steps[:-1], b_steps[:-1], before, out_steps[:-1])


def _step_through(a: tuple[Tensor, ...], b: tuple[Tensor, ...], state: Tensor, out: tuple[Tensor, ...]) -> None:
    for a_t, b_t, out_t in zip(a, b, out, strict=True):
        state = torch.addcmul(b_t, a_t, state, out=out_t)


def _steps(x: Tensor, reverse: bool, axis: int = 1) -> tuple[Tensor, ...]:
    """The slices of ``x`` along ``axis``, in the direction of the scan."""
    steps = x.unbind(axis)
    return steps[::-1] if reverse else steps


def _save_scan(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
    a, _, h = inputs
    ctx.save_for_backward(a, h, output[0])


def _scan_backward(ctx: Any, grad: Tensor, grad_last: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    a, h, states = ctx.saved_tensors
    grad_a, grad_b = _adjoint(a, h, states, grad, grad_last)
    return grad_a, grad_b, a[:, 0] * grad_b[:, 0]


def _save_adjoint(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    a, h, states, _, _ = inputs
    ctx.save_for_backward(a, h, states, output[1])


def _adjoint_backward(ctx: Any, to_grad_a: Tensor, to_grad_b: Tensor) -> tuple[Tensor, ...]:
    """The adjoint of the adjoint, which is the scan itself: so second and higher derivatives are exact."""
    a, h, states, grad_b = ctx.saved_tensors
    before = torch.cat((h.unsqueeze(1), states[:, :-1]), 1)  # (B, T, H)
    to_before = to_grad_a * grad_b
    to_grad, to_grad_last = _forward(a, to_grad_b + to_grad_a * before, torch.zeros_like(h))
    none = torch.zeros_like(h).unsqueeze(1)
    to_a = grad_b * torch.cat((none, to_grad[:, :-1]), 1)
    return to_a, to_before[:, 0], torch.cat((to_before[:, 1:], none), 1), to_grad, to_grad_last


_forward.register_autograd(_scan_backward, setup_context=_save_scan)
_adjoint.register_autograd(_adjoint_backward, setup_context=_save_adjoint)
