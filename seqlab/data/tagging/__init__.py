"""Tagged sentences: ``sources`` (and ``hub``, ``grammar``), ``batch``, ``module`` (and ``words``), ``presets``.

A new source is a class of ``sources``, and a function of ``presets`` that ``conf/data`` names. What a batch or a spec
holds is read by ``seqlab.tasks.tagging``, and saved with runs.
"""
