"""Texts and their classes: ``sources`` (and ``hub``), ``batch``, ``module`` and ``presets``.

A new source is a class of ``sources``, and a function of ``presets`` that ``conf/data`` names. What a batch or a spec
holds is read by ``seqlab.tasks.classification``, and saved with runs.
"""
