"""PyTorch's Dynamo: a function of Python as a graph, and guards over what it read.

All that is not public of Dynamo is named here and nowhere else. What its guards do not see, and what can't be done once
for all steps, is refused: side effects of Python, decisions by the batch's size, code that reads the world outside.
"""

import importlib
import logging
import random
import re
import sys
import sysconfig
import threading
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import cast as typed

import torch
from torch import fx
from torch.utils._device import DeviceContext

from seqlab.nn.engine.errors import UnsupportedError

_STANDARD_LIBRARY = Path(sysconfig.get_paths()["stdlib"])
_PURE = frozenset(  # modules of the standard library whose Python code reads nothing of the world outside
    ("_collections_abc", "abc", "collections", "contextlib", "copy", "dataclasses", "enum", "fractions", "functools")
).union(("inspect", "itertools", "math", "numbers", "operator", "re", "string", "types", "typing", "weakref"))
_OUTSIDE = frozenset(("environ", "getenv"))
_HOOKS_OF_ALL = (  # what no guard watches
    *("_global_forward_pre_hooks", "_global_forward_hooks"),
    *("_global_backward_pre_hooks", "_global_backward_hooks"),
)


@dataclass(frozen=True)
class Followed:
    """What Dynamo tells of a function that it has run symbolically.

    Attributes:
        graph: the PyTorch operations that it performs.
        sources: for each input of the graph, the expression over ``L`` (the arguments) and ``G`` that gives it.
        scope: what ``G`` stands for.
        holds: whether all that it read is as it was, given the arguments.
        code: the code objects that were run.
        classes: those of the objects that it asked.
    """

    graph: fx.GraphModule
    sources: tuple[str, ...]
    scope: dict[str, Any]
    holds: Callable[[dict[str, Any]], bool]
    code: tuple[types.CodeType, ...]
    classes: tuple[type, ...]


def follow(function: types.FunctionType, arguments: dict[str, Any], constants: bool) -> Followed:
    """``function(**arguments)`` as a graph; with ``constants``, numbers that change are not inputs of it.

    Raises:
        UnsupportedError: it does more than compute, or what it does can't be known or watched.
    """
    from torch._dynamo import config, convert_frame
    from torch._dynamo.symbolic_convert import InstructionTranslator
    from torch._dynamo.utils import dynamo_timed, get_metrics_context
    from torch._dynamo.variables.torch_function import torch_function_mode_stack_state_mgr
    from torch._guards import CompileContext, compile_context

    found: dict[str, Any] = {}

    def receive(graph: fx.GraphModule, examples: list[Any]) -> fx.GraphModule:
        found["effect"] = _side_effect(InstructionTranslator.current_tx().output.side_effects)
        found["graph"] = graph
        inputs = [node.meta.get("grapharg") for node in graph.graph.nodes if node.op == "placeholder"]
        found["sources"] = [None if each is None else each.source.name for each in inputs]
        return graph

    options = config.patch(
        skip_nnmodule_hook_guards=False,
        specialize_float=constants,
        allow_unspec_int_on_nn_module=not constants,
        automatic_dynamic_shapes=True,
        automatic_dynamic_local_pgo=False,
    )
    with quiet(), options, _own_globals(), ExitStack() as stack:
        stack.enter_context(get_metrics_context())
        stack.enter_context(dynamo_timed("seqlab"))
        stack.enter_context(torch_function_mode_stack_state_mgr)
        stack.enter_context(compile_context(CompileContext(convert_frame.get_compile_id({}))))
        try:
            frame = convert_frame._get_frame(function, tuple(arguments.values()))
            output = convert_frame.compile_frame(
                frame.code,
                frame.globals,
                frame.locals,
                frame.builtins,
                frame.closure,
                compiler_fn=receive,
                one_graph=True,
                restart_reasons=set(),
            )
            result = output.graph_capture_output(frame.argdefs, frame.kwdefaults)
            if "graph" not in found:
                raise UnsupportedError("it computes nothing from what it is given")
            if found["effect"] is not None:
                raise UnsupportedError(found["effect"])
            # Whoever asked for the capture tries its guards; PyTorch's own trial of their speed takes 30 ms.
            result.output_graph.skip_guards_check = True
            manager = result.build_guards(function.__code__).guard_manager
        except UnsupportedError:
            raise
        except Exception as error:
            raise UnsupportedError(_reason(error)) from None
    _refuse_branches(result.output_graph.shape_env)
    code = tuple(result.traced_code)
    _refuse_outside(code)
    if None in found["sources"]:
        raise UnsupportedError("it has an input whose origin is not known")
    classes = tuple(_asked(result.output_graph._guards))
    return Followed(found["graph"], tuple(found["sources"]), result.f_globals, manager.check, code, classes)


