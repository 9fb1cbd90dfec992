"""Recurrent networks in plain PyTorch: cells, layers, encoders and the engines that run them."""

from seqlab.nn.cell import GatedCell, RecurrentCell
from seqlab.nn.cells import GRUCell, LSTMCell, RNNCell
from seqlab.nn.encoder import Encoder
from seqlab.nn.init import initialize
from seqlab.nn.models import LanguageModel
from seqlab.nn.recurrent import Bidirectional, Recurrent
from seqlab.nn.size import match_parameters

__all__ = [
    "Bidirectional",
    "Encoder",
    "GRUCell",
    "GatedCell",
    "LSTMCell",
    "LanguageModel",
    "RNNCell",
    "Recurrent",
    "RecurrentCell",
    "initialize",
    "match_parameters",
]
