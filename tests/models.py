"""Models of the tests: their encoders from the options that tests vary, beside those of the model itself."""

import inspect
from functools import partial
from typing import Any

from seqlab.nn import Answerer, Encoder, Tagger, Translator

_OPTIONS = frozenset(inspect.signature(Encoder).parameters) - {"cell", "input_size"}
_OF_LAYERS = ("num_layers", "connect", "dropout")
_HALVES = ("encoder", "decoder")


def of_cell(model: type, *sizes: Any, cell: Any, hidden_size: int, **options: Any) -> Any:
    """A model whose encoders have these cells, as wide as the embedding unless ``embedding_size`` is given."""
    layers = {"hidden_size": hidden_size} | {name: options.pop(name) for name in _OPTIONS & options.keys()}
    if options.get("embedding_size") is None and not (model is Tagger and "embedding_size" not in options):
        options["embedding_size"] = hidden_size
    if model is Tagger:
        letters = {name: value for name, value in layers.items() if name not in _OF_LAYERS}
        letters |= {"hidden_size": options.pop("character_hidden_size", 50), "bidirectional": True}
        encoder = partial(Encoder, cell, **({"bidirectional": True} | layers))
        return Tagger(*sizes, encoder, partial(Encoder, cell, **letters), **options)
    if model is Answerer:
        words = {name: value for name, value in layers.items() if name not in _OF_LAYERS}
        return Answerer(*sizes, partial(Encoder, cell, **words), partial(Encoder, cell, **layers), **options)
    if model is Translator:
        encoder, decoder = (partial(Encoder, **({"cell": cell} | layers | options.pop(half, {}))) for half in _HALVES)
        options.setdefault("feature_size", decoder.keywords["hidden_size"])
        return Translator(*sizes, encoder, decoder, **options)
    return model(*sizes, encoder=partial(Encoder, cell, **layers), **options)
