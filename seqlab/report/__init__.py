"""``seqlab report``: compare the runs below some folders, from their ``run.json`` files alone.

Nothing heavy is imported before it is needed: rich for a table, matplotlib for a plot, tensorboard for learning curves,
torch never.
"""

from seqlab.report.command import add_arguments, run
from seqlab.report.curves import Curves
from seqlab.report.formats import FORMATS
from seqlab.report.groups import Group, Report
from seqlab.report.into import write_into
from seqlab.report.output import compare, load_curves, render, save_curves, save_plot

__all__ = [
    "FORMATS",
    "Curves",
    "Group",
    "Report",
    "add_arguments",
    "compare",
    "load_curves",
    "render",
    "run",
    "save_curves",
    "save_plot",
    "write_into",
]
