"""Which of a run's processes this is, before any of them has met another. Torch is not needed."""

import os

_RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")


def is_first_process() -> bool:
    """Whether this is the run's first process, or its only one.

    Lightning, torchrun and Slurm number the processes of a run in the environment; the first keeps its record.
    """
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)
