"""``seqlab bench engine``: every engine on every cell.

``run`` carries out the benchmark. ``cases`` and ``scaling`` say what is measured, ``contenders`` and ``products`` what
takes part, ``timing`` how it is timed: the contenders of a case take turns in one process. ``process`` measures what
only a fresh process shows: first calls and peak memory.
"""
