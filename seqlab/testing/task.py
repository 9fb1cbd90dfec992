"""The contract of a task as a test."""

import itertools
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from seqlab.testing.parts import part

if TYPE_CHECKING:
    import lightning.pytorch as pl

    from seqlab.tasks import SequenceTask

TaskFactory = Callable[[], "SequenceTask"]

_STEPS = 30  # of gradient descent, for the loss to fall


def check_task(
    task_factory: TaskFactory, data: "pl.LightningDataModule", *, batches: int = 3, rate: float = 0.02, seed: int = 0
) -> None:
    """Runs the contract of a :class:`~seqlab.tasks.SequenceTask` on the first batches of a data module, on the CPU.

    - construction: all that is learned is part of ``task.model``, which the optimizer is built from.
    - training_step: it returns ``loss``, ``nll`` and ``tokens`` (and ``steps``, where it reads more than it predicts),
      finite numbers; the first has a gradient, the others have none; each parameter of the model gets one.
    - evaluate: Lightning's validation and test log finite numbers, "val/..." and "test/...", the same again after other
      batches and with another seed, and change neither a weight nor the state that training carries.
    - examples: where the task shows some, they have a name, text and lines, the same for the same generator. Showing
      them changes neither weights, nor the mode of training, nor PyTorch's random state, nor the carried state.
    - resume: a second task with the same weights and the carried state goes on with the same loss.
    - learning: a few steps of Adam on the first batch lower its loss.

    A task that takes no gradient steps (``optimizer=None``) is asked for construction, evaluation and examples alone.

    Args:
        task_factory: makes the task, with the same sizes each time.
        data: gives the batches of "train", "val" and "test"; it is prepared and set up here.
        batches: how many of each.
        rate: of the steps of Adam.
        seed: of the weights. The global random state is left as it was.

    Raises:
        AssertionError: names the part of the contract and what was wrong.
    """
    if batches < 2:
        raise ValueError(f"batches: expected 2 or more, got {batches}")
    with warnings.catch_warnings(), _quiet_lightning():
        from seqlab.run.torch_settings import ignore_foreign_warnings

        ignore_foreign_warnings()
        data.prepare_data()
        data.setup("fit")
        train = list(itertools.islice(data.train_dataloader(), batches))
        if len(train) < 2:
            raise ValueError(f"data: expected 2 or more batches of training, got {len(train)}; make them smaller")

        def make() -> "SequenceTask":
            torch.manual_seed(seed)
            return task_factory()

        checks: dict[str, Callable[[], None]] = {
            "construction": lambda: _check_construction(make),
            "training_step": lambda: _check_training_step(make, train),
            "evaluate": lambda: _check_evaluate(make, train, data, batches),
            "examples": lambda: _check_examples(make, train, data),
            "resume": lambda: _check_resume(make, train),
            "learning": lambda: _check_learning(make, train[0], rate),
        }
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            for name, check in checks.items():
                with part(name, "task"):
                    check()


def _check_construction(make: TaskFactory) -> None:
    from seqlab.tasks import SequenceTask

    task = make()
    assert isinstance(task, SequenceTask), f"expected a SequenceTask, got {type(task).__name__}"
    model = {id(parameter) for parameter in task.model.parameters()}
    beside = [name for name, parameter in task.named_parameters() if id(parameter) not in model]
    assert not beside, f"{', '.join(beside)} is learned outside task.model, which the optimizer is built from"


def _check_training_step(make: TaskFactory, batches: Sequence[Any]) -> None:
    from seqlab.tasks import StepOutput

    returned = StepOutput.__required_keys__ | {"loss"}  # missing only where no gradient steps are taken
    task = make().train()
    if task.optimizer_factory is None:
        return
    for number, batch in enumerate(batches):
        answer: Any = task.training_step(batch, number)
        assert isinstance(answer, dict), f"expected a dict, got {type(answer).__name__}"
        assert answer.keys() >= returned, f"expected {sorted(returned)}, got {sorted(answer)}"
        unknown = sorted(answer.keys() - StepOutput.__annotations__.keys())
        assert not unknown, f"nobody reads {', '.join(unknown)}; expected loss, nll, tokens and at most steps"
        for name, value in answer.items():
            assert isinstance(value, Tensor) and value.dim() == 0, f"{name}: expected a tensor of one number"
            assert math.isfinite(value.item()), f"{name} is {value.item()} for batch {number}"
            assert name == "loss" or not value.requires_grad, f"{name}: expected a detached number"
        assert answer["tokens"].item() > 0, f"tokens is {answer['tokens'].item()} for batch {number}"
        assert answer["loss"].requires_grad, "the loss has no gradient"
        answer["loss"].backward()
    without = [name for name, each in task.model.named_parameters() if each.requires_grad and each.grad is None]
    assert not without, f"no gradient reaches {', '.join(without)}"


