"""Data as plain PyTorch tensors and Lightning data modules: text, labelled texts, tagged sentences, pairs, stories.

``core``, ``vocabulary`` and ``formats`` serve all tasks. The folder of a task holds its sources, batch, module and
presets. The names below are public: ``conf/data`` and users' own code call them, so a change of one is BREAKING.
"""

from seqlab.data.answers.batch import AnswerBatch, AnswerSpec
from seqlab.data.answers.hub import AnswerHub
from seqlab.data.answers.module import AnswerData
from seqlab.data.answers.presets import answer_data, babi_data, world_data
from seqlab.data.answers.sources import BabiFiles
from seqlab.data.answers.world import World
from seqlab.data.classification.batch import ClassificationBatch, ClassificationSpec
from seqlab.data.classification.hub import LabelledHub
from seqlab.data.classification.module import ClassificationData
from seqlab.data.classification.presets import labelled_data, mr_data, tiny_sentiment_data
from seqlab.data.classification.sources import LabelledLines, LabelledTables, TinySentiment
from seqlab.data.core.batch import IGNORE_INDEX, Batch, Spec, read_spec
from seqlab.data.core.cut import Cut
from seqlab.data.core.examples import Batching, ExampleData, ExampleLoader
from seqlab.data.core.options import from_options
from seqlab.data.core.stream import Stream, StreamLoader
from seqlab.data.forecasting.batch import ForecastBatch, ForecastSpec
from seqlab.data.forecasting.generated import Sine, Threshold
from seqlab.data.forecasting.module import ForecastData
from seqlab.data.forecasting.presets import series_data, sine_data, threshold_data
from seqlab.data.forecasting.sources import SeriesFiles
from seqlab.data.forecasting.windows import WindowCut
from seqlab.data.formats.babi import StoryQuestion
from seqlab.data.formats.clips import Clip, ClipFormat
from seqlab.data.formats.hub_sets import HubDataset
from seqlab.data.formats.labelled_series import LabelledSeries
from seqlab.data.formats.pair_tables import PairFormat, SentencePair
from seqlab.data.formats.paths import Files
from seqlab.data.formats.sentences import TaggedSentence
from seqlab.data.formats.series import Series, SeriesFormat
from seqlab.data.formats.tables import LabelledText, TableFormat
from seqlab.data.formats.tag_files import TagFormat
from seqlab.data.language_model.batch import LanguageModelSpec
from seqlab.data.language_model.hub import Hub
from seqlab.data.language_model.module import LanguageModelData, Windows
from seqlab.data.language_model.presets import hello_data, hub_data, king_james_data, ptb_data, text_data
from seqlab.data.language_model.sources import Hello, KingJames, Source, TextFiles
from seqlab.data.series_classification.archive import ArchiveSeries
from seqlab.data.series_classification.batch import SeriesClassBatch, SeriesClassSpec
from seqlab.data.series_classification.digits import DigitPixels, MovingDigit, MovingDigits
from seqlab.data.series_classification.generated import Waveforms, waveform_posteriors
from seqlab.data.series_classification.module import SeriesClassData
from seqlab.data.series_classification.presets import (
    basic_motions_data,
    clips_data,
    digit_pixels_data,
    gunpoint_data,
    labelled_series_data,
    moving_digits_data,
    waveforms_data,
)
from seqlab.data.series_classification.sources import ClipFiles, LabelledSeriesFiles
from seqlab.data.tagging.batch import TaggingBatch, TaggingSpec
from seqlab.data.tagging.grammar import Grammar
from seqlab.data.tagging.hub import TaggedHub
from seqlab.data.tagging.module import TaggingData
from seqlab.data.tagging.presets import ewt_data, grammar_data, tagged_data, wnut17_data
from seqlab.data.tagging.sources import TaggedFiles
from seqlab.data.tagging.words import WordReading, WordVectors
from seqlab.data.translation.batch import TranslationBatch, TranslationSpec
from seqlab.data.translation.bibles import KingJamesToWorldEnglish
from seqlab.data.translation.hub import ParallelHub
from seqlab.data.translation.module import TranslationData
from seqlab.data.translation.presets import kjv_web_data, multi30k_data, parallel_data
from seqlab.data.translation.sources import ParallelFiles, ParallelTables
from seqlab.data.vocabulary.base import TokenizerSettings, Vocabulary, load_vocabulary
from seqlab.data.vocabulary.characters import CharacterVocabulary
from seqlab.data.vocabulary.subwords import SubwordVocabulary
from seqlab.data.vocabulary.words import WordVocabulary

__all__ = [
    "IGNORE_INDEX",
    "AnswerBatch",
    "AnswerData",
    "AnswerHub",
    "AnswerSpec",
    "ArchiveSeries",
    "BabiFiles",
    "Batch",
    "Batching",
    "CharacterVocabulary",
    "ClassificationBatch",
    "ClassificationData",
    "ClassificationSpec",
    "Clip",
    "ClipFiles",
    "ClipFormat",
    "Cut",
    "DigitPixels",
    "ExampleData",
    "ExampleLoader",
    "Files",
    "ForecastBatch",
    "ForecastData",
    "ForecastSpec",
    "Grammar",
    "Hello",
    "Hub",
    "HubDataset",
    "KingJames",
    "KingJamesToWorldEnglish",
    "LabelledHub",
    "LabelledLines",
    "LabelledSeries",
    "LabelledSeriesFiles",
    "LabelledTables",
    "LabelledText",
    "LanguageModelData",
    "LanguageModelSpec",
    "MovingDigit",
    "MovingDigits",
    "PairFormat",
    "ParallelFiles",
    "ParallelHub",
    "ParallelTables",
    "SentencePair",
    "Series",
    "SeriesClassBatch",
    "SeriesClassData",
    "SeriesClassSpec",
    "SeriesFiles",
    "SeriesFormat",
    "Sine",
    "Source",
    "Spec",
    "StoryQuestion",
    "Stream",
    "StreamLoader",
    "SubwordVocabulary",
    "TableFormat",
    "TagFormat",
    "TaggedFiles",
    "TaggedHub",
    "TaggedSentence",
    "TaggingBatch",
    "TaggingData",
    "TaggingSpec",
    "TextFiles",
    "Threshold",
    "TinySentiment",
    "TokenizerSettings",
    "TranslationBatch",
    "TranslationData",
    "TranslationSpec",
    "Vocabulary",
    "Waveforms",
    "WindowCut",
    "Windows",
    "WordReading",
    "WordVectors",
    "WordVocabulary",
    "World",
    "answer_data",
    "babi_data",
    "basic_motions_data",
    "clips_data",
    "digit_pixels_data",
    "ewt_data",
    "from_options",
    "grammar_data",
    "gunpoint_data",
    "hello_data",
    "hub_data",
    "king_james_data",
    "kjv_web_data",
    "labelled_data",
    "labelled_series_data",
    "load_vocabulary",
    "moving_digits_data",
    "mr_data",
    "multi30k_data",
    "parallel_data",
    "ptb_data",
    "read_spec",
    "series_data",
    "sine_data",
    "tagged_data",
    "text_data",
    "threshold_data",
    "tiny_sentiment_data",
    "waveform_posteriors",
    "waveforms_data",
    "wnut17_data",
    "world_data",
]
