"""Whole models, a module each, and the parts that they share: attention, pooling, a CRF, a decoder, generation.

They are made of an embedding, an encoder and a head, and know of no data set.
"""
