"""Recurrent networks in plain PyTorch: cells, layers, encoders and the engines that run them."""

from seqlab.nn.cells.adapter import ModuleCell
from seqlab.nn.cells.base import GatedCell, RecurrentCell
from seqlab.nn.cells.linear import LinearCell, MinGRUCell, MinLSTMCell
from seqlab.nn.cells.normalized import LayerNormGRUCell, LayerNormLSTMCell
from seqlab.nn.cells.stock import GRUCell, LSTMCell, RNNCell
from seqlab.nn.cells.variants import (
    CoupledLSTMCell,
    IndRNNCell,
    IRNNCell,
    MGUCell,
    PeepholeLSTMCell,
    SLSTMCell,
    UGRNNCell,
)
from seqlab.nn.gradients import (
    norms_by_distance,
    state_gradients,
    step_gradient_norms,
    step_gradients,
    truncation_bias,
)
from seqlab.nn.lags import norms_by_lag
from seqlab.nn.layers.bag import BagEncoder
from seqlab.nn.layers.bidirectional import Bidirectional
from seqlab.nn.layers.encoder import Encoder
from seqlab.nn.layers.init import initialize
from seqlab.nn.layers.recurrent import Recurrent
from seqlab.nn.layers.sequence import SequenceEncoder
from seqlab.nn.layers.transformer import TransformerEncoder
from seqlab.nn.models.answerer import Answerer
from seqlab.nn.models.attention import Attention
from seqlab.nn.models.beams import Translations
from seqlab.nn.models.captioner import Captioner, FeatureInput, PictureInput
from seqlab.nn.models.characters import CharacterEncoder
from seqlab.nn.models.classifier import Classifier
from seqlab.nn.models.clips import ConvFrameInput
from seqlab.nn.models.crf import CRF, bio_constraints
from seqlab.nn.models.ctc import SymbolHead, Transcriber, beam_labels, greedy_labels
from seqlab.nn.models.decoder import Decoder
from seqlab.nn.models.forecaster import Forecaster, QuantileHead
from seqlab.nn.models.frame_model import FrameHead, FrameModel, compose
from seqlab.nn.models.frames import FrameInput, Standardize
from seqlab.nn.models.heads import AnswerHead, ClassHead, TokenHead
from seqlab.nn.models.inputs import Input, TokenInput, WordInput
from seqlab.nn.models.labeller import Labeller, StepHead
from seqlab.nn.models.language_model import LanguageModel, NextTokenModel
from seqlab.nn.models.ngram import KneserNey
from seqlab.nn.models.pooling import AttentionPooling, LastPooling, MaxPooling, MeanPooling, Pooling
from seqlab.nn.models.regressor import NumberHead, Regressor
from seqlab.nn.models.tag_head import TagHead
from seqlab.nn.models.tagger import Tagger
from seqlab.nn.models.translator import EncoderDecoder, Translator
from seqlab.nn.models.window import WindowModel
from seqlab.nn.recording import LayerCall, record_states
from seqlab.nn.size import match_parameters

__all__ = [
    "CRF",
    "AnswerHead",
    "Answerer",
    "Attention",
    "AttentionPooling",
    "BagEncoder",
    "Bidirectional",
    "Captioner",
    "CharacterEncoder",
    "ClassHead",
    "Classifier",
    "ConvFrameInput",
    "CoupledLSTMCell",
    "Decoder",
    "Encoder",
    "EncoderDecoder",
    "FeatureInput",
    "Forecaster",
    "FrameHead",
    "FrameInput",
    "FrameModel",
    "GRUCell",
    "GatedCell",
    "IRNNCell",
    "IndRNNCell",
    "Input",
    "KneserNey",
    "LSTMCell",
    "Labeller",
    "LanguageModel",
    "LastPooling",
    "LayerCall",
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
    "NumberHead",
    "PeepholeLSTMCell",
    "PictureInput",
    "Pooling",
    "QuantileHead",
    "RNNCell",
    "Recurrent",
    "RecurrentCell",
    "Regressor",
    "SLSTMCell",
    "SequenceEncoder",
    "Standardize",
    "StepHead",
    "SymbolHead",
    "TagHead",
    "Tagger",
    "TokenHead",
    "TokenInput",
    "Transcriber",
    "TransformerEncoder",
    "Translations",
    "Translator",
    "UGRNNCell",
    "WindowModel",
    "WordInput",
    "beam_labels",
    "bio_constraints",
    "compose",
    "greedy_labels",
    "initialize",
    "match_parameters",
    "norms_by_distance",
    "norms_by_lag",
    "record_states",
    "state_gradients",
    "step_gradient_norms",
    "step_gradients",
    "truncation_bias",
]
