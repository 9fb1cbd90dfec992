"""What is exported of each kind of model, before it becomes a file: the copy answers as the model does."""

import pytest
import torch
from torch import nn

from seqlab.errors import InputError
from seqlab.export import check
from seqlab.export.formats import quiet
from seqlab.export.programs import plan
from seqlab.nn import Answerer, Classifier, GRUCell, LanguageModel, LSTMCell, RNNCell, SLSTMCell, Tagger, Translator
from seqlab.nn.models.window import WindowModel
from tests.models import of_cell


def planned(model, **sizes):
    with quiet():
        return plan(model.eval(), sizes)


def language_model(**options):
    return of_cell(LanguageModel, 11, hidden_size=4, **options), {"vocab_size": 11}


def classifier(**options):
    return of_cell(Classifier, 11, 3, cell=GRUCell, hidden_size=4, **options), {"vocab_size": 11, "num_classes": 3}


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
