"""Data: texts, vocabularies and the windows of truncated BPTT, as plain PyTorch tensors and Lightning data modules."""

from seqlab.data.batch import IGNORE_INDEX, Batch, ClassificationBatch, ClassificationSpec, DataSpec, Spec, read_spec
from seqlab.data.characters import CharacterVocabulary
from seqlab.data.classification import ClassificationData
from seqlab.data.examples import ExampleData, ExampleLoader
from seqlab.data.families import (
    hello_data,
    hub_data,
    king_james_data,
    labelled_data,
    mr_data,
    ptb_data,
    text_data,
    tiny_sentiment_data,
)
from seqlab.data.files import TextFiles
from seqlab.data.hub import Hub
from seqlab.data.labelled import LabelledHub, LabelledLines, LabelledTables, TinySentiment
from seqlab.data.language_model import LanguageModelData
from seqlab.data.sources import Hello, KingJames, Source
from seqlab.data.stream import Stream, StreamLoader
from seqlab.data.subwords import SubwordVocabulary
from seqlab.data.tables import LabelledText
from seqlab.data.vocabulary import TokenizerSettings, Vocabulary, load_vocabulary
from seqlab.data.words import WordVocabulary

__all__ = [
    "IGNORE_INDEX",
    "Batch",
    "CharacterVocabulary",
    "ClassificationBatch",
    "ClassificationData",
    "ClassificationSpec",
    "DataSpec",
    "ExampleData",
    "ExampleLoader",
    "Hello",
    "Hub",
    "KingJames",
    "LabelledHub",
    "LabelledLines",
    "LabelledTables",
    "LabelledText",
    "LanguageModelData",
    "Source",
    "Spec",
    "Stream",
    "StreamLoader",
    "SubwordVocabulary",
    "TextFiles",
    "TinySentiment",
    "TokenizerSettings",
    "Vocabulary",
    "WordVocabulary",
    "hello_data",
    "hub_data",
    "king_james_data",
    "labelled_data",
    "load_vocabulary",
    "mr_data",
    "ptb_data",
    "read_spec",
    "text_data",
    "tiny_sentiment_data",
]
