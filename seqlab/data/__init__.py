"""Data: texts, vocabularies and the windows of truncated BPTT, as plain PyTorch tensors and Lightning data modules."""

from seqlab.data.batch import IGNORE_INDEX, Batch, DataSpec
from seqlab.data.characters import CharacterVocabulary
from seqlab.data.families import hello_data, hub_data, king_james_data, ptb_data, text_data
from seqlab.data.files import TextFiles
from seqlab.data.hub import Hub
from seqlab.data.language_model import LanguageModelData
from seqlab.data.sources import Hello, KingJames, Source
from seqlab.data.stream import Stream, StreamLoader
from seqlab.data.subwords import SubwordVocabulary
from seqlab.data.vocabulary import TokenizerSettings, Vocabulary, load_vocabulary
from seqlab.data.words import WordVocabulary

__all__ = [
    "IGNORE_INDEX",
    "Batch",
    "CharacterVocabulary",
    "DataSpec",
    "Hello",
    "Hub",
    "KingJames",
    "LanguageModelData",
    "Source",
    "Stream",
    "StreamLoader",
    "SubwordVocabulary",
    "TextFiles",
    "TokenizerSettings",
    "Vocabulary",
    "WordVocabulary",
    "hello_data",
    "hub_data",
    "king_james_data",
    "load_vocabulary",
    "ptb_data",
    "text_data",
]
