"""Sequences of numbers or pictures, each with a class: sensors, motions, pixels, video.

``sources`` reads a user's files, ``generated``, ``digits`` and ``archive`` give data that is made or comes with a
package, ``module`` makes batches, and ``presets`` has a function for each YAML file. The task reads the fields of a
batch and a spec, and a spec is saved with each run: change them knowingly.
"""
