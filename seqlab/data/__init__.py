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
from seqlab.data.captions.batch import CaptionBatch, CaptionSpec
from seqlab.data.captions.module import CaptionData
from seqlab.data.captions.pictures import NamedPicture
from seqlab.data.captions.presets import pictures_data, scenes_data
from seqlab.data.captions.scenes import Scenes
from seqlab.data.captions.sources import Described, Pictures
from seqlab.data.classification.batch import ClassificationBatch, ClassificationSpec
from seqlab.data.classification.dna import DnaData, DnaSpec
from seqlab.data.classification.fasta import FastaFiles, FastaLabels
from seqlab.data.classification.hub import LabelledHub
from seqlab.data.classification.module import ClassificationData
from seqlab.data.classification.motifs import Motif, MotifGrammar, Production, Stretch
from seqlab.data.classification.presets import (
    fasta_data,
    labelled_data,
    mr_data,
    splice_data,
    splice_grammar_data,
    tiny_sentiment_data,
)
from seqlab.data.classification.sources import LabelledLines, LabelledTables, TinySentiment
from seqlab.data.classification.splice import SpliceGrammar, SpliceJunctions
from seqlab.data.core.batch import IGNORE_INDEX, Batch, Spec, read_spec
from seqlab.data.core.cut import Cut
from seqlab.data.core.drawn import DrawnData, Draws
from seqlab.data.core.examples import Batching, ExampleData, ExampleLoader
from seqlab.data.core.folds import Folds
from seqlab.data.core.options import from_options
from seqlab.data.core.stream import Stream, StreamLoader
from seqlab.data.core.stream_data import Windows
from seqlab.data.forecasting.batch import ForecastBatch, ForecastSpec
from seqlab.data.forecasting.generated import Sine, Threshold
from seqlab.data.forecasting.module import ForecastData
from seqlab.data.forecasting.observed import ObservedSeries
from seqlab.data.forecasting.presets import observed_data, series_data, sine_data, threshold_data
from seqlab.data.forecasting.sources import SeriesFiles
from seqlab.data.forecasting.windows import WindowCut
from seqlab.data.formats.babi import StoryQuestion
from seqlab.data.formats.bases import BaseReading
from seqlab.data.formats.clips import Clip, ClipFormat
from seqlab.data.formats.fasta import FastaRecord
from seqlab.data.formats.hub_sets import HubDataset
from seqlab.data.formats.labelled_series import LabelledSeries
from seqlab.data.formats.pair_tables import PairFormat, SentencePair
from seqlab.data.formats.paths import Files
from seqlab.data.formats.phonemes import Pronounced
from seqlab.data.formats.sentences import TaggedSentence
from seqlab.data.formats.series import Series, SeriesFormat
from seqlab.data.formats.tables import LabelledText, TableFormat
from seqlab.data.formats.tag_files import TagFormat
from seqlab.data.labelling.automata import Dyck, ModularArithmetic, Parity, Permutations
from seqlab.data.labelling.batch import LabellingBatch, LabellingSpec
from seqlab.data.labelling.memory import AssociativeRecall, Copy, DelayedRecall, SelectiveCopy
from seqlab.data.labelling.module import LabellingData
from seqlab.data.labelling.presets import (
    copy_data,
    delayed_recall_data,
    dyck_data,
    modular_data,
    mqar_data,
    parity_data,
    permutation_data,
    selective_copy_data,
)
from seqlab.data.labelling.sources import LabelGenerator
from seqlab.data.language_model.batch import LanguageModelSpec
from seqlab.data.language_model.conversations import Chitchat, Dialogues
from seqlab.data.language_model.hub import Hub
from seqlab.data.language_model.module import LanguageModelData
from seqlab.data.language_model.presets import (
    chitchat_data,
    dialogues_data,
    hello_data,
    hub_data,
    king_james_data,
    ptb_data,
    text_data,
)
from seqlab.data.language_model.sources import Hello, KingJames, Source, TextFiles
from seqlab.data.music.batch import MusicBatch, MusicSpec, RollStream
from seqlab.data.music.generated import Canon
from seqlab.data.music.module import MusicData
from seqlab.data.music.presets import canon_data, chorales_data, midi_data, rolls_data
from seqlab.data.music.sources import Chorales, MidiFiles, PianoRolls, Piece
from seqlab.data.regression.batch import RegressionBatch, RegressionSpec
from seqlab.data.regression.generated import Adding
from seqlab.data.regression.module import AddingData, RegressionData
from seqlab.data.regression.presets import adding_data, numbered_series_data
from seqlab.data.regression.sources import NumberedSeries, NumberedSeriesFiles
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
from seqlab.data.transcription.augment import Augmentation
from seqlab.data.transcription.batch import Recording, TranscriptionBatch, TranscriptionSpec
from seqlab.data.transcription.features import LogMel
from seqlab.data.transcription.module import TranscriptionData
from seqlab.data.transcription.presets import recordings_data, spoken_digits_data, synthetic_digits_data
from seqlab.data.transcription.sources import Recordings, SpokenDigits, Utterance
from seqlab.data.transcription.spoken import SyntheticDigits
from seqlab.data.translation.batch import TranslationBatch, TranslationSpec
from seqlab.data.translation.bibles import KingJamesToWorldEnglish
from seqlab.data.translation.hub import ParallelHub
from seqlab.data.translation.module import TranslationData
from seqlab.data.translation.presets import (
    cmudict_data,
    kjv_web_data,
    multi30k_data,
    parallel_data,
    pronunciation_data,
)
from seqlab.data.translation.pronunciations import CmuDict, PronunciationFiles
from seqlab.data.translation.sources import ParallelFiles, ParallelTables
from seqlab.data.translation.spoken import PronunciationBatch, PronunciationData, PronunciationSpec
from seqlab.data.vocabulary.base import TokenizerSettings, Vocabulary, load_vocabulary
from seqlab.data.vocabulary.characters import CharacterVocabulary
from seqlab.data.vocabulary.subwords import SubwordVocabulary
from seqlab.data.vocabulary.words import WordVocabulary

