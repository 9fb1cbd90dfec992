"""One run's life: its folder and record, its own process, and how it is read back.

- Its state and events: ``folder`` is the door; ``state``, ``events``, ``history``, ``claim``, ``journal``, ``record``,
  ``ownership`` and ``replacement`` are behind it.
- Its process: ``supervisor`` and ``start`` in the command, ``forks`` between the two, ``training_process`` and
  ``training`` in the process itself.
- What it was the result of: ``code``, ``inputs``, ``content`` and ``provenance``, compared by ``comparison``.
- Read back: ``load`` for the model, ``record`` for ``run.json``.

Only ``training`` with its helpers, ``load``, ``content``, ``weights`` and ``process`` need torch.
"""
