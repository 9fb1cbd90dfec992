"""Models of the tests: their parts from the options that tests vary."""

import inspect
from functools import partial
from typing import Any

from seqlab.nn import (
    Answerer,
    AnswerHead,
    CharacterEncoder,
    ClassHead,
    Classifier,
    Decoder,
    Encoder,
    LanguageModel,
    Tagger,
    TagHead,
    TokenHead,
    TokenInput,
    Translator,
    WordInput,
    initialize,
)

_OF_LAYERS = ("num_layers", "connect", "dropout")


def _takes(kind: type) -> set[str]:
    return set(inspect.signature(kind).parameters)


def of_cell(model: type, *sizes: Any, cell: Any, hidden_size: int, **options: Any) -> Any:
    """A model whose encoders have these cells, as wide as the embedding unless ``embedding_size`` is given.

    ``sizes`` are those that the data gives, such as the number of tokens; ``init`` and ``vectors`` its first weights.
    """
    init, vectors = options.pop("init", None), options.pop("vectors", None)
    options.setdefault("embedding_size", 100 if model is Tagger else hidden_size)
    made = _MAKERS[model](_Options(cell, hidden_size, options), *sizes)
    assert not options, f"no part takes {options}"
    if init is not None:
        initialize(made, **init)
    if vectors is not None:
        made.input.load_vectors(vectors)
    return made


class _Options:
    """Options by name, which the parts take out one after the other."""

    def __init__(self, cell: Any, hidden_size: int, options: dict[str, Any]) -> None:
        self.options = options
        own = {name: options.pop(name) for name in _takes(Encoder) - {"input_size"} & options.keys()}
        self.layers = {"cell": cell, "hidden_size": hidden_size} | own

    def part(self, kind: type, *sizes: Any, keep: tuple[str, ...] = (), **more: Any) -> Any:
        """A factory of a part with the options that it takes; those of ``keep`` stay for others too."""
        names = _takes(kind) & self.options.keys()
        own = {name: self.options[name] if name in keep else self.options.pop(name) for name in names}
        return partial(kind, *sizes, **own, **more)

    def encoder(self, **more: Any) -> Any:
        return partial(Encoder, **(self.layers | more))

    def word_encoder(self, **more: Any) -> Any:
        """One layer, whatever the number of the others."""
        return partial(Encoder, **({key: self.layers[key] for key in self.layers if key not in _OF_LAYERS} | more))


def _language_model(options: _Options, vocab_size: int) -> LanguageModel:
    head = options.part(TokenHead, vocab_size=vocab_size)
    return LanguageModel(options.part(TokenInput, vocab_size), options.encoder(), head)


def _classifier(options: _Options, vocab_size: int, num_classes: int) -> Classifier:
    parts = options.part(TokenInput, vocab_size), options.encoder(), options.part(ClassHead, num_classes=num_classes)
    return options.part(Classifier, *parts)()


def _tagger(options: _Options, vocab_size: int, tags: Any) -> Tagger:
    letters = options.word_encoder(hidden_size=options.options.pop("character_hidden_size", 50), bidirectional=True)
    embedding_size = options.options.pop("character_embedding_size", 30)
    characters = partial(CharacterEncoder, encoder=letters, embedding_size=embedding_size)
    words = options.part(WordInput, vocab_size, characters=characters)
    encoder = options.encoder(bidirectional=options.layers.get("bidirectional", True))
    return Tagger(words, encoder, options.part(TagHead, tags=tags))


def _answerer(options: _Options, vocab_size: int, num_answers: int) -> Answerer:
    head = options.part(AnswerHead, num_answers=num_answers, keep=("output_dropout",))
    parts = options.part(TokenInput, vocab_size), options.word_encoder(), options.encoder(), head
    return options.part(Answerer, *parts)()


def _translator(options: _Options, source_vocab_size: int, target_vocab_size: int) -> Translator:
    encoder, layers = (options.encoder(**options.options.pop(half, {})) for half in ("encoder", "decoder"))
    width = options.options["embedding_size"] if options.options.get("tie_weights") else layers.keywords["hidden_size"]
    options.options.setdefault("feature_size", width)
    shared = ("embedding_size", "embedding_dropout")
    source, target = (
        options.part(TokenInput, source_vocab_size, keep=shared),
        options.part(TokenInput, target_vocab_size),
    )
    head = options.part(TokenHead, vocab_size=target_vocab_size)
    return Translator(source, encoder, options.part(Decoder, target, layers, head))


_MAKERS = {
    LanguageModel: _language_model,
    Classifier: _classifier,
    Tagger: _tagger,
    Answerer: _answerer,
    Translator: _translator,
}
