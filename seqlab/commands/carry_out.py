"""The one way to carry out a run, for ``seqlab train``, ``seqlab resume`` and ``seqlab.train``. Torch is not needed."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from seqlab.config.trust import check_targets
from seqlab.devices import is_first_process, own_gpu
from seqlab.report import tensorboard as board
from seqlab.run.signals import ignoring_signals
from seqlab.run.start import Start
from seqlab.run.supervisor import open_attempt


def carry_out(
    run_dir: Path,
    config: dict[str, Any],
    overrides: list[str],
    start: Start,
    *,
    overwrite: bool = False,
    notice: str | None = None,
    **fields: Any,
) -> int:
    """Begins a run in its folder, or goes on with it, in a process of its own.

    Args:
        run_dir: the run's folder.
        config: the run's resolved and checked configuration.
        overrides: of the command line, for the record.
        start: how the process is started.
        overwrite: whether the new run replaces one that the folder holds, once the new one completes.
        notice: a line to print once nothing refuses the run and its folder is claimed.
        **fields: further fields of the record, such as ``parent``.

    Returns:
        The command's exit code: 0 if the run is complete.

    Raises:
        InputError: a target is not allowed, or the folder holds another run.
        OSError: the process could not be started, or the folder could not be written.
    """
    check_targets(config)
    start.job_timeout = (config.get("launcher") or {}).get("job_timeout")
    gpu_per_job = bool(config.get("runtime", {}).get("gpu_per_job", False))
    with own_gpu(start.give_up or (lambda: False)) if gpu_per_job else nullcontext():
        if not is_first_process():
            return start.carry_out_workers(run_dir)  # a run on several machines, which the first machine claims
        with open_attempt(run_dir, config, overrides, overwrite=overwrite, **fields) as attempt:
            board.remove_row(attempt.claim.run_dir)
            try:
                if notice is not None:
                    print(notice, flush=True)
                return start.carry_out(attempt)
            except BaseException as error:
                if not isinstance(error, Exception) and not start.has_started:
                    with ignoring_signals():
                        attempt.note_stop()
                raise
