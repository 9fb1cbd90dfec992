"""Text to ids and back: one interface (``base``), a module a unit, and the choice among them (``choice``).

A new unit is a subclass of ``Vocabulary`` with a branch in ``load_vocabulary``. Saved files have the format of
`tokenizers`. Saved runs hold such files: what was written must be read as before.
"""
