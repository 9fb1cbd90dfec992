"""Readers of files, a module a format, each read as its field's own tools do or refused with the line that is wrong.

They give rows, sentences or pairs, and know of no vocabulary, task or batch. ``paths`` says which files are read,
``text`` how bytes become lines; a new format is a module beside the others.
"""
