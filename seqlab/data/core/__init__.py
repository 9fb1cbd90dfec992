"""What all data shares: batches and specs, streams, examples of different lengths, cuts, summaries, fingerprints.

Nothing here knows of a task or of a file format; a new task's data module builds on ``examples`` or ``stream``.
"""
