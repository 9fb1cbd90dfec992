"""``seqlab bench engine``: every engine on every cell (``run``), what is measured (``cases``) and against what.

Contenders of one cell are timed in turn in one process; what only a fresh process shows is in ``process``.
"""
