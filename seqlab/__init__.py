"""seqlab: recurrent networks for PyTorch Lightning, composed by Hydra."""

from collections.abc import Iterable

# Not imported from typing: in `python -m seqlab.cli` the working folder, and a typing.py in it, still come first.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import os

    import pandas as pd

    from seqlab.commands.run import Run

__version__ = "0.1.0"


def train(
    *overrides: str,
    cell: type | None = None,
    allow: Iterable[str] = (),
    config_dir: "str | os.PathLike[str] | None" = None,
    process: bool = True,
) -> "Run":
    """Trains one run, as ``seqlab train OVERRIDES`` does, and waits until it ends.

    The run has a process of its own: a script needs no ``if __name__ == "__main__"``, and a crash of the run does not
    end the script.

    Args:
        *overrides: overrides of the configuration, such as ``"experiment=hello"`` and ``"seed=2"``. A sweep and
            ``dry_run=true`` are refused: they are the command's.
        cell: the class of a recurrent cell, instead of ``model/cell``; its module must be a file that can be imported.
        allow: modules whose classes the configuration may name, beside those that ``seqlab.toml`` of the working
            folder allows.
        config_dir: a folder with more configuration groups, in place of that of ``seqlab.toml``.
        process: whether the run has a process of its own; false trains in this process, for a debugger, one run at a
            time. The random states and PyTorch's settings are then put back.

    Returns:
        The run, with its folder, its record and its model; see :class:`seqlab.commands.run.Run`.

    Raises:
        InputError: an argument, an override, the data or a file is wrong; or the configuration asks for a sweep or a
            dry run.
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

    return train_one(overrides, cell=cell, allowed=allow, config_dir=config_dir, process=process)


def load(run_dir: "str | os.PathLike[str]", *, allow: Iterable[str] = ()) -> "Run":
    """Reads a run back from its folder.

    Args:
        run_dir: the run's folder.
        allow: your own modules whose classes the run's configuration may name, beside those that ``seqlab.toml`` of
            the working folder allows. They are found in that folder, also if the working folder changes later.

    Returns:
        The run, with ``config``, ``metrics``, ``model``, ``task`` and ``vocabulary``. Its methods ``generate``,
        ``complete``, ``predict``, ``evaluate`` and ``export`` do what the commands of these names do.

    Raises:
        InputError: the folder holds no run, or ``allow`` is no list of names.

    Example:
        >>> import contextlib, io, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     overrides = ["experiment=hello", "trainer=cpu", "logger=none", f"hydra.run.dir={folder}/run"]
        ...     with contextlib.redirect_stdout(io.StringIO()):
        ...         run = train(*overrides, process=False)
        ...     load(f"{folder}/run").generate("h", 4, greedy=True)
        ['hello']
    """
    from seqlab.commands.run import load as load_one

    return load_one(run_dir, allowed=allow)


def runs(*folders: "str | os.PathLike[str]") -> "pd.DataFrame":
    """A table of all runs below some folders, with one row for each run.

    Args:
        *folders: folders of runs, such as ``"runs/kjv_char_lstm"``; none: the folder of all runs, ``runs`` or that of
            the project file.

    Returns:
        A data frame with the columns ``run_dir`` (an absolute path), ``status``, ``error``, ``num_parameters``,
        ``tokens_per_second`` (frames, where the data are numbers), ``train_seconds``, ``peak_memory_bytes``, then the
        metrics (``test/loss``), then the configuration keys (``model.num_layers``); the keys in which the runs differ
        come first.

    Raises:
        InputError: a folder does not exist, or holds no run.
    """
    from seqlab.commands.run import runs as read_runs

    return read_runs(folders)
