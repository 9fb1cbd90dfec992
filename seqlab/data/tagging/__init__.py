"""Sentences with a tag for each word: ``sources`` (and ``grammar``), ``batch``, ``module`` and ``presets``."""
