"""What is exported of each kind of model, before it becomes a file: the copy answers as the model does."""

import copy
from functools import partial

import pytest
import torch
from hydra.utils import get_class
from omegaconf import OmegaConf
from torch import nn

from seqlab.errors import InputError
from seqlab.export import check, kinds
from seqlab.export.formats import quiet
from seqlab.export.kinds import plan, use_files
from seqlab.export.kinds.ports import answer_with_forward
from seqlab.export.programs import Export
from seqlab.nn import (
    Answerer,
    ClassHead,
    Classifier,
    ConvFrameInput,
    Encoder,
    FrameInput,
    GRUCell,
    LanguageModel,
    LSTMCell,
    PlacedInput,
    RNNCell,
    SLSTMCell,
    Tagger,
    Translator,
)
from seqlab.nn.models.window import WindowModel
from tests.models import of_cell
from tests.shipped import CONF


def planned(model, **sizes):
    with quiet():
        return plan(model.eval(), sizes)


def language_model(**options):
    return of_cell(LanguageModel, 11, hidden_size=4, **options), {"vocab_size": 11}


def classifier(**options):
    return of_cell(Classifier, 11, 3, cell=GRUCell, hidden_size=4, **options), {"vocab_size": 11, "num_classes": 3}


def of_frames(input):
    return Classifier(input, partial(Encoder, GRUCell, hidden_size=4), partial(ClassHead, num_classes=3)), {}


def tagger(**options):
    letters = {"num_characters": options.get("num_characters")}
    return of_cell(Tagger, 11, ["A", "B"], cell=RNNCell, hidden_size=4, **options), {"vocab_size": 11, **letters}


def translator(**options):
    sizes = {"source_vocab_size": 11, "target_vocab_size": 13}
    return of_cell(Translator, 11, 13, cell=LSTMCell, hidden_size=4, **options), sizes


def answerer(**options):
    return of_cell(Answerer, 11, 4, cell=GRUCell, hidden_size=4, **options), {"vocab_size": 11, "num_answers": 4}


