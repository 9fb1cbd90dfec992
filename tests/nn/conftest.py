"""What tests of engines share."""

import copy
import gc
import shutil
import threading

import pytest
import torch
from torch import Tensor, fx

from seqlab.nn.engine.scan import trace


@pytest.fixture(scope="session", autouse=True)
def frozen():
    """What was imported is not looked through at each collection."""
    gc.freeze()


@pytest.fixture(scope="session")
def quick_flags(quick_flags) -> tuple[str, ...]:
    """The same, with a linker that takes a third of the time, where there is one: these tests compile 300 steps."""
    return (*quick_flags, "-fuse-ld=gold") if shutil.which("ld.gold") else quick_flags


@pytest.fixture(scope="module", autouse=True)
def traces():
    """Steps that are equal in graph, sizes and modes are traced once a process: tracing is a third of a first call.

    Each is captured, lowered and compared with its cell as ever; and no trace is kept of a graph that holds more than
    calls of PyTorch, such as a function with a gradient of its own.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace, "_joint", _joint_of_equal_step)
        yield


@pytest.fixture
def traced_anew(monkeypatch):
    """For what is about the time while PyTorch traces: threads, modes, and what is replaced in PyTorch itself."""
    monkeypatch.setattr(trace, "_joint", _joint)


_joint = trace._joint
_joints: dict[object, fx.GraphModule] = {}
_lock = threading.Lock()


def _joint_of_equal_step(step, sizes, extras, dtype, rows, lines=False):
    nodes = list(step.body.graph.nodes)
    if lines or any(node.op not in ("placeholder", "output", "call_function", "call_method") for node in nodes):
        return _joint(step, sizes, extras, dtype, rows, lines)
    key = (
        *(step.body.code, tuple(sizes), dtype, rows, torch.get_default_dtype(), torch.is_anomaly_enabled()),
        *(torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")),
        torch._C._len_torch_function_stack(),
        tuple((tuple(extra.shape), extra.dtype, extra.requires_grad) for extra in extras),
        tuple(getattr(Tensor, node.target, None) for node in nodes if node.op == "call_method"),
        tuple(node.target for node in nodes if node.op == "call_function"),
    )
    with _lock:
        kept = _joints.get(key)
    if kept is None:
        joint = _joint(step, sizes, extras, dtype, rows)
        with _lock:
            _joints[key] = fx.GraphModule(joint, copy.deepcopy(joint.graph))
        return joint
    return fx.GraphModule(kept, copy.deepcopy(kept.graph))
