"""Sentence pairs: ``sources``, ``hub`` and ``bibles``, ``batch``, ``module``, ``presets``.

A new source is a class of ``sources``, and a function of ``presets`` that ``conf/data`` names. The task reads the
fields of a batch and a spec, and a spec is saved with each run: change them knowingly.
"""
