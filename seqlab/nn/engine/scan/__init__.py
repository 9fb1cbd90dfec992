"""Any cell of gates, over a whole sequence as one operation with its own gradient.

In between one product with all inputs and one product for the weights' gradient, a native loop runs each step: one
recurrent product, then one pass over the step's values; and backward one pass of the step's adjoint, which PyTorch's
own differentiation of ``pointwise`` gives, and one product. The step, its adjoint and the loop are C++ for a CPU,
compiled once for a cell and its sizes, whatever T and B, and kept on disk.

A compiled step is a snapshot. It rests on a :class:`~seqlab.nn.engine.capture.Capture`, which is asked at each call
whether all that the step was made from still holds; what can't be watched or kept exactly is refused with its reason,
before anything is computed; and before its first use a step is compared with the cell itself
(:mod:`~seqlab.nn.engine.scan.check`).

Kept for the adjoint, a step and row: the state, and each result of a costly operation (for an LSTM c and h, the four
gates, in the place of their sums, and tanh(c): 7 H numbers).
"""

from seqlab.nn.engine.errors import UnsupportedError
from seqlab.nn.engine.scan.execution import run
from seqlab.nn.engine.scan.readiness import compiles, prepare, refusal

__all__ = ["UnsupportedError", "compiles", "prepare", "refusal", "run"]
