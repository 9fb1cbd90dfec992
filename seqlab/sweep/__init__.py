"""Many runs: the sweep, its launchers and searches, and what its jobs would take. Only the dry run needs torch."""
