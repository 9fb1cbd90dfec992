"""Text to model: ``sources`` and ``hub``, ``batch`` and ``corpus`` (its tokens on disk), ``module``, ``presets``.

A new source is a class of ``sources``, and a function of ``presets`` that ``conf/data`` names. Raise ``corpus._FORMAT``
when the tokens of a text change, because they are kept in a cache.
"""
