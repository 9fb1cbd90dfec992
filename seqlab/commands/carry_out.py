"""The one path by which a run is carried out, whoever asks for it. Torch is not needed."""

from pathlib import Path
from typing import Any

from seqlab.config.trust import check_targets
from seqlab.devices import is_first_process, own_gpu
from seqlab.report import tensorboard as board
from seqlab.run.start import Start
from seqlab.run.supervisor import open_attempt


def carry_out(
    run_dir: Path,
    config: dict[str, Any],
    overrides: list[str],
    start: Start,
    *,
    overwrite: bool = False,
    **fields: Any,
) -> int:
    """Begins a run in its folder, or goes on with it, in a process of its own.

    Args:
        run_dir: the run's folder.
        config: its resolved configuration, checked.
        overrides: the command line's.
        start: how the process is started.
        overwrite: replaces a run that is there, once the new one completes.
        **fields: more of the record, such as ``parent``.

    Returns:
        The command's exit code: 0 if the run is complete.

    Raises:
        InputError: a target is not allowed, or the folder holds another run.
        OSError: the process could not be started, or the folder not be written.
    """
    check_targets(config)
    start.job_timeout = (config.get("launcher") or {}).get("job_timeout")
    wants_gpu = bool(config.get("runtime", {}).get("gpu_per_job", False))
    with own_gpu(wants_gpu, give_up=start.give_up or (lambda: False)):
        if not is_first_process():
            return start.carry_out_workers(run_dir)  # of a run on several machines, of which the first claims it
        with open_attempt(run_dir, config, overrides, overwrite=overwrite, **fields) as attempt:
            board.remove_row(attempt.claim.run_dir)
            try:
                return start.carry_out(attempt)
            except BaseException as error:
                if not isinstance(error, Exception) and not start.has_started:
                    attempt.note_stop()
                raise
