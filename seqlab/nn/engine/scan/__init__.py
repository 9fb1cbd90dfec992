"""The engine ``scan``: any ``GatedCell`` over a whole sequence as one operation with a gradient of its own.

The forward pass starts with one product of all inputs and the input weights. Then a native loop runs each step: one
recurrent product, then one pass over the pointwise part. The backward pass runs the adjoint of each step, which PyTorch
derives from ``pointwise``, and one recurrent product. It ends with one product for the gradient of the recurrent
weights. The step, its adjoint and the loop are C++ for a CPU. They are compiled once for a cell and its sizes, whatever
T and B, and kept on disk.

A compiled step is a snapshot. It is made from a :class:`~seqlab.nn.engine.capture.Capture`, whose guards are checked at
each call. What can't be watched or computed exactly is refused, with the reason, before anything is computed. Before
its first use, a step is compared with the cell itself (:mod:`~seqlab.nn.engine.scan.check`).

For the adjoint, each step and row saves the state and the result of each costly operation. For an LSTM that is 7 H
numbers: h and c, the four gates (in the place of their sums), and tanh(c).
"""

from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.scan.execution import run
from seqlab.nn.engine.scan.readiness import compiles, prepare, refusal

__all__ = ["UnsupportedError", "compiles", "prepare", "refusal", "run"]
