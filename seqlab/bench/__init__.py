"""``seqlab bench``: speed against plain PyTorch, of a training step (:mod:`training`) and of the engines
(:mod:`engine`)."""
