"""Texts and their classes: ``sources``, ``batch``, ``module`` and ``presets``."""