__all__ = [
    "IGNORE_INDEX",
    "Adding",
    "AddingData",
    "AnswerBatch",
    "AnswerData",
    "AnswerHub",
    "AnswerSpec",
    "ArchiveSeries",
    "AssociativeRecall",
    "Augmentation",
    "BabiFiles",
    "BaseReading",
    "Batch",
    "Batching",
    "Canon",
    "CaptionBatch",
    "CaptionData",
    "CaptionSpec",
    "CharacterVocabulary",
    "Chitchat",
    "Chorales",
    "ClassificationBatch",
    "ClassificationData",
    "ClassificationSpec",
    "Clip",
    "ClipFiles",
    "ClipFormat",
    "CmuDict",
    "Copy",
    "Cut",
    "DelayedRecall",
    "Described",
    "Dialogues",
    "DigitPixels",
    "DnaData",
    "DnaSpec",
    "DrawnData",
    "Draws",
    "Dyck",
    "ExampleData",
    "ExampleLoader",
    "FastaFiles",
    "FastaLabels",
    "FastaRecord",
    "Files",
    "Folds",
    "ForecastBatch",
    "ForecastData",
    "ForecastSpec",
    "Grammar",
    "Hello",
    "Hub",
    "HubDataset",
    "KingJames",
    "KingJamesToWorldEnglish",
    "LabelGenerator",
    "LabelledHub",
    "LabelledLines",
    "LabelledSeries",
    "LabelledSeriesFiles",
    "LabelledTables",
    "LabelledText",
    "LabellingBatch",
    "LabellingData",
    "LabellingSpec",
    "LanguageModelData",
    "LanguageModelSpec",
    "LogMel",
    "MidiFiles",
    "ModularArithmetic",
    "Motif",
    "MotifGrammar",
    "MovingDigit",
    "MovingDigits",
    "MusicBatch",
    "MusicData",
    "MusicSpec",
    "NamedPicture",
    "NumberedSeries",
    "NumberedSeriesFiles",
    "ObservedSeries",
    "PairFormat",
    "ParallelFiles",
    "ParallelHub",
    "ParallelTables",
    "Parity",
    "Permutations",
    "PianoRolls",
    "Pictures",
    "Piece",
    "Production",
    "Pronounced",
    "PronunciationBatch",
    "PronunciationData",
    "PronunciationFiles",
    "PronunciationSpec",
    "Recording",
    "Recordings",
    "RegressionBatch",
    "RegressionData",
    "RegressionSpec",
    "RollStream",
    "Scenes",
    "SelectiveCopy",
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
    "SpliceGrammar",
    "SpliceJunctions",
    "SpokenDigits",
    "StoryQuestion",
    "Stream",
    "StreamLoader",
    "Stretch",
    "SubwordVocabulary",
    "SyntheticDigits",
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
    "TranscriptionBatch",
    "TranscriptionData",
    "TranscriptionSpec",
    "TranslationBatch",
    "TranslationData",
    "TranslationSpec",
    "Utterance",
    "Vocabulary",
    "Waveforms",
    "WindowCut",
    "Windows",
    "WordReading",
    "WordVectors",
    "WordVocabulary",
    "World",
    "adding_data",
    "answer_data",
    "babi_data",
    "basic_motions_data",
    "canon_data",
    "chitchat_data",
    "chorales_data",
    "clips_data",
    "cmudict_data",
    "copy_data",
    "delayed_recall_data",
    "dialogues_data",
    "digit_pixels_data",
    "dyck_data",
    "ewt_data",
    "fasta_data",
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
    "midi_data",
    "modular_data",
    "moving_digits_data",
    "mqar_data",
    "mr_data",
    "multi30k_data",
    "numbered_series_data",
    "observed_data",
    "parallel_data",
    "parity_data",
    "permutation_data",
    "pictures_data",
    "pronunciation_data",
    "ptb_data",
    "read_spec",
    "recordings_data",
    "rolls_data",
    "scenes_data",
    "selective_copy_data",
    "series_data",
    "sine_data",
    "splice_data",
    "splice_grammar_data",
    "spoken_digits_data",
    "synthetic_digits_data",
    "tagged_data",
    "text_data",
    "threshold_data",
    "tiny_sentiment_data",
    "waveform_posteriors",
    "waveforms_data",
    "wnut17_data",
    "world_data",
]
