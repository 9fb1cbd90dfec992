"""Stories with questions: ``sources`` (and ``world``), ``batch``, ``module`` and ``presets``."""
