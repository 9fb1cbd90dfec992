"""What a checkpoint may hold: what comes back from it."""

from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import Path

import numpy as np
import pytest
import torch

from seqlab.callbacks import AtomicCheckpointIO, RunCheckpoint
from seqlab.errors import InputError
from seqlab.run.checkpoints import load_checkpoint


def saved(path: Path, state: object) -> Path:
    AtomicCheckpointIO().save_checkpoint({"callbacks": {"Mine": {"seen": [0, state]}}}, path)
    return path


@pytest.mark.parametrize(
    "state",
    [
        *(1, 0.5, None, "text", {1, 2}, (1, "a"), torch.Size([3]), torch.float64, Counter("aab")),
        *(OrderedDict(a=1), torch.nn.Parameter(torch.ones(2)), np.random.default_rng(0).bit_generator.state),
    ],
    ids=repr,
)
def test_what_is_saved_comes_back(tmp_path, state):
    found = load_checkpoint(saved(tmp_path / "last.ckpt", state))["callbacks"]["Mine"]["seen"][1]
    assert torch.equal(found, state) if isinstance(state, torch.Tensor) else found == state


@pytest.mark.parametrize(
    "state",
    [np.float64(1), np.zeros(2), deque([1]), defaultdict(list), Path("x"), range(3), {np.int64(3): 1}],
    ids=repr,
)
def test_what_would_not_is_told_before_it_is_written(tmp_path, state):
    last = saved(tmp_path / "last.ckpt", 1)
    before = last.read_bytes()
    with pytest.raises(InputError, match=r"in callbacks\['Mine'\]\['seen'\]\[1\].* would not come back") as told:
        saved(last, state)
    assert type(state).__name__ in str(told.value) or "int64" in str(told.value)
    assert last.read_bytes() == before and [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_checkpoint_without_the_runs_metrics_is_refused_in_a_line():
    checkpoint = {"run": {"best_score": None, "best_position": None, "position": 3, "stopped": False}}
    with pytest.raises(InputError, match=r"checkpoint: expected the run's metrics .* another folder"):
        RunCheckpoint().on_load_checkpoint(None, None, checkpoint)
