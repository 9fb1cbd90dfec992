"""One run's life: its folder and record, its own process, and how it is read back.

:mod:`seqlab.run.training` and :mod:`seqlab.run.load` need torch, the others do not.
"""
