"""Sound and what is said in it: the data of transcription.

``sources`` reads a user's recordings and published ones, ``spoken`` synthesises digits, ``features`` turns sound into
frames, ``module`` makes batches, and ``presets`` has a function for each YAML file.
"""
