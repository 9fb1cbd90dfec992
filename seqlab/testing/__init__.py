"""The contracts of a cell (``check_cell``) and of a task (``check_task``), as tests of what is one's own."""

from seqlab.testing.cell import check_cell
from seqlab.testing.task import check_task

__all__ = ["check_cell", "check_task"]
