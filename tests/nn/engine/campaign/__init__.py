"""A campaign against the engines: random cells with random histories, each engine held against a hand-written loop.

``grammar`` and ``features`` write cells, ``history`` what happens to one, ``subjects`` makes the layers that live
through it, ``play`` carries it out and notes what is seen, ``judge`` compares, and ``campaign`` puts these together.
"""
