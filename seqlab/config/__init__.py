"""What is configured, from a command line to objects.

Composing and reading need no torch; :mod:`seqlab.config.build` does, and is the only place that instantiates.
"""
