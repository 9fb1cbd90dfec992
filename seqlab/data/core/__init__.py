"""What all data shares: parts and options, batches and specs, streams, examples, readings, cuts, summaries, digests.

Nothing here knows of a task. A new task's data module builds on ``examples`` or ``stream``; what a fingerprint is made
of decides which runs are the same, so change it knowingly.
"""
