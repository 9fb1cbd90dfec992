"""Recurrent networks in plain PyTorch: cells, layers, encoders and the engines that run them."""

from seqlab.nn.adapter import ModuleCell
from seqlab.nn.answerer import Answerer
from seqlab.nn.attention import Attention
from seqlab.nn.cell import GatedCell, RecurrentCell
from seqlab.nn.cells import GRUCell, LSTMCell, RNNCell
from seqlab.nn.classifier import Classifier
from seqlab.nn.crf import CRF, bio_constraints
from seqlab.nn.decoder import Decoder
from seqlab.nn.encoder import Encoder
from seqlab.nn.gradients import (
    norms_by_distance,
    state_gradients,
    step_gradient_norms,
    step_gradients,
    truncation_bias,
)
from seqlab.nn.init import initialize
from seqlab.nn.linear import LinearCell, MinGRUCell, MinLSTMCell
from seqlab.nn.models import LanguageModel, NextTokenModel
from seqlab.nn.ngram import KneserNey
from seqlab.nn.normalized import LayerNormGRUCell, LayerNormLSTMCell
from seqlab.nn.pooling import AttentionPooling, LastPooling, MaxPooling, MeanPooling, Pooling
from seqlab.nn.recurrent import Bidirectional, Recurrent
from seqlab.nn.size import match_parameters
from seqlab.nn.tagger import Tagger
from seqlab.nn.translator import Translations, Translator
from seqlab.nn.variants import (
    CoupledLSTMCell,
    IndRNNCell,
    IRNNCell,
    MGUCell,
    PeepholeLSTMCell,
    SLSTMCell,
    UGRNNCell,
)
from seqlab.nn.window import WindowModel

make_tagger = Tagger  # its name in the configurations of earlier runs

__all__ = [
    "CRF",
    "Answerer",
    "Attention",
    "AttentionPooling",
    "Bidirectional",
    "Classifier",
    "CoupledLSTMCell",
    "Decoder",
    "Encoder",
    "GRUCell",
    "GatedCell",
    "IRNNCell",
    "IndRNNCell",
    "KneserNey",
    "LSTMCell",
    "LanguageModel",
    "LastPooling",
    "LayerNormGRUCell",
    "LayerNormLSTMCell",
    "LinearCell",
    "MGUCell",
    "MaxPooling",
    "MeanPooling",
    "MinGRUCell",
    "MinLSTMCell",
    "ModuleCell",
    "NextTokenModel",
    "PeepholeLSTMCell",
    "Pooling",
    "RNNCell",
    "Recurrent",
    "RecurrentCell",
    "SLSTMCell",
    "Tagger",
    "Translations",
    "Translator",
    "UGRNNCell",
    "WindowModel",
    "bio_constraints",
    "initialize",
    "make_tagger",
    "match_parameters",
    "norms_by_distance",
    "state_gradients",
    "step_gradient_norms",
    "step_gradients",
    "truncation_bias",
]
