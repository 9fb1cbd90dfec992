"""What all data shares: options, batches and specs, streams, examples, labels, readings, cuts, summaries, digests.

Nothing here knows of a task. A new task's data module builds on ``examples`` or ``stream``. What a fingerprint is made
of decides which runs are the same: change it knowingly.
"""
