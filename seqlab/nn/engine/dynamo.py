"""PyTorch's Dynamo: translates a Python function to a graph, with guards over what the function read.

This module alone names private parts of Dynamo. It refuses what guards do not see and what cannot be done once for all
steps: side effects of Python, decisions by the batch size, code that reads the environment or files.
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
from seqlab.nn.engine.lookups import Lookups, lookups_of

_SEQLAB = Path(__file__).parents[2]
_STANDARD_LIBRARY = Path(sysconfig.get_paths()["stdlib"])
_PURE = frozenset(  # modules of the standard library whose Python code reads neither files nor the environment
    ("_collections_abc", "abc", "collections", "contextlib", "copy", "dataclasses", "enum", "fractions", "functools")
).union(("inspect", "itertools", "math", "numbers", "operator", "re", "string", "types", "typing", "weakref"))
_ENVIRONMENT = frozenset(("environ", "getenv"))
_GLOBAL_HOOKS = (  # no guard watches them
    *("_global_forward_pre_hooks", "_global_forward_hooks"),
    *("_global_backward_pre_hooks", "_global_backward_hooks"),
)


@dataclass(frozen=True)
class Translation:
    """A function that Dynamo has run symbolically.

    Attributes:
        graph: the PyTorch operations of the function.
        sources: the expression of each input of the graph, over ``L`` (the arguments) and ``G`` (the globals).
        scope: the values of ``G``.
        holds: takes the arguments; whether all that the function read is unchanged.
        code: the code objects that were run.
        classes: the classes of the objects that are guarded.
        lookups: which names there were, for look-ups that failed.
    """

    graph: fx.GraphModule
    sources: tuple[str, ...]
    scope: dict[str, Any]
    holds: Callable[[dict[str, Any]], bool]
    code: tuple[types.CodeType, ...]
    classes: tuple[type, ...]
    lookups: Lookups


def translate(function: types.FunctionType, arguments: dict[str, Any], constants: bool) -> Translation:
    """Translate ``function(**arguments)`` to a graph with guards.

    Args:
        function: the function.
        arguments: its arguments, by name and in order.
        constants: whether Python numbers are constants of the graph; otherwise those that change are inputs.

    Raises:
        UnsupportedError: the function does more than compute, or Dynamo can't translate or watch what it does.
    """
    from torch._dynamo import config, convert_frame
    from torch._dynamo.guards import _get_closure_vars
    from torch._dynamo.symbolic_convert import InstructionTranslator
    from torch._dynamo.utils import dynamo_timed, get_metrics_context
    from torch._dynamo.variables.torch_function import torch_function_mode_stack_state_mgr
    from torch._guards import CompileContext, compile_context

    parts: dict[str, Any] = {}

    def receive(graph: fx.GraphModule, examples: list[Any]) -> fx.GraphModule:
        parts["effect"] = _side_effect(InstructionTranslator.current_tx().output.side_effects)
        parts["graph"] = graph
        inputs = [node.meta.get("grapharg") for node in graph.graph.nodes if node.op == "placeholder"]
        parts["sources"] = [None if each is None else each.source.name for each in inputs]
        return graph

    options = config.patch(
        skip_nnmodule_hook_guards=False,
        specialize_float=constants,
        allow_unspec_int_on_nn_module=not constants,
        automatic_dynamic_shapes=True,
        automatic_dynamic_local_pgo=False,
        fake_tensor_cache_enabled=False,  # it takes longer to ask than it spares: each capture has symbols of its own
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
            capture = output.graph_capture_output(frame.argdefs, frame.kwdefaults)
            if "graph" not in parts:
                raise UnsupportedError("it computes nothing from its arguments")
            if parts["effect"] is not None:
                raise UnsupportedError(parts["effect"])
            # The caller checks that the guards hold. PyTorch's own check also times them, which takes 30 ms.
            capture.output_graph.skip_guards_check = True
            manager = capture.build_guards(function.__code__).guard_manager
        except UnsupportedError:
            raise
        except Exception as error:
            raise UnsupportedError(_reason(error)) from None
    _refuse_branches(capture.output_graph.shape_env)
    codes = tuple(capture.traced_code)
    _refuse_outside(codes)
    if None in parts["sources"]:
        raise UnsupportedError("its graph has an input of unknown origin")
    guards = capture.output_graph._guards
    names = {**_get_closure_vars(), "G": capture.f_globals}
    own = [code for code in codes if not is_torch_code(code) and _SEQLAB not in Path(code.co_filename).parents]
    lookups = lookups_of(_sources(guards), arguments, names, own)
    classes = tuple(_guarded_classes(guards))
    return Translation(
        parts["graph"], tuple(parts["sources"]), capture.f_globals, manager.check, codes, classes, lookups
    )


def _sources(guards: Any) -> Iterator[str]:
    """The expressions of all that is guarded, and of what each is read from."""
    for guard in guards:
        source = guard.originating_source
        while source is not None:
            yield source.name
            source = getattr(source, "base", None)


def _guarded_classes(guards: Any) -> Iterator[type]:
    for guard in guards:
        for reference in (guard.guarded_class_weakref, guard.obj_weakref):
            guarded = reference() if callable(reference) else reference
            if isinstance(guarded, type):
                yield guarded


@contextmanager
def _own_globals() -> Iterator[None]:
    """Within it, Dynamo reads each function's own globals.

    Dynamo looks a function's module up by name, as that name was first imported. That is another module where one was
    imported again, or where two modules have the same name.
    """
    from torch._dynamo import symbolic_convert
    from torch._dynamo.source import DictGetItemSource, GlobalSource
    from torch._dynamo.variables.builder import VariableBuilder

    translator = symbolic_convert.InliningInstructionTranslator
    import_module, shipped = symbolic_convert._import_module, translator.get_globals_source_and_value

    def current_module(name: str) -> types.ModuleType:
        return sys.modules.get(name) or importlib.import_module(name)

    def globals_of(self: Any, name: str) -> tuple[Any, Any, Any]:
        module = sys.modules.get(self.f_globals.get("__name__", ""))
        if module is not None and vars(module) is self.f_globals:
            return typed(tuple[Any, Any, Any], shipped(self, name))
        own = GlobalSource(self.output.install_global_by_id("___unnamed_scope", self.f_globals))
        return self.f_globals, VariableBuilder(self, own)(self.f_globals), DictGetItemSource(own, name)

    patched = typed(Any, translator)
    symbolic_convert._import_module, patched.get_globals_source_and_value = typed(Any, current_module), globals_of
    try:
        yield
    finally:
        symbolic_convert._import_module, patched.get_globals_source_and_value = import_module, shipped


def _side_effect(effects: Any) -> str | None:
    """The first side effect of the Python code, which every step would have to repeat; None if there is none."""
    for variable in effects._get_modified_vars():
        if "New" in type(variable.mutation_type).__name__:
            continue  # an object that the method itself has made
        source = getattr(variable, "source", None)
        where = "a global or a closure" if source is None else _readable(source.name)
        attributes = [str(name) for name in effects.store_attr_mutations.get(variable, ())]
        where = re.sub(r"__import_\w+\.", "", f"{where}.{attributes[0]}" if attributes else where)
        return f"it changes {where} as it runs"
    if effects.tensor_hooks:
        return "it registers a hook on one of its arguments"
    return "it saves tensors for a backward pass of its own" if effects.save_for_backward else None


def _refuse_outside(codes: Sequence[types.CodeType]) -> None:
    """Refuse Python code that reads what no guard watches: the environment, files, threads."""
    for code in codes:
        names = _ENVIRONMENT.intersection(code.co_names)
        if names and not is_torch_code(code):
            raise UnsupportedError(f"it reads {min(names)}, which can't be watched")
        path = Path(code.co_filename)
        if _STANDARD_LIBRARY in path.parents and "site-packages" not in path.parts:
            module = path.relative_to(_STANDARD_LIBRARY).parts[0].removesuffix(".py")
            if module not in _PURE:
                raise UnsupportedError(
                    f"it calls {module}.{code.co_name} of the standard library, which can't be watched"
                )


def _refuse_branches(shape_env: Any) -> None:
    """Refuse a decision by the batch size or by the number of steps: example tensors of one size show one branch."""
    rows, steps = set(), set()
    for symbol, sources in shape_env.var_to_sources.items():
        if any(".size()[0]" in source.name for source in sources):
            rows.add(symbol)
        elif any(source.name.startswith("L['rows']") for source in sources):
            steps.add(symbol)
    for guard in shape_env.guards:
        equal = getattr(guard.expr, "rel_op", "") == "==" and set(guard.expr.args) <= rows
        # By contract, all tensors of a step have the same number of rows.
        if rows.intersection(guard.expr.free_symbols) and not equal:
            raise UnsupportedError("what it does depends on the batch size")
        if steps.intersection(guard.expr.free_symbols):
            raise UnsupportedError("what it does depends on the number of steps")


def is_torch_code(code: types.CodeType) -> bool:
    """Whether the code is PyTorch's own."""
    return Path(torch.__file__).parent in Path(code.co_filename).parents


