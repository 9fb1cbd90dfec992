"""A small world, which tests of stories and questions share."""

from seqlab.data import World

SMALL = World(stories=(40, 5, 5), seed=3)
