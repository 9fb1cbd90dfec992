"""Recurrent cells: the contract (``base``), those of ``torch.nn`` (``stock``), and those from papers.

A cell of one's own subclasses ``GatedCell`` or ``RecurrentCell`` and needs nothing else from here.
"""
