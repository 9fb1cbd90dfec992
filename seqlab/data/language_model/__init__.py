"""Text to model: ``sources``, ``batch`` (and ``corpus``, its tokens on disk), ``module`` and ``presets``.

A new source is a class of ``sources``, and a function of ``presets`` that ``conf/data`` names. Raise ``corpus._FORMAT``
when the tokens of a text change: they are kept in a cache.
"""
