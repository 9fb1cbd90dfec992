"""Sentence pairs: ``sources`` (and ``bibles``), ``batch``, ``module`` and ``presets``."""
