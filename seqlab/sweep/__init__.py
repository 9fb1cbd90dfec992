"""Many runs: the sweep, its launchers and searches, and the estimate of what its jobs would take.

``plan`` says which jobs a sweep has, ``existing_runs`` which of them have a run already, ``sweep`` what happens while
they run. ``sweeper`` and ``callback`` connect all this to Hydra. Only ``dry_run`` needs torch.
"""
