"""Texts for language models: ``sources`` (and ``hub``), ``batch`` (and ``corpus``), ``module`` and ``presets``."""