MODELS = {
    "sLSTM": lambda: language_model(cell=SLSTMCell),
    "dense": lambda: language_model(cell=LSTMCell, num_layers=2, connect="dense"),
    "window": lambda: (WindowModel(11, window_size=3, hidden_size=4), {"vocab_size": 11}),
    "one token": lambda: (WindowModel(11, window_size=1, hidden_size=4), {"vocab_size": 11}),
    "last": lambda: classifier(pooling="last"),
    "max": lambda: classifier(pooling="max", tbptt_steps=2),
    "mean": lambda: classifier(pooling="mean"),
    "attention": lambda: classifier(pooling="attention"),
    "frames": lambda: of_frames(partial(FrameInput, 3, 5, observed=True)),
    "clips": lambda: of_frames(partial(ConvFrameInput, 2, 6, 5, 4, channels=[3])),
    "both ways": lambda: classifier(pooling="max", bidirectional=True),
    "tagger": lambda: tagger(bidirectional=False, num_characters=5, character_hidden_size=3),
    "tagger, crf": lambda: tagger(bidirectional=False, decoder="crf"),
    "no attention": lambda: translator(attention=None),
    "dot": lambda: translator(attention="dot", input_feeding=True, num_layers=2),
    "additive": lambda: translator(attention="additive", encoder={"bidirectional": True}),
    "sentences": lambda: answerer(hops=2),
    "words": lambda: answerer(unit="word", attention=None),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_copy_answers_as_its_model(name):
    torch.manual_seed(0)
    model, sizes = MODELS[name]()
    export = planned(model, **sizes)
    assert {"forward", "step"} <= {*(program.name for program in export.programs), *export.left_out}
    for program in export.programs:
        with torch.no_grad():
            assert check.compare(program, program.module).error < 2e-6
        outputs = program.reference(*program.sample(program.cases[-1], torch.Generator().manual_seed(1)))
        for port, output in zip(program.outputs, outputs, strict=True):
            lengths = [program.cases[-1].get(length, length) for length in port.shape]
            assert (list(output.shape), output.dtype) == (lengths, port.dtype)


def test_a_classifier_that_tells_places_apart_is_exported_for_whole_rows():
    torch.manual_seed(0)
    places, encoder = partial(PlacedInput, 11, 4, num_places=2), partial(Encoder, GRUCell, hidden_size=4)
    export = planned(Classifier(places, encoder, partial(ClassHead, num_classes=3)), vocab_size=11, num_classes=3)
    (forward,) = export.programs
    assert "places" in export.left_out["step"]
    with torch.no_grad():
        assert check.compare(forward, forward.module).error < 2e-6


@pytest.mark.parametrize("name", ["dot", "no attention", "additive"])
def test_a_translator_is_measured_by_its_files(name):
    torch.manual_seed(0)
    model, sizes = MODELS[name]()
    files = {program.name: program.module for program in planned(model, **sizes).programs}
    of_files = use_files(copy.deepcopy(model), files)
    source, lengths, inputs = torch.randint(11, (3, 5)), torch.tensor([5, 2, 1]), torch.randint(13, (3, 4))
    with torch.no_grad():
        expected, found = (each.logits(each.features(source, lengths, inputs)[0]) for each in (model, of_files))
        torch.testing.assert_close(found, expected)
        answers = [
            each.beam_search(source, lengths, beam_size=3, max_length=6, bos=1, eos=2) for each in (model, of_files)
        ]
    assert torch.equal(answers[0].tokens, answers[1].tokens)


def test_other_models_are_measured_by_their_files():
    torch.manual_seed(0)
    for name in ("sLSTM", "max", "tagger, crf", "words"):
        model, sizes = MODELS[name]()
        forward = planned(model, **sizes).programs[0]
        arguments = forward.sample(forward.cases[3], torch.Generator().manual_seed(0))
        marked = {"forward": lambda *given, run=forward.module: (run(*given)[0] + 1, *run(*given)[1:])}
        of_files = use_files(copy.deepcopy(model), marked)
        if name == "sLSTM":
            tokens, lengths, _ = arguments
            expected, found = model(tokens, None, lengths)[0], of_files(tokens, None, lengths)[0]
        elif name == "tagger, crf":
            words, lengths, _ = arguments
            expected, found = model(words, lengths=lengths), of_files(words, lengths=lengths)
        else:
            expected, found = model(*arguments), of_files(*arguments)
        torch.testing.assert_close(found, expected + 1, msg=name)


def test_lengths_of_a_check_include_none_and_all():
    model, sizes = language_model(cell=GRUCell)
    forward = planned(model, **sizes).programs[0]
    assert {(each["batch"], each["time"]) for each in forward.cases} >= {(1, 1), (3, 1), (1, 7)}
    _, lengths, _ = forward.sample({"batch": 4, "time": 6}, torch.Generator().manual_seed(0))
    assert lengths[0] == 0 and lengths[-1] == 6


def test_weights_that_are_tied_stay_one():
    model, sizes = language_model(cell=GRUCell, tie_weights=True)
    copy = planned(model, **sizes).programs[0].module.model
    assert copy.head.output.weight is copy.input.embedding.weight


class Doubler(nn.Module):
    """A model of another kind."""

    def forward(self, x):
        return 2 * x


def test_another_kind_of_model_is_a_line(monkeypatch):
    def plan_of(model, sizes):
        return Export("doubling", [], {"step": f"there are {sizes['count']}"})

    with pytest.raises(InputError, match="a Doubler can't be exported"):
        plan(Doubler(), {})
    monkeypatch.setattr(kinds, "KINDS", [*kinds.KINDS, kinds.Kind(Doubler, plan_of, answer_with_forward)])
    assert plan(Doubler(), {"count": 3}).left_out == {"step": "there are 3"}
    assert use_files(Doubler(), {"forward": lambda x: (x + 1,)})(torch.ones(1)).tolist() == [2.0]


def test_every_model_that_ships_is_of_a_kind():
    models = [get_class(OmegaConf.load(file)["_target_"]) for file in sorted((CONF / "model").glob("*.yaml"))]
    found = [[kind for kind in kinds.KINDS if issubclass(model, kind.model)] for model in models]
    assert {len(each) for each in found} == {1} and {each for (each,) in found} == {*kinds.KINDS}


class RowsCell(GRUCell):
    """A state that begins otherwise in each row, which one row in a file can't say."""

    def initial_state(self, batch_size, *, like):
        return (torch.arange(batch_size).to(like).unsqueeze(1).expand(-1, self.hidden_size),)


def test_a_state_that_depends_on_the_row_is_refused():
    model, sizes = language_model(cell=RowsCell)
    with pytest.raises(InputError, match="the initial state differs between the rows"):
        planned(model, **sizes)


@pytest.mark.parametrize(
    ("value", "words"), [(torch.ones(2), "2, 5"), (torch.full((2, 5), torch.nan), "inf"), (torch.ones(2, 5), "by")]
)
def test_a_difference_is_an_error_whatever_it_is(value, words):
    model, sizes = language_model(cell=GRUCell)
    program = planned(model, **sizes).programs[1]
    program.cases = [{"batch": 2, "time": 3}]
    program.reference, program.outputs = nn.Identity(), program.outputs[:1]
    program.reference.forward = lambda *_: (torch.zeros(2, 5),)
    with pytest.raises(InputError, match=words):
        check.compare(program, lambda *_: (value,))
