"""The user's own ``torch.autograd.Function`` inside a captured step, so that it can be differentiated again.

Dynamo captures such a function as two graphs, its forward and its backward, and keeps what the one saves for the other
out of autograd's sight: a second derivative would miss all that depends on it, without a word. Here the two are an
autograd function once more, which saves what the user's saves.
"""

from collections.abc import Callable, Sequence
from typing import Any
from typing import cast as typed

import torch
from torch import Tensor, fx

from seqlab.nn.engine.errors import UnsupportedError

_HIGHER = torch.ops.higher_order.autograd_function_apply


class _Own(torch.autograd.Function):
    """``forward(*given) -> (outputs, saved)`` and ``backward(*gradients, *saved) -> gradients``, as graphs."""

    @staticmethod
    def forward(ctx: Any, forward: Any, backward: Any, constant: Sequence[int], *given: Any) -> tuple[Tensor, ...]:
        outputs, saved = forward(*given)
        ctx.back = backward
        ctx.places = [place for place, each in enumerate(saved) if isinstance(each, Tensor)]
        ctx.others = [None if isinstance(each, Tensor) else each for each in saved]
        ctx.save_for_backward(*(saved[place] for place in ctx.places))
        ctx.mark_non_differentiable(*(outputs[place] for place in constant))
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        saved = list(ctx.others)
        for place, each in zip(ctx.places, ctx.saved_tensors, strict=True):
            saved[place] = each
        return (None, None, None, *ctx.back(*gradients, *saved))


def _apply(forward: fx.GraphModule, backward: fx.GraphModule, *given: Any, **options: Any) -> tuple[Tensor, ...]:
    applied = typed(Callable[..., tuple[Tensor, ...]], _Own.apply)
    return applied(forward.forward, backward.forward, options["non_differentiable_idx"], *given)


def differentiable(body: fx.GraphModule) -> fx.GraphModule:
    """``body`` with the user's own autograd functions as such; the same module where there are none.

    Raises:
        UnsupportedError: one of them has a form whose second derivative is not known.
    """
    if not any(node.target is _HIGHER for node in body.graph.nodes):
        return body
    graph = fx.Graph()
    graph.output(graph.graph_copy(body.graph, {}))
    made = fx.GraphModule(body, graph)
    for node in graph.nodes:
        if node.target is not _HIGHER:
            continue
        if node.kwargs.get("dirty_idx"):
            raise UnsupportedError("an autograd function of its own changes its input in place")
        for argument in node.args[:2]:
            assert isinstance(argument, fx.Node)
            name = str(argument.target)
            setattr(made, name, _without_switches(typed(fx.GraphModule, body.get_submodule(name))))
        node.target = _apply
    made.recompile()
    return made


def _without_switches(part: fx.GraphModule) -> fx.GraphModule:
    """A part without the switches around it that turn the gradient off: autograd turns them as it is asked to."""
    graph = fx.Graph()
    graph.output(graph.graph_copy(part.graph, {}))
    switches = [node for node in graph.nodes if getattr(node.target, "__name__", "") == "_set_grad_enabled"]
    calls = [node for node in graph.nodes if node.op not in ("placeholder", "get_attr", "output")]
    around = [calls[0], calls[-1]] if len(calls) > 1 else []
    if any(node.target is _HIGHER for node in calls) or any(node not in around for node in switches):
        raise UnsupportedError("an autograd function of its own turns the gradient on or off")
    for node in switches:
        graph.erase_node(node)
    return fx.GraphModule(part, graph)


__all__ = ["differentiable"]
