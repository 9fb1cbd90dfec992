"""Piano rolls for music models: which keys sound at each step.

``sources`` reads chorales, published rolls and a user's MIDI files, ``module`` cuts pieces into windows, and
``presets`` has a function for each YAML file.
"""
