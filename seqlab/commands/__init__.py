"""The subcommands of ``seqlab``: a module each, and what they share. Only the command line (:mod:`seqlab.cli`) and the
front door in Python (``seqlab.train``, ``load`` and ``runs``) import this package.

``train`` has Hydra compose configurations; ``jobs`` carries out each of them, ``earlier_runs`` skips those that have
completed, and ``dry_run`` only plans them. ``carry_out`` starts a run, for ``resume`` and ``from_python`` as well.
"""