def _check_evaluate(make: TaskFactory, train: Sequence[Any], data: "pl.LightningDataModule", batches: int) -> None:
    task = make()
    if task.optimizer_factory is not None:
        task.training_step(train[0], 0)
    weights = {name: tensor.clone() for name, tensor in task.model.state_dict().items()}
    carried = _tensors(task.carried())
    for split in ("val", "test"):
        first = _evaluated(task, split, data, batches)
        _evaluated(task, split, data, 1)
        torch.manual_seed(1)
        second = _evaluated(task, split, data, batches)
        assert first, f"nothing is logged of {split}"
        for name, value in first.items():
            assert name.startswith(f"{split}/"), f"{name} is logged of {split}"
            assert math.isfinite(value), f"{name} is {value}"
            assert value == second[name], (
                f"{name} is {value}, and {second[name]} a second time: it has to be reset, and to draw nothing"
            )
    changed = [name for name, tensor in task.model.state_dict().items() if not torch.equal(tensor, weights[name])]
    assert not changed, f"evaluating changes {', '.join(changed)}"
    now = _tensors(task.carried())
    same = len(now) == len(carried) and all(map(torch.equal, now, carried))
    assert same, "evaluating changes the state that training carries"


def _evaluated(task: "SequenceTask", split: str, data: "pl.LightningDataModule", batches: int) -> dict[str, float]:
    import lightning.pytorch as pl

    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=batches,
        limit_test_batches=batches,
    )
    evaluate = trainer.validate if split == "val" else trainer.test
    return dict(evaluate(task, datamodule=data, verbose=False)[0])


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Holds back Lightning's notes on devices and limits, so that a check that passes prints nothing."""
    log = logging.getLogger("lightning.pytorch")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)


def _check_examples(make: TaskFactory, train: Sequence[Any], data: "pl.LightningDataModule") -> None:
    from seqlab.tasks import Examples

    task = make().train()
    if task.optimizer_factory is not None:
        task.training_step(train[0], 0)
    was_training, weights = task.model.training, _tensors(task.model.state_dict())
    carried = _tensors(task.carried())
    for split in ("validation", "test"):
        before = torch.get_rng_state()
        first, second = (task.examples(data, split, 2, torch.Generator().manual_seed(0)) for _ in range(2))
        if first is None:
            return
        assert isinstance(first, Examples), f"expected Examples or None, got {type(first).__name__}"
        assert first.name and first.text and first.lines, f"of {split}, name, text or lines are empty"
        assert first == second, f"those of {split} are others a second time: draw from the generator alone"
        assert torch.equal(torch.get_rng_state(), before), "they draw from PyTorch's random state, not the generator"
    assert task.model.training == was_training, "they leave the model in another mode of training"
    assert all(map(torch.equal, _tensors(task.model.state_dict()), weights)), "they change the weights"
    now = _tensors(task.carried())
    assert len(now) == len(carried) and all(map(torch.equal, now, carried)), "they change what training carries"


def _check_resume(make: TaskFactory, batches: Sequence[Any]) -> None:
    task, other = make().eval(), make().eval()
    if task.optimizer_factory is None:
        return
    task.training_step(batches[0], 0)
    other.load_state_dict(task.state_dict())
    other.carry_on(task.carried())
    one, two = (each.training_step(batches[1], 1)["loss"].item() for each in (task, other))
    assert one == two, f"the next loss is {one}, and {two} after a resume: carried() and carry_on() lose something"


def _check_learning(make: TaskFactory, batch: Any, rate: float) -> None:
    task = make().eval()  # without dropout: each step sees the same function
    if task.optimizer_factory is None:
        return
    optimizer = torch.optim.Adam(task.model.parameters(), lr=rate)
    losses = []
    for _ in range(_STEPS):
        optimizer.zero_grad()
        loss: Any = task.training_step(batch, 0)["loss"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    change = f"from {losses[0]:.4g} to {losses[-1]:.4g}"
    assert losses[-1] < losses[0], f"{_STEPS} steps of Adam take the loss {change}"


def _tensors(state: Any) -> list[Tensor]:
    return [each.clone() for each in tree_flatten(state)[0] if isinstance(each, Tensor)]
