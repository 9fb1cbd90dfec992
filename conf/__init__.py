"""The Hydra configuration tree, importable as ``seqlab.conf`` so that an installed wheel finds it."""
