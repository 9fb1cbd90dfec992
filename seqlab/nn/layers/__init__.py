"""Cells over time: a layer in one or both directions (``recurrent``), layers stacked (``encoder``), and ``init``.

How a layer runs is decided in ``seqlab.nn.engine``; nothing here knows of tokens or tasks.
"""
