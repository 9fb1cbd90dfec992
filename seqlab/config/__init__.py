"""Configurations: composed, checked, hashed and built into objects.

:mod:`seqlab.config.build` is the only module that instantiates, and the only one that needs torch.
"""
