"""seqlab: recurrent networks for PyTorch Lightning, composed by Hydra."""

from collections.abc import Iterable

TYPE_CHECKING = (
    False  # not imported: of `python -m seqlab.cli` the working folder, and a typing.py in it, come first yet
)
if TYPE_CHECKING:
    from seqlab.commands.from_python import TrainedRun

__version__ = "0.1.0"


def train(
    *overrides: str, allow: Iterable[str] = (), config_dir: str | None = None, process: bool = True
) -> "TrainedRun":
    """Trains one run, as ``seqlab train OVERRIDES`` does, and waits for it.

    The run trains in a process of its own, so that a script needs no ``if __name__ == "__main__"`` and nothing that the
    run does can end it. A cell of one's own has to stand in a file that can be imported.

    Args:
        *overrides: of the configuration, such as ``"experiment=hello"`` and ``"seed=2"``.
        allow: modules whose classes the configuration may name.
        config_dir: a folder with more configuration groups.
        process: whether it trains in a process of its own; else in this one, where a debugger can follow it.

    Returns:
        The run's folder (``run_dir``) and what ``run.json`` says of it (``record``).

    Raises:
        InputError: an override is wrong.
        RunFailedError: the run did not complete.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     overrides = ["experiment=hello", "trainer.max_epochs=1", "trainer=cpu", "logger=none"]
        ...     run = train(*overrides, f"hydra.run.dir={folder}/run")  # doctest: +ELLIPSIS
        train: ...
        >>> run.record["status"]
        'completed'
    """
    from seqlab.commands.from_python import train as train_one

    return train_one(overrides, allowed=allow, config_dir=config_dir, process=process)
