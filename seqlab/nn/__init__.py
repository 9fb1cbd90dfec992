"""Recurrent networks in plain PyTorch: cells, layers, encoders and the engines that run them."""

from seqlab.nn.adapter import ModuleCell
from seqlab.nn.cell import GatedCell, RecurrentCell
from seqlab.nn.cells import GRUCell, LSTMCell, RNNCell
from seqlab.nn.encoder import Encoder
from seqlab.nn.init import initialize
from seqlab.nn.linear import LinearCell, MinGRUCell, MinLSTMCell
from seqlab.nn.models import LanguageModel
from seqlab.nn.normalized import LayerNormGRUCell, LayerNormLSTMCell
from seqlab.nn.recurrent import Bidirectional, Recurrent
from seqlab.nn.size import match_parameters
from seqlab.nn.variants import (
    CoupledLSTMCell,
    IndRNNCell,
    IRNNCell,
    MGUCell,
    PeepholeLSTMCell,
    SLSTMCell,
    UGRNNCell,
)

__all__ = [
    "Bidirectional",
    "CoupledLSTMCell",
    "Encoder",
    "GRUCell",
    "GatedCell",
    "IRNNCell",
    "IndRNNCell",
    "LSTMCell",
    "LanguageModel",
    "LayerNormGRUCell",
    "LayerNormLSTMCell",
    "LinearCell",
    "MGUCell",
    "MinGRUCell",
    "MinLSTMCell",
    "ModuleCell",
    "PeepholeLSTMCell",
    "RNNCell",
    "Recurrent",
    "RecurrentCell",
    "SLSTMCell",
    "UGRNNCell",
    "initialize",
    "match_parameters",
]
