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
    BagEncoder,
    Captioner,
    ClassHead,
    Classifier,
    ConvFrameInput,
    Decoder,
    Encoder,
    FeatureInput,
    Forecaster,
    FrameHead,
    FrameInput,
    FrameModel,
    GRUCell,
    Labeller,
    LanguageModel,
    LSTMCell,
    NextTokenModel,
    NumberHead,
    PlacedInput,
    QuantileHead,
    Regressor,
    RNNCell,
    SLSTMCell,
    StepHead,
    SymbolHead,
    Tagger,
    TokenHead,
    TokenInput,
    Transcriber,
    Translator,
)
from seqlab.nn.models.strands import BothStrands
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


GRU = partial(Encoder, GRUCell, hidden_size=4)


def labeller(input=TokenInput, encoder=GRU):
    return Labeller(partial(input, 7, 4), encoder, partial(StepHead, num_classes=3)), {}


def regressor(encoder=GRU, **options):
    model = Regressor(partial(FrameInput, 3, **options), encoder, partial(NumberHead, num_targets=2, pooling="mean"))
    model.input.load_statistics(torch.tensor([100.0, 0.0, 1e-3]), torch.tensor([5.0, 1.0, 1e-4]))
    model.head.load_statistics(torch.tensor([1e-5, 300.0]), torch.tensor([1e-6, 20.0]))
    return model, {}


def forecaster(known=1, **options):
    head = partial(QuantileHead, num_targets=1, num_known=known, horizon=3, quantiles=[0.2, 0.5])
    model = Forecaster(partial(FrameInput, 3, observed=bool(known)), GRU, head, **options)
    model.input.load_statistics(torch.tensor([100.0, 0.0, 1e-3]), torch.tensor([5.0, 1.0, 1e-4]))
    return model, {}


def frame_model():
    return FrameModel(
        partial(FrameInput, 5), partial(Encoder, LSTMCell, hidden_size=4), partial(FrameHead, num_features=5)
    ), {}


def transcriber(**options):
    encoder = partial(Encoder, GRUCell, hidden_size=4, **options)
    return Transcriber(partial(FrameInput, 5), encoder, partial(SymbolHead, num_symbols=4)), {}


def captioner(**options):
    layers, output = partial(Encoder, LSTMCell, hidden_size=4), partial(TokenHead, vocab_size=13)
    head = partial(Decoder, partial(TokenInput, 13, 4), layers, output, feature_size=4, **options)
    return Captioner(partial(FeatureInput, (5, 6), 4), head), {"picture_size": (5, 6), "target_vocab_size": 13}


MODELS = {
    "sLSTM": lambda: language_model(cell=SLSTMCell),
    "dense": lambda: language_model(cell=LSTMCell, num_layers=2, connect="dense"),
    "window": lambda: (WindowModel(11, window_size=3, hidden_size=4), {"vocab_size": 11}),
    "one token": lambda: (WindowModel(11, window_size=1, hidden_size=4), {"vocab_size": 11}),
    "last": lambda: classifier(pooling="last"),
    "max": lambda: classifier(pooling="max", tbptt_steps=2),
    "mean": lambda: classifier(pooling="mean"),
    "attention": lambda: classifier(pooling="attention"),
    "strands": lambda: (BothStrands(classifier(tbptt_steps=2)[0], [*range(10, -1, -1)]), {"vocab_size": 11}),
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
    "labeller": labeller,
    "regressor": lambda: regressor(observed=True),
    "forecaster": forecaster,
    "frame model": frame_model,
    "transcriber": transcriber,
    "captioner": captioner,
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


class Smoothed(TokenInput):
    """An input that sees the steps around each one, and does not say so."""

    def forward(self, tokens):
        x = super().forward(tokens)
        return x + x.roll(1, 1)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda: labeller(partial(PlacedInput, num_places=2)), "places"),
        (lambda: labeller(Smoothed, partial(BagEncoder, hidden_size=4)), "other answers"),
        (lambda: forecaster(normalize="last"), "the whole row"),
        (lambda: transcriber(bidirectional=True), "bidirectional"),
    ],
)
def test_what_has_to_read_rows_whole_has_no_step(made, reason):
    torch.manual_seed(0)
    model, sizes = made()
    export = planned(model, **sizes)
    (forward,) = export.programs
    assert reason in export.left_out["step"] and not forward.state
    with torch.no_grad():
        assert check.compare(forward, forward.module).error < 2e-6


