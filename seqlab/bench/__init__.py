"""``seqlab bench``: the speed of a training step (:mod:`training`) and of the engines (:mod:`engine`) against plain
PyTorch. ``command`` has the arguments."""
