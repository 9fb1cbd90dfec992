"""Engines broken on purpose, each in one place, to see whether the campaign catches it."""

MUTANTS: dict = {}
CASES = range(0, 600)