def _asked(guards: Any) -> Iterator[type]:
    for guard in guards:
        for reference in (guard.guarded_class_weakref, guard.obj_weakref):
            each = reference() if callable(reference) else reference
            if isinstance(each, type):
                yield each


@contextmanager
def _own_globals() -> Iterator[None]:
    """Lets each function read the globals that are its own.

    Dynamo takes those of the module that has its module's name, as that name was first imported: another one's where a
    module was imported anew, or where two have one name.
    """
    from torch._dynamo import symbolic_convert
    from torch._dynamo.source import DictGetItemSource, GlobalSource
    from torch._dynamo.variables.builder import VariableBuilder

    translator = symbolic_convert.InliningInstructionTranslator
    import_module, found = symbolic_convert._import_module, translator.get_globals_source_and_value

    def now(name: str) -> types.ModuleType:
        return sys.modules.get(name) or importlib.import_module(name)

    def globals_of(self: Any, name: str) -> tuple[Any, Any, Any]:
        module = sys.modules.get(self.f_globals.get("__name__", ""))
        if module is not None and vars(module) is self.f_globals:
            return typed(tuple[Any, Any, Any], found(self, name))
        own = GlobalSource(self.output.install_global_by_id("___unnamed_scope", self.f_globals))
        return self.f_globals, VariableBuilder(self, own)(self.f_globals), DictGetItemSource(own, name)

    patched = typed(Any, translator)
    symbolic_convert._import_module, patched.get_globals_source_and_value = typed(Any, now), globals_of
    try:
        yield
    finally:
        symbolic_convert._import_module, patched.get_globals_source_and_value = import_module, found


def _side_effect(effects: Any) -> str | None:
    """What Python would do beside computing, which each step would have to do again; None if nothing."""
    for each in effects._get_modified_vars():
        if "New" in type(each.mutation_type).__name__:
            continue  # an object that the method has made itself
        source = getattr(each, "source", None)
        where = "a global or a closure" if source is None else _readable(source.name)
        attributes = [str(name) for name in effects.store_attr_mutations.get(each, ())]
        where = re.sub(r"__import_\w+\.", "", f"{where}.{attributes[0]}" if attributes else where)
        return f"it changes {where} as it runs"
    if effects.tensor_hooks:
        return "it registers a hook on a tensor that it is given"
    return "it keeps tensors for a backward pass of its own" if effects.save_for_backward else None


def _refuse_outside(code: Sequence[types.CodeType]) -> None:
    """Python code that reads what no guard watches: the environment, files, threads."""
    for each in code:
        outside = _OUTSIDE.intersection(each.co_names)
        if outside and not of_torch(each):
            raise UnsupportedError(f"it reads {min(outside)}, which can't be watched")
        path = Path(each.co_filename)
        if _STANDARD_LIBRARY in path.parents and "site-packages" not in path.parts:
            module = path.relative_to(_STANDARD_LIBRARY).parts[0].removesuffix(".py")
            if module not in _PURE:
                raise UnsupportedError(
                    f"it calls {module}.{each.co_name} of the standard library, which can't be watched"
                )