def _readable(source: str) -> str:
    """A source of Dynamo's, as a user would write it: ``self.norm.weight``."""
    plain = re.sub(r"__import_\w+'\]\.", "", source.replace("L['cell']", "self"))
    for kind in ("_parameters", "_buffers", "_modules"):
        plain = plain.replace(f".{kind}['", ".").replace("']", "") if f".{kind}['" in plain else plain
    return plain.replace("G['", "the global ").replace("']", "") if plain.startswith("G['") else plain


def _reason(error: Exception) -> str:
    """The first line and the explanation of an error of Dynamo's, as one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0].rstrip(".") if lines else type(error).__name__
    explanation = next(
        (line.removeprefix("Explanation:").strip() for line in lines if line.startswith("Explanation:")), ""
    )
    return f"it can't be followed ({first}{': ' + explanation if explanation else ''})"


_TRACING = threading.RLock()  # PyTorch's tracers change modes, warnings and random states of the whole process
_traces: list[None] = []  # one entry for each trace of this engine that is under way


@contextmanager
def quiet() -> Iterator[None]:
    """Within it, PyTorch's tracers may run: random states are restored, and warnings and log lines are suppressed.

    One thread at a time: AOTAutograd turns anomaly detection on while it traces, and restores the mode afterwards.
    """
    import numpy as np

    with _TRACING:
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()
        loggers = [
            logging.getLogger(name) for name in list(logging.root.manager.loggerDict) if name.startswith("torch.")
        ]
        enabled = [each for each in loggers if not each.disabled]
        # Its handler leaves at the first record where nobody asked for traces. Until then, each is made.
        structured = logging.getLogger("torch.__trace")
        handlers, structured.handlers = structured.handlers, []
        _traces.append(None)
        try:
            # A caller's hooks on saved tensors, as of a checkpoint, must not see the tensors that a trace saves.
            allowed = torch._C._autograd._saved_tensors_hooks_is_enabled()  # type: ignore[attr-defined]
            hooks = torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor)
            with warnings.catch_warnings(), hooks if allowed else nullcontext():
                warnings.simplefilter("ignore")
                for each in enabled:
                    each.disabled = True
                yield
        finally:
            _traces.pop()
            structured.handlers = handlers
            for each in enabled:
                each.disabled = False
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.set_rng_state(states[2])


def mode_refusal() -> str | None:
    """Why PyTorch's current mode rules out a capture and the fast engines; None if it does not."""
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return "a transform of torch.func is active"
    if torch.autograd.forward_ad._current_level >= 0:
        return "forward-mode differentiation is on"
    if torch.is_anomaly_enabled() and not _traces:
        return "anomaly detection is on, which needs the user's line of each operation"
    if any(getattr(torch.nn.modules.module, name) for name in _GLOBAL_HOOKS):
        return "hooks on all modules are on"
    if torch._C._len_torch_dispatch_stack():
        return "a TorchDispatchMode is on"
    for place in range(torch._C._len_torch_function_stack()):
        if not isinstance(torch._C._get_function_stack_at(place), DeviceContext):
            return "a TorchFunctionMode is on"
    return None


__all__ = ["Translation", "is_torch_code", "mode_refusal", "quiet", "translate"]
