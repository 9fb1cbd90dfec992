"""``seqlab report``: compares the runs below some folders by their ``run.json`` files.

``collect`` reads runs, ``summary`` groups them into a ``Report`` (``groups``), and the other modules write it as text,
pictures or TensorBoard's files. Heavy packages are imported at their first use: rich for a table, matplotlib for a
plot, tensorboard for learning curves. Torch is never imported.
"""

from seqlab.report.command import add_arguments, run
from seqlab.report.curves import Curves
from seqlab.report.document import write_into
from seqlab.report.formats import FORMATS
from seqlab.report.groups import Group, Report
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
