"""Sequences whose steps have labels, drawn by generators that know the answers: the field's test bench of recurrence.

``automata`` and ``memory`` have the generators, ``sources`` what any is and how the space of sequences is divided,
``module`` the data module, and ``presets`` a function for each YAML file.
"""
