"""Vocabularies: round trips, order, unknown tokens, and the saved file read by the `tokenizers` library."""

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from seqlab.data import CharacterVocabulary, SubwordVocabulary, TokenizerSettings, WordVocabulary, load_vocabulary
from seqlab.data.vocabulary.base import choose_tokens, lower, storage_dtype
from seqlab.data.vocabulary.choice import saved_vocabulary
from seqlab.data.vocabulary.words import WHITESPACE, word_pattern
from seqlab.errors import InputError

PROSE = (
    "And God said, Let there be light: and there was light.\n"
    '\u201cI\u2019m the master\u2019s,\u201d quoth Tubal-cain (his sons\u2019 elder); "who\'s there?" \u2026\n'
    "\n  Two  spaces\t\tand a tab, 3.14 \u20ac, na\u00efve caf\u00e9 \u2014 \u4f60\u597d\u3002 \U0001f600!\n"
)
WORD_SETTINGS = [
    TokenizerSettings("word"),
    TokenizerSettings("word", end_of_line="<eos>"),
    TokenizerSettings("word", punctuation=True),
    TokenizerSettings("word", punctuation=True, end_of_line="<eos>", lowercase=True),
    TokenizerSettings("word", lowercase=True),
]
ALL_SETTINGS = [
    TokenizerSettings("character"),
    TokenizerSettings("character", lowercase=True),
    *WORD_SETTINGS,
    TokenizerSettings("subword", max_vocab_size=300),
    TokenizerSettings("subword", max_vocab_size=300, lowercase=True),
]


def build(settings: TokenizerSettings, text: str = PROSE, elsewhere: str = ""):
    if settings.unit == "subword":
        return SubwordVocabulary.build([text], settings)
    kind = WordVocabulary if settings.unit == "word" else CharacterVocabulary
    splitter = kind([], settings)
    return kind.build(splitter.count([text]), settings, splitter.count([elsewhere]))


@pytest.mark.parametrize("settings", ALL_SETTINGS, ids=str)
def test_the_saved_file_gives_the_tokenizers_library_the_same_ids(settings, tmp_path):
    vocabulary = build(settings, elsewhere="\u2603 unseen")
    other = PROSE + " Unseen w\u00f6rds, \u0130\u03a3\u03c2 \x1c here\u00a0and\u3000there\n"
    tokenizer = Tokenizer.from_file(str(vocabulary.save(tmp_path)))
    assert tokenizer.encode(other).ids == vocabulary.encode(other).tolist()
    assert tokenizer.get_vocab_size() == len(vocabulary)


@pytest.mark.parametrize("settings", ALL_SETTINGS, ids=str)
def test_a_loaded_vocabulary_equals_the_saved_one(settings, tmp_path):
    vocabulary = build(settings)
    for loaded in (
        load_vocabulary(vocabulary.save(tmp_path / "any name.json")),
        load_vocabulary(vocabulary.save(tmp_path)),
    ):
        assert type(loaded) is type(vocabulary)
        assert loaded.tokens == vocabulary.tokens
        assert loaded.encode(PROSE).tolist() == vocabulary.encode(PROSE).tolist()
        for name in ("unit", "lowercase", "punctuation", "end_of_line"):
            assert getattr(loaded.settings, name) == getattr(settings, name)


@pytest.mark.parametrize("settings", ALL_SETTINGS, ids=str)
def test_several_texts_encode_as_each_alone_with_their_counts(settings):
    vocabulary = build(settings, elsewhere="\u2603")
    texts = ["And God", "", " \t ", "said, light\n", "light"]
    ids, counts = vocabulary.encode_many(texts)
    alone = [vocabulary.encode(text).tolist() for text in texts]
    assert counts.tolist() == [len(one) for one in alone]
    assert ids.tolist() == [i for one in alone for i in one]
    assert ids.dtype == storage_dtype(len(vocabulary))


@pytest.mark.parametrize("settings", ALL_SETTINGS, ids=str)
def test_pieces_are_the_tokens_of_the_ids(settings):
    vocabulary = build(settings)
    assert [vocabulary.tokens[i] for i in vocabulary.encode(PROSE)] == vocabulary.pieces(PROSE)


def test_characters_come_in_code_point_order_and_decode_to_the_text():
    vocabulary = build(TokenizerSettings("character"))
    assert list(vocabulary.tokens) == sorted(set(PROSE))
    assert vocabulary.decode(vocabulary.encode(PROSE)) == PROSE


def test_subwords_give_any_text_back_whole():
    vocabulary = build(TokenizerSettings("subword", max_vocab_size=280))
    for text in (PROSE, "\u0000\u00e9\U0001f600 never seen", ""):
        assert vocabulary.decode(vocabulary.encode(text)) == text
    assert len(vocabulary) == 280 and vocabulary.unknown_id is None


