"""Series of numbers and what follows: the data of forecasting.

``sources`` reads a user's files, ``generated`` makes series, ``module`` cuts them into windows, and ``presets`` has a
function for each YAML file.
"""