def test_a_step_gives_what_the_whole_row_gives():
    torch.manual_seed(0)
    model, sizes = forecaster()
    export = planned(model, **sizes)
    _, step = export.programs
    frames, future = torch.randn(2, 6, 3), torch.randn(2, 3, 1)
    state = tuple(value.expand(2, *value.shape[1:]) for value in export.initial.values())
    with torch.no_grad():
        for frame in frames.unbind(1):
            quantiles, *state = step.module(frame, future, tuple(state))
        torch.testing.assert_close(quantiles, model(frames, None, future))
    assert export.names == {"quantiles": [0.2, 0.5]}


def test_answers_in_a_users_units_are_compared_in_these():
    units = (torch.tensor([1e-5, 300.0]), torch.tensor([1e-6, 20.0]))
    expected = torch.tensor([[1e-5, 310.0]])
    assert check.difference(expected + torch.tensor([[1e-7, 0.0]]), expected, units) == pytest.approx(0.1, rel=1e-3)
    assert check.difference(expected + torch.tensor([[0.0, 0.2]]), expected, units) == pytest.approx(0.01, rel=1e-3)
    assert check.difference(expected * (1 + 2**-22), expected, units) < check.TOLERANCE
    forward = planned(regressor()[0]).programs[0]
    assert forward.outputs[0].units[1].tolist() == pytest.approx([1e-6, 20.0])


WRITERS = ("dot", "no attention", "additive", "captioner")


@pytest.mark.parametrize("name", WRITERS)
def test_what_writes_is_measured_by_its_files(name):
    torch.manual_seed(0)
    model, sizes = MODELS[name]()
    files = {program.name: program.module for program in planned(model, **sizes).programs}
    of_files = use_files(copy.deepcopy(model), files)
    source, lengths, inputs = torch.randint(11, (3, 5)), torch.tensor([5, 2, 1]), torch.randint(13, (3, 4))
    if name == "captioner":
        source = torch.rand(3, 5, 6)
    with torch.no_grad():
        expected, found = (each.logits(each.features(source, lengths, inputs)[0]) for each in (model, of_files))
        torch.testing.assert_close(found, expected)
        answers = [
            each.beam_search(source, lengths, beam_size=3, max_length=6, bos=1, eos=2) for each in (model, of_files)
        ]
    assert torch.equal(answers[0].tokens, answers[1].tokens)


@torch.no_grad()
def test_other_models_are_measured_by_their_files():
    torch.manual_seed(0)
    one_of_each = {type(make()[0]): name for name, make in MODELS.items() if name not in WRITERS}
    for name in one_of_each.values():
        model, sizes = MODELS[name]()
        forward = planned(model, **sizes).programs[0]
        arguments = forward.sample(forward.cases[3], torch.Generator().manual_seed(0))
        marked = {"forward": lambda *given, run=forward.module: (run(*given)[0] + 1, *run(*given)[1:])}
        of_files = use_files(copy.deepcopy(model), marked)
        if isinstance(model, NextTokenModel):
            tokens, lengths, _ = arguments
            expected, found = model(tokens, None, lengths)[0], of_files(tokens, None, lengths)[0]
        elif isinstance(model, Tagger):
            words, lengths, _ = arguments
            expected, found = model(words, lengths=lengths), of_files(words, lengths=lengths)
        elif isinstance(model, Labeller):
            asked = torch.rand(arguments[0].shape) < 0.5
            expected, found = (each.head(each.features(*arguments)[asked]) for each in (model, of_files))
        elif isinstance(model, (FrameModel, Transcriber)):
            inputs, lengths, _ = arguments
            (expected, state), (found, new) = (each(inputs, lengths=lengths) for each in (model, of_files))
            torch.testing.assert_close(new, state)
            if isinstance(model, FrameModel):
                with pytest.raises(InputError, match="take no is_first: give each segment a row of its own"):
                    of_files(inputs, is_first=torch.zeros(inputs.shape[:2], dtype=torch.bool))
            expected, found = (each(inputs, lengths=lengths, state=state)[0] for each in (model, of_files))
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


def test_every_model_that_ships_is_of_a_kind_or_refused_with_a_reason():
    models = {get_class(OmegaConf.load(file)["_target_"]) for file in sorted((CONF / "model").glob("*.yaml"))}
    assert kinds.REFUSED.keys() < models
    found = [[kind for kind in kinds.KINDS if issubclass(model, kind.model)] for model in models - kinds.REFUSED.keys()]
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
