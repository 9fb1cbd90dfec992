"""The graph of a step and its adjoint, before anything is decided about it."""

import torch
from torch import fx

from seqlab.nn.engine.scan.trace import _compute_once

aten = torch.ops.aten


def graph_of(*calls):
    """A graph of calls of one input ``x``; the last two are its results."""
    graph = fx.Graph()
    x = graph.placeholder("x")
    nodes = [graph.call_function(target, (x, *arguments), options) for target, arguments, options in calls]
    graph.output((nodes[-2], nodes[-1]))
    return graph


def test_what_is_computed_twice_is_computed_once_but_for_results():
    graph = fx.Graph()
    x = graph.placeholder("x")
    first, second = (graph.call_function(aten.tanh.default, (x,)) for _ in range(2))
    of_first, of_second = (graph.call_function(aten.mul.Tensor, (each, x)) for each in (first, second))
    results = [graph.call_function(aten.add.Tensor, (of_first, of_second)) for _ in range(2)]
    graph.output(tuple(results))
    _compute_once(graph)
    graph.lint()
    assert [node.target for node in graph.nodes if node.op == "call_function"] == [
        aten.tanh.default,
        aten.mul.Tensor,
        *[aten.add.Tensor] * 2,
    ]
    assert results[0].args == results[1].args == (of_first, of_first)


def test_numbers_that_are_equal_and_not_the_same_are_kept_apart():
    numbers = (1, 1.0, True, 0.0, -0.0, 0, float("nan"), float("nan"))
    graph = graph_of(*((aten.mul.Scalar, (number,), {}) for number in numbers), *[(aten.tanh.default, (), {})] * 2)
    _compute_once(graph)
    kept = [repr(node.args[1]) for node in graph.nodes if node.target is aten.mul.Scalar]
    assert kept == ["1", "1.0", "True", "0.0", "-0.0", "0", "nan"]


def test_options_and_lists_count():
    calls = [
        (aten.sum.dim_IntList, ([1],), {}),
        (aten.sum.dim_IntList, ([1], True), {}),
        (aten.sum.dim_IntList, ([1],), {"dtype": torch.float64}),
        (aten.sum.dim_IntList, ([1],), {"dtype": torch.float64}),
        (aten.sum.dim_IntList, ([0, 1],), {}),
        *[(aten.tanh.default, (), {})] * 2,
    ]
    graph = graph_of(*calls)
    _compute_once(graph)
    assert sum(node.target is aten.sum.dim_IntList for node in graph.nodes) == 4
