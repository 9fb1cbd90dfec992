"""Sequences of numbers, each with a number of its own, or several: the data of regression.

``sources`` reads a user's files, ``generated`` draws the adding problem, ``module`` has the data modules, and
``presets`` a function for each YAML file.
"""
