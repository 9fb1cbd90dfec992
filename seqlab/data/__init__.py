"""Data: texts, vocabularies and the windows of truncated BPTT, as plain PyTorch tensors and Lightning data modules."""

from seqlab.data.answer_families import answer_data, babi_data, world_data
from seqlab.data.answer_sources import AnswerHub, BabiFiles
from seqlab.data.answers import AnswerData
from seqlab.data.babi import StoryQuestion
from seqlab.data.batch import IGNORE_INDEX, Batch, ClassificationBatch, ClassificationSpec, DataSpec, Spec, read_spec
from seqlab.data.bibles import KingJamesToWorldEnglish
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
from seqlab.data.grammar import Grammar
from seqlab.data.hub import Hub
from seqlab.data.labelled import LabelledHub, LabelledLines, LabelledTables, TinySentiment
from seqlab.data.language_model import LanguageModelData
from seqlab.data.parallel import ParallelFiles, ParallelHub, SentencePair
from seqlab.data.sentences import TaggedSentence
from seqlab.data.sources import Hello, KingJames, Source
from seqlab.data.stories import AnswerBatch, AnswerSpec
from seqlab.data.stream import Stream, StreamLoader
from seqlab.data.subwords import SubwordVocabulary
from seqlab.data.tables import LabelledText
from seqlab.data.tag_batch import TaggingBatch, TaggingSpec
from seqlab.data.tagged import TaggedFiles, TaggedHub
from seqlab.data.tagging import TaggingData
from seqlab.data.tagging_families import ewt_data, grammar_data, tagged_data, wnut17_data
from seqlab.data.translation import TranslationBatch, TranslationData, TranslationSpec
from seqlab.data.translation_families import kjv_web_data, multi30k_data, parallel_data
from seqlab.data.vocabulary import TokenizerSettings, Vocabulary, load_vocabulary
from seqlab.data.words import WordVocabulary
from seqlab.data.world import World

__all__ = [
    "IGNORE_INDEX",
    "AnswerBatch",
    "AnswerData",
    "AnswerHub",
    "AnswerSpec",
    "BabiFiles",
    "Batch",
    "CharacterVocabulary",
    "ClassificationBatch",
    "ClassificationData",
    "ClassificationSpec",
    "DataSpec",
    "ExampleData",
    "ExampleLoader",
    "Grammar",
    "Hello",
    "Hub",
    "KingJames",
    "KingJamesToWorldEnglish",
    "LabelledHub",
    "LabelledLines",
    "LabelledTables",
    "LabelledText",
    "LanguageModelData",
    "ParallelFiles",
    "ParallelHub",
    "SentencePair",
    "Source",
    "Spec",
    "StoryQuestion",
    "Stream",
    "StreamLoader",
    "SubwordVocabulary",
    "TaggedFiles",
    "TaggedHub",
    "TaggedSentence",
    "TaggingBatch",
    "TaggingData",
    "TaggingSpec",
    "TextFiles",
    "TinySentiment",
    "TokenizerSettings",
    "TranslationBatch",
    "TranslationData",
    "TranslationSpec",
    "Vocabulary",
    "WordVocabulary",
    "World",
    "answer_data",
    "babi_data",
    "ewt_data",
    "grammar_data",
    "hello_data",
    "hub_data",
    "king_james_data",
    "kjv_web_data",
    "labelled_data",
    "load_vocabulary",
    "mr_data",
    "multi30k_data",
    "parallel_data",
    "ptb_data",
    "read_spec",
    "tagged_data",
    "text_data",
    "tiny_sentiment_data",
    "wnut17_data",
    "world_data",
]
