"""Text to ids and back: one interface (``base``), a module a unit, and the choice among them (``choice``).

A new unit is a subclass of ``Vocabulary`` with an entry in ``load_vocabulary``. Saved files are in the format of
`tokenizers`, and runs are read back from them: what is written must be read as before.
"""
