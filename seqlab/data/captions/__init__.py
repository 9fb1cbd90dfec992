"""Pictures and their descriptions: the data of captioning.

``sources`` reads a user's pictures, ``scenes`` draws scenes by a grammar, ``module`` makes batches, and ``presets`` has
a function for each YAML file.
"""