def _refuse_branches(shape_env: Any) -> None:
    """What a step decides by the batch's size, or a projection by the number of steps, no guard over examples of one
    size tells."""
    rows, steps = set(), set()
    for symbol, sources in shape_env.var_to_sources.items():
        if any(".size()[0]" in source.name for source in sources):
            rows.add(symbol)
        elif any(source.name.startswith("L['rows']") for source in sources):
            steps.add(symbol)
    for guard in shape_env.guards:
        equal = getattr(guard.expr, "rel_op", "") == "==" and set(guard.expr.args) <= rows
        # That two tensors of a step have equally many rows is so by contract.
        if rows.intersection(guard.expr.free_symbols) and not equal:
            raise UnsupportedError("what it does depends on the batch's size")
        if steps.intersection(guard.expr.free_symbols):
            raise UnsupportedError("what it does depends on the number of steps")


def of_torch(code: types.CodeType) -> bool:
    """Whether code is PyTorch's own."""
    return Path(torch.__file__).parent in Path(code.co_filename).parents


def _readable(source: str) -> str:
    """A source of Dynamo's as its user would write it."""
    plain = re.sub(r"__import_\w+'\]\.", "", source.replace("L['cell']", "self"))
    for kind in ("_parameters", "_buffers", "_modules"):
        plain = plain.replace(f".{kind}['", ".").replace("']", "") if f".{kind}['" in plain else plain
    return plain.replace("G['", "the global ").replace("']", "") if plain.startswith("G['") else plain


def _reason(error: Exception) -> str:
    """One line of what Dynamo could not follow, with the user's own line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0].rstrip(".") if lines else type(error).__name__
    explanation = next(
        (line.removeprefix("Explanation:").strip() for line in lines if line.startswith("Explanation:")), ""
    )
    return f"it can't be followed ({first}{': ' + explanation if explanation else ''})"


_ONE = threading.RLock()  # what PyTorch's tracers switch, warnings and random states are the process's own
_at_work: list[None] = []  # as long as how deep this engine is in its own tracing


@contextmanager
def quiet() -> Iterator[None]:
    """Leaves random states as they are, and says nothing of what PyTorch meets; a caller's hooks see nothing of it.

    One thread at a time: AOTAutograd turns anomaly detection on while it traces, and puts back what it found.
    """
    import numpy as np

    with _ONE:
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()
        loggers = [
            logging.getLogger(name) for name in list(logging.root.manager.loggerDict) if name.startswith("torch.")
        ]
        loud = [each for each in loggers if not each.disabled]
        _at_work.append(None)
        try:
            # The caller's own hooks on saved tensors, as a checkpoint has, are not to see what is saved meanwhile.
            allowed = torch._C._autograd._saved_tensors_hooks_is_enabled()  # type: ignore[attr-defined]
            hooks = torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor)
            with warnings.catch_warnings(), hooks if allowed else nullcontext():
                warnings.simplefilter("ignore")
                for each in loud:
                    each.disabled = True
                yield
        finally:
            _at_work.pop()
            for each in loud:
                each.disabled = False
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.set_rng_state(states[2])


def untraceable() -> str | None:
    """Why nothing can be captured, or run by a fast engine, in the mode that PyTorch is in now; None if it can."""
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return "a transform of torch.func is at work"
    if torch.autograd.forward_ad._current_level >= 0:
        return "forward-mode differentiation is on"
    if torch.is_anomaly_enabled() and not _at_work:
        return "anomaly detection is on, which wants each step's own line"
    if any(getattr(torch.nn.modules.module, name) for name in _HOOKS_OF_ALL):
        return "hooks on all modules are on"
    if torch._C._len_torch_dispatch_stack():
        return "a mode that sees each operation is on"
    for place in range(torch._C._len_torch_function_stack()):
        if not isinstance(torch._C._get_function_stack_at(place), DeviceContext):
            return "a mode that sees each function is on"
    return None


__all__ = ["Followed", "follow", "of_torch", "quiet", "untraceable"]