def test_words_come_by_frequency_then_code_point():
    vocabulary = build(TokenizerSettings("word", end_of_line="<eos>"), "b a b c\nc z\n")
    assert vocabulary.tokens == ("<eos>", "b", "c", "a", "z")


def test_words_split_at_whitespace_as_is_and_newlines_become_tokens():
    vocabulary = build(TokenizerSettings("word", end_of_line="<eos>"), " the n.v. <unk>  's \n\n")
    assert vocabulary.pieces(" the n.v. <unk>  's \n\n") == ["the", "n.v.", "<unk>", "'s", "<eos>", "<eos>"]
    assert vocabulary.decode(vocabulary.encode("the n.v.\n's\n")) == "the n.v.\n's\n"


@pytest.mark.parametrize(
    "text",
    [
        "And God said, Let there be light: and there was light.",
        "his brother\u2019s name (the same) was Tubal-cain; his sons\u2019 wives!",
        'She said, "Go away!" and "why?" left.',
        "\u201cWell,\u201d quoth he\u2014\u201cwell.\u201d",
        "one\ntwo, three\n",
    ],
)
def test_prose_with_punctuation_comes_back_as_it_was_written(text):
    vocabulary = build(TokenizerSettings("word", punctuation=True, end_of_line="<eos>"), text)
    assert vocabulary.decode(vocabulary.encode(text)) == text


def test_punctuation_marks_are_tokens_but_apostrophes_and_hyphens_inside_words_are_not():
    vocabulary = build(TokenizerSettings("word", punctuation=True))
    assert vocabulary.pieces("Don't, Beth-el\u2019s (x)") == ["Don't", ",", "Beth-el\u2019s", "(", "x", ")"]


def test_whitespace_means_the_same_to_arrow_python_and_tokenizers():
    splitter = pre_tokenizers.Split(Regex(f"[{WHITESPACE}]+"), "removed")
    texts = [f"a{chr(code)}b" for code in range(0x3100)]
    arrow = pc.list_value_length(pc.utf8_split_whitespace(pa.array(texts))).to_pylist()
    for text, count in zip(texts, arrow, strict=True):
        assert count == len(text.split()) == len(splitter.pre_tokenize_str(text)), repr(text)


def test_punctuation_means_the_same_to_python_and_tokenizers():
    splitter = pre_tokenizers.Split(Regex(word_pattern("<eos>")), "removed", invert=True)
    pattern = re.compile(word_pattern("<eos>"))
    for start in range(0, 0x30000, 4096):
        codes = [code for code in range(start, start + 4096) if not 0xD800 <= code < 0xE000]
        text = " ".join(f"a{chr(code)}b" for code in codes)
        assert [piece for piece, _ in splitter.pre_tokenize_str(text)] == pattern.findall(text)


def test_an_unknown_character_without_unk_is_refused_by_name():
    vocabulary = CharacterVocabulary("abc ")
    with pytest.raises(InputError) as caught:
        vocabulary.encode("a \u00df b \u20ac \u00df")
    lacks = "the prompt has characters the vocabulary lacks: '\u00df', '\u20ac'; leave them out, or train with "
    assert str(caught.value) == lacks + "data.max_vocab_size=3 or data.min_frequency=2, so that they read as <unk>"
    assert vocabulary.unknown("a \u00df b \u20ac \u00df") == ["\u00df", "\u20ac"]


@pytest.mark.parametrize("text", ["z", "\u014c", "\u20ac", "\U0010ffff", "aaz"])
def test_characters_below_between_and_beyond_the_known_ones_are_unknown(text):
    vocabulary = CharacterVocabulary(["a", "\u00e9", "<unk>"])
    assert vocabulary.encode(text)[-1] == 2
    with pytest.raises(InputError):
        CharacterVocabulary("a\u00e9").encode(text)


def test_an_unknown_word_maps_to_unk_and_can_be_asked_for():
    vocabulary = WordVocabulary(["the", "<unk>"])
    assert vocabulary.encode("the dog the cat dog").tolist() == [0, 1, 0, 1, 1]
    assert vocabulary.unknown("the dog the cat dog") == ["dog", "cat"]
    with pytest.raises(InputError, match="the prompt has words the vocabulary lacks: 'dog'"):
        WordVocabulary(["the"]).encode("the dog")


