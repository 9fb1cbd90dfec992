"""Weights of eight bits, for CPUs: the same programs, smaller, with products of integers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from typing import cast as typed

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from seqlab.export.formats import OnnxFile, quiet
from seqlab.nn import Answerer, Classifier, NextTokenModel, Tagger, Translator
from seqlab.nn.models.attention import Memory


def quantize(path: Path, target: Path) -> None:
    """Writes an ONNX file anew with 8-bit weights (onnxruntime's dynamic quantisation).

    Matrices and embeddings have a byte a weight; what they are multiplied with is quantised as it comes. Of the byte,
    seven bits are used: with eight, products overflow in silence on CPUs without VNNI, and the numbers would depend on
    the machine.

    Args:
        path: the file.
        target: the new file.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with quiet():
        quantize_dynamic(
            str(path),
            str(target),
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            extra_options={"EnableSubgraph": True},  # the steps are a graph within the graph
        )


def stand_in(model: nn.Module, files: Mapping[str, OnnxFile]) -> nn.Module:
    """The model with the files' answers in place of its own, so that its task measures the files.

    Args:
        model: the model; it is changed.
        files: the files at work, by the names of their programs.
    """
    replaced = vars(model)  # an attribute of the instance goes before a method of the class
    if isinstance(model, Translator):
        _replace_translator(model, files)
    elif isinstance(model, NextTokenModel):
        structure = pytree.tree_structure(model.initial_state(1))

        def features(inputs: Tensor, state: Any = None, lengths: Tensor | None = None) -> tuple[Tensor, Any]:
            rows, steps = inputs.shape
            state = model.initial_state(rows) if state is None else state
            lengths = torch.full((rows,), steps) if lengths is None else lengths
            logits, *new = files["forward"](inputs, lengths, tuple(pytree.tree_leaves(state)))
            return logits.to(inputs.device), pytree.tree_unflatten(_on(inputs, new), structure)

        replaced["features"], replaced["logits"] = features, lambda logits: logits
    elif isinstance(model, Tagger):

        def emissions(words: Tensor, characters: Any = None, lengths: Any = None, counts: Any = None) -> Tensor:
            letters = () if characters is None else (characters, counts)
            return files["forward"](words, lengths, letters)[0].to(words.device)

        replaced["forward"] = emissions
    elif isinstance(model, (Classifier, Answerer)):
        replaced["forward"] = lambda *arguments: files["forward"](*arguments)[0].to(arguments[0].device)
    else:
        raise AssertionError(f"{type(model).__name__} is exported, and not measured")
    return model


def _replace_translator(model: Translator, files: Mapping[str, OnnxFile]) -> None:
    attention = model.decoder.attention
    projects = attention is not None and attention.score != "dot"
    parts = 0 if attention is None else 3 if projects else 2
    rows = model.decoder.recurrent.initial_state(1, like=next(model.parameters()))
    structure = pytree.tree_structure(model.decoder.start(rows))

    def encode(source: Tensor, lengths: Tensor | None = None) -> tuple[Memory | None, Any]:
        lengths = torch.full(source.shape[:1], source.size(1)) if lengths is None else lengths
        outputs = _on(source, files["encode"](source, lengths))
        read, state = outputs[:parts], pytree.tree_unflatten(outputs[parts:], structure)
        return (Memory(read[0], read[-2], read[-1]) if read else None), state

    def step(tokens: Tensor, state: Any, memory: Memory | None) -> tuple[Tensor, Any, Tensor | None]:
        read: tuple[Tensor, ...] = ()
        if memory is not None:
            beams = tokens.size(0) // memory.keys.size(0)  # side by side for each row of keys
            kept = (memory.keys, memory.projected) if projects else (memory.keys,)
            read = tuple(each.repeat_interleave(beams, 0) for each in (*kept, typed(Tensor, memory.valid)))
        logits, *rest = _on(tokens, files["step"](tokens, read, tuple(pytree.tree_leaves(state))))
        weights = rest.pop() if memory is not None else None
        return logits, pytree.tree_unflatten(rest, structure), weights

    def features(source: Tensor, lengths: Tensor | None, inputs: Tensor, _: Any = None) -> tuple[Tensor, None]:
        memory, state = encode(source, lengths)
        logits = []
        for place in range(inputs.size(1)):
            scores, state, _ = step(inputs[:, place], state, memory)
            logits.append(scores)
        return torch.stack(logits, 1), None

    vars(model).update(encode=encode, step=step, features=features, logits=lambda logits: logits)


def _on(like: Tensor, tensors: Any) -> list[Tensor]:
    return [tensor.to(like.device) for tensor in tensors]
