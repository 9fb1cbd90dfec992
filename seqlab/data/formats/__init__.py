"""Readers of files, a module a format. Each reads a file as its field's own tools do, or names the line it refuses.

They give rows, sentences or pairs, and know of no vocabulary, task or batch. ``paths`` says which files are read, and
``text`` how bytes become lines. A new format is a module beside the others.
"""
