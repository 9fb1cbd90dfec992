"""A user's ``torch.autograd.Function`` inside a captured step, in a form that can be differentiated twice.

Dynamo captures such a function as two graphs, its forward and its backward. Autograd does not see the tensors that the
forward saves for the backward, so a second derivative would silently miss what depends on them. Here the two graphs
become an autograd function again, which saves those tensors.
"""

from collections.abc import Callable, Sequence
from typing import Any
from typing import cast as typed

import torch
from torch import Tensor, fx

from seqlab.nn.engine.errors import UnsupportedError

_FUNCTION_CALL = torch.ops.higher_order.autograd_function_apply


class _UserFunction(torch.autograd.Function):
    """``forward(*arguments) -> (outputs, saved)`` and ``backward(*gradients, *saved) -> gradients``, as graphs."""

    @staticmethod
    def forward(ctx: Any, forward: Any, backward: Any, constant: Sequence[int], *arguments: Any) -> tuple[Tensor, ...]:
        outputs, saved = forward(*arguments)
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


def _apply(forward: fx.GraphModule, backward: fx.GraphModule, *arguments: Any, **options: Any) -> tuple[Tensor, ...]:
    apply = typed(Callable[..., tuple[Tensor, ...]], _UserFunction.apply)
    return apply(forward.forward, backward.forward, options["non_differentiable_idx"], *arguments)


def differentiable(body: fx.GraphModule) -> fx.GraphModule:
    """``body`` with each user's autograd function as an autograd function; ``body`` itself if there are none.

    Raises:
        UnsupportedError: the second derivative of one of them is not known.
    """
    if not any(node.target is _FUNCTION_CALL for node in body.graph.nodes):
        return body
    graph = fx.Graph()
    graph.output(graph.graph_copy(body.graph, {}))
    module = fx.GraphModule(body, graph)
    for node in graph.nodes:
        if node.target is not _FUNCTION_CALL:
            continue
        if node.kwargs.get("dirty_idx"):
            raise UnsupportedError("its autograd function changes an argument in place")
        for argument in node.args[:2]:
            assert isinstance(argument, fx.Node)
            name = str(argument.target)
            setattr(module, name, _without_switches(typed(fx.GraphModule, body.get_submodule(name))))
        node.target = _apply
    module.recompile()
    return module


def _without_switches(body: fx.GraphModule) -> fx.GraphModule:
    """A forward or backward without its first and last node, which switch the gradient mode; autograd sets the mode."""
    graph = fx.Graph()
    graph.output(graph.graph_copy(body.graph, {}))
    switches = [node for node in graph.nodes if getattr(node.target, "__name__", "") == "_set_grad_enabled"]
    calls = [node for node in graph.nodes if node.op not in ("placeholder", "get_attr", "output")]
    ends = [calls[0], calls[-1]] if len(calls) > 1 else []
    if any(node.target is _FUNCTION_CALL for node in calls) or any(node not in ends for node in switches):
        raise UnsupportedError("its autograd function switches the gradient mode")
    for node in switches:
        graph.erase_node(node)
    return fx.GraphModule(body, graph)


__all__ = ["differentiable"]