@pytest.mark.parametrize(
    ("counts", "options", "elsewhere", "tokens", "added"),
    [
        ({"a": 2, "b": 1}, {}, "ab", ["a", "b"], False),
        ({"a": 2, "b": 1}, {}, "abz", ["a", "b", "<unk>"], True),
        ({"a": 2, "b": 1}, {"max_vocab_size": 2}, "", ["a", "b"], False),
        ({"a": 2, "b": 1}, {"max_vocab_size": 2}, "z", ["a", "<unk>"], True),
        ({"a": 3, "b": 2, "c": 1}, {"max_vocab_size": 2}, "", ["a", "<unk>"], True),
        ({"a": 3, "b": 2, "c": 1}, {"min_frequency": 2}, "", ["a", "b", "<unk>"], True),
        ({"a": 3, "<unk>": 2, "c": 1}, {"max_vocab_size": 2}, "", ["a", "<unk>"], False),
        ({"a": 3, "<unk>": 2, "c": 1}, {}, "z", ["a", "<unk>", "c"], False),
        ({"a": 3, "b": 2, "<unk>": 1}, {"max_vocab_size": 2}, "", ["a", "<unk>"], True),
    ],
)
def test_unk_is_added_exactly_when_something_is_left_out(counts, options, elsewhere, tokens, added):
    assert choose_tokens(counts, TokenizerSettings("word", **options), elsewhere) == (tokens, added)


def test_unk_comes_last_among_characters_and_no_other_id_moves():
    closed = build(TokenizerSettings("character"), "banana")
    opened = build(TokenizerSettings("character"), "banana", elsewhere="z")
    assert opened.tokens == (*closed.tokens, "<unk>")


@pytest.mark.parametrize("text", ["\u03a3\u03a3", "\u039f\u03a3 \u039f\u03a3", "\u0130x"])
def test_lowering_a_text_lowers_each_part_alike(text):
    for cut in range(len(text)):
        assert lower(text[:cut]) + lower(text[cut:]) == lower(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unit": "byte"}, "data.unit='byte' is not a unit: choose one of character, word, subword"),
        ({"max_vocab_size": 1}, "data.max_vocab_size=1 is too small"),
        ({"min_frequency": 0}, "data.min_frequency=0 must be 1 or more"),
        ({"punctuation": True}, "data.punctuation is for data.unit=word alone, and data.unit is character"),
        ({"unit": "subword", "end_of_line": "<eos>"}, "data.end_of_line is for data.unit=word alone"),
        ({"unit": "word", "end_of_line": "a b"}, "data.end_of_line='a b' must be one word"),
        ({"unit": "word", "end_of_line": ""}, "data.end_of_line='' must be one word"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(options, message):
    with pytest.raises(InputError) as caught:
        TokenizerSettings(**options)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_fewer_subwords_than_bytes_are_refused():
    with pytest.raises(InputError, match="max_vocab_size=200 is too small for subwords: give 256"):
        build(TokenizerSettings("subword", max_vocab_size=200))


@pytest.mark.parametrize("content", ["not json", "[]", '{"model": {}}'])
def test_a_file_that_is_no_vocabulary_is_refused(tmp_path, content):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(InputError, match="is not a vocabulary in the tokenizers format"):
        load_vocabulary(tmp_path)


def test_a_missing_vocabulary_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no vocabulary at .*tokenizer\.json: No such file"):
        load_vocabulary(tmp_path)


def test_a_tokenizer_made_elsewhere_loads_as_subwords(tmp_path):
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1, "[UNK]": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    loaded = load_vocabulary(tmp_path)
    assert isinstance(loaded, SubwordVocabulary)
    assert loaded.encode("a b c").tolist() == tokenizer.encode("a b c").ids


def test_the_file_holds_everything_so_that_a_run_folder_needs_no_other(tmp_path):
    path = build(WORD_SETTINGS[3]).save(tmp_path / "v.json")
    path = path.rename(tmp_path / "moved.json")
    assert load_vocabulary(path).settings == WORD_SETTINGS[3]
    assert json.loads(path.read_text())["model"]["type"] == "WordLevel"


@pytest.mark.parametrize(("size", "dtype"), [(256, "uint8"), (257, "uint16"), (65_536, "uint16"), (65_537, "uint32")])
def test_ids_are_stored_in_the_smallest_type(size, dtype):
    assert storage_dtype(size) == np.dtype(dtype)


@pytest.mark.parametrize(("options", "number"), [({}, 0), ({"max_vocab_size": 9}, 1), ({"min_frequency": 2}, 1)])
def test_options_that_choose_no_token_of_a_saved_vocabulary_are_told(tmp_path, caplog, options, number):
    caplog.set_level("INFO", "seqlab")
    WordVocabulary(["a", "b", "c"]).save(tmp_path)
    assert saved_vocabulary(tmp_path, TokenizerSettings("word", **options)).tokens == ("a", "b", "c")
    assert caplog.text.count("data.max_vocab_size and data.min_frequency chose no tokens") == number
