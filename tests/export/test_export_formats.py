"""The files: every kind of model in ONNX, and what a reader of them meets."""

import json
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from seqlab.errors import InputError
from seqlab.export import check, formats
from seqlab.export.kinds import plan
from seqlab.nn import (
    Answerer,
    Captioner,
    Classifier,
    Decoder,
    Encoder,
    Forecaster,
    FrameInput,
    GatedCell,
    GRUCell,
    KneserNey,
    LanguageModel,
    LSTMCell,
    NextTokenModel,
    PictureInput,
    QuantileHead,
    Tagger,
    TokenHead,
    TokenInput,
    TransformerEncoder,
    Translator,
)
from tests.models import of_cell

onnxruntime = pytest.importorskip("onnxruntime", reason="exports need pip install 'seqlab[export]'")
pytest.importorskip("onnxscript", reason="exports need pip install 'seqlab[export]'")


class OwnCell(GatedCell):
    """A cell of a user's own: parameters of its own, a state of two widths, and operations in place."""

    num_gates, state_names = 2, ("h", "slow")

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.rate = nn.Parameter(torch.rand(3 * hidden_size))
        self.first = nn.Parameter(torch.randn(hidden_size))

    @property
    def state_sizes(self):
        return self.hidden_size, 3 * self.hidden_size

    def initial_state(self, batch_size, *, like):
        return self.first.expand(batch_size, -1), like.new_zeros(batch_size, 3 * self.hidden_size)

    def pointwise(self, gi, gh, state):
        keep, write = (gi + gh).chunk(2, -1)
        slow = (state[1] * self.rate.sigmoid()).add_(write.repeat(1, 3).tanh_())
        return keep.sigmoid() * state[0] + slow[:, : self.hidden_size].tanh(), slow


def onnx_of(model, sizes, folder, graphs=None):
    """The programs of a model, each written as ONNX and compared with the model; ``graphs`` gets what was traced."""
    export = plan(model.eval(), sizes)
    graphs, files = {} if graphs is None else graphs, {}
    for program in export.programs:
        path = folder / f"{program.name}.onnx"
        graphs[program.name] = formats.trace(program)
        formats.write_onnx(graphs[program.name], program, path)
        files[program.name] = formats.OnnxFile(path, program)
        assert check.compare(program, files[program.name]).error < 2e-6
    return export, files


@pytest.fixture(scope="module")
def language_model():
    torch.manual_seed(0)
    options = {"cell": OwnCell, "hidden_size": 5, "num_layers": 2, "connect": "residual", "tie_weights": True}
    return of_cell(LanguageModel, 11, dropout=0.5, output_dropout=0.5, **options).eval()


@pytest.fixture(scope="module")
def exported(language_model, tmp_path_factory):
    folder, graphs = tmp_path_factory.mktemp("exported"), {}
    return folder, *onnx_of(language_model, {"vocab_size": 11}, folder, graphs), graphs


def test_a_language_model_reads_on_from_its_state_in_any_batch(exported, language_model):
    folder, export, *_ = exported
    step = onnxruntime.InferenceSession(str(folder / "step.onnx"))
    program = next(each for each in export.programs if each.name == "step")
    tokens = np.array([[1, 2, 3, 4, 10], [0, 10, 9, 8, 7]])
    state = {name: np.repeat(value.numpy(), 2, 0) for name, value in export.initial.items()}
    scores = []
    for token in tokens.T:
        logits, *new = step.run(None, {"token": token, **state})
        state = dict(zip([one for one, _ in program.state], new, strict=True))
        scores.append(logits)
    with torch.no_grad():
        expected, after = language_model(torch.from_numpy(tokens))
    np.testing.assert_allclose(np.stack(scores, 1), expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(state["state_layer1_slow"], after[1][1].numpy(), atol=1e-5)


def test_a_file_names_its_axes_and_says_nothing_of_this_machine(exported):
    folder, export, files, _ = exported
    assert list(export.initial) == [f"state_layer{number}_{name}" for number in (0, 1) for name in ("h", "slow")]
    shapes = {each.name: each.shape for each in files["forward"].session.get_inputs()}
    assert shapes["tokens"] == ["batch", "time"] and shapes["state_layer0_slow"] == ["batch", 15]
    assert {each.name: each.shape for each in files["forward"].session.get_outputs()}["logits"] == ["batch", "time", 11]
    for path in folder.glob("*.onnx"):
        assert b".py" not in path.read_bytes()


def test_a_file_of_torch_is_loaded_without_seqlab(exported, language_model, tmp_path):
    _, export, _, graphs = exported
    for program in export.programs:
        path = tmp_path / f"{program.name}.pt2"
        formats.write_torch(graphs[program.name], path)
        assert check.compare(program, formats.TorchFile(path)).error < 2e-6
        assert str(tmp_path.home()).encode() not in path.read_bytes() and b"site-packages" not in path.read_bytes()
    program = (
        "import json, sys, torch; sys.modules['seqlab'] = None\n"
        "forward = torch.export.load(sys.argv[1]).module()\n"
        "state = tuple(torch.tensor(part) for part in json.loads(sys.argv[2]))\n"
        "print(json.dumps(forward(torch.tensor([[3, 1, 2]]), torch.tensor([3]), state)[0][0, -1].tolist()))"
    )
    state = json.dumps([part.tolist() for part in export.initial.values()])
    command = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path / "forward.pt2"), state]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        expected = language_model(torch.tensor([[3, 1, 2]]))[0][0, -1]
    torch.testing.assert_close(torch.tensor(json.loads(done.stdout)), expected)


def test_a_transformer_reads_on_from_its_context(tmp_path):
    torch.manual_seed(0)
    layers = partial(TransformerEncoder, hidden_size=4, num_layers=1, num_heads=2, context=3)
    model = LanguageModel(partial(TokenInput, 7, 4), layers, partial(TokenHead, vocab_size=7)).eval()
    for program in plan(model, {"vocab_size": 7}).programs:
        path = tmp_path / f"{program.name}.pt2"
        formats.write_torch(formats.trace(program), path)
        assert check.compare(program, formats.TorchFile(path)).error < 2e-6


def test_a_classifier_reads_on_with_its_pooling(tmp_path):
    torch.manual_seed(0)
    model = of_cell(Classifier, 11, 3, cell=GRUCell, hidden_size=4, pooling="last", tbptt_steps=2).eval()
    export, files = onnx_of(model, {"vocab_size": 11, "num_classes": 3}, tmp_path)
    tokens = torch.randint(11, (2, 6))
    values = tuple(value.expand(2, *value.shape[1:]) for value in export.initial.values())
    for token in tokens.unbind(1):
        logits, *values = files["step"](token, tuple(values))
    with torch.no_grad():
        torch.testing.assert_close(logits, model(tokens))


def test_a_tagger_has_letters_and_a_crf(tmp_path):
    torch.manual_seed(0)
    options = {"decoder": "crf", "entities": True, "bidirectional": True, "num_characters": 5}
    model = of_cell(Tagger, 11, ["B-x", "I-x", "O"], cell=GRUCell, hidden_size=4, character_hidden_size=3, **options)
    nn.init.normal_(model.head.crf.transitions)
    export, files = onnx_of(model, {"vocab_size": 11, "num_characters": 5}, tmp_path)
    assert list(files) == ["forward"] and "bidirectional" in export.left_out["step"]


def test_a_translator_encodes_and_writes(tmp_path):
    torch.manual_seed(0)
    model = of_cell(Translator, 11, 13, cell=LSTMCell, hidden_size=4, attention="general")
    export, files = onnx_of(model, {"source_vocab_size": 11, "target_vocab_size": 13}, tmp_path)
    assert list(files) == ["encode", "step"] and "forward" in export.left_out
    encode, step = export.programs
    read = {port.name for port in encode.outputs}
    assert {port.name for port in step.flat_inputs} == read | {"token"}


def test_an_answerer_reads_stories_of_any_size(tmp_path):
    torch.manual_seed(0)
    model = of_cell(Answerer, 11, 4, cell=GRUCell, hidden_size=4, unit="word")
    onnx_of(model, {"vocab_size": 11, "num_answers": 4}, tmp_path)


def test_a_forecaster_has_gaps_and_what_is_known_beforehand(tmp_path):
    torch.manual_seed(0)
    head = partial(QuantileHead, num_targets=1, num_known=1, horizon=3)
    encoder = partial(Encoder, GRUCell, hidden_size=4)
    model = Forecaster(partial(FrameInput, 3, observed=True), encoder, head, normalize="last")
    _, files = onnx_of(model, {}, tmp_path)
    assert list(files) == ["forward"]
    frames = torch.randn(2, 6, 3).masked_fill(torch.rand(2, 6, 3) < 0.3, torch.nan)
    future = torch.randn(2, 3, 1)
    with torch.no_grad():
        expected = model(frames, torch.tensor([6, 2]), future)
    torch.testing.assert_close(files["forward"](frames, torch.tensor([6, 2]), future)[0], expected)


def test_a_captioner_sees_and_writes(tmp_path):
    torch.manual_seed(0)
    layers, output = partial(Encoder, GRUCell, hidden_size=4), partial(TokenHead, vocab_size=7)
    head = partial(Decoder, partial(TokenInput, 7, 4), layers, output, feature_size=4)
    model = Captioner(partial(PictureInput, (3, 6, 6), 4), head)
    export, _ = onnx_of(model, {"picture_size": (3, 6, 6), "target_vocab_size": 7}, tmp_path)
    encode, step = export.programs
    assert {port.name for port in step.flat_inputs} == {port.name for port in encode.outputs} | {"token"}


def test_what_is_no_network_is_refused():
    with pytest.raises(InputError, match="an n-gram model is a table of counts"):
        plan(KneserNey(5), {"vocab_size": 5})
    with pytest.raises(InputError, match="a Linear can't be exported: expected one of NextTokenModel, Classifier"):
        plan(nn.Linear(2, 2), {})


class CountingModel(NextTokenModel):
    """A model that answers otherwise at each call, of which an exported file holds one."""

    def __init__(self):
        super().__init__()
        self.table, self.calls = nn.Embedding(5, 5), 0

    def initial_state(self, batch_size):
        return ()

    def features(self, inputs, state=None, lengths=None):
        self.calls += 1
        return self.table(inputs) * self.calls, ()

    def logits(self, features):
        return features


def test_a_file_that_differs_from_the_model_is_refused(tmp_path):
    program = plan(CountingModel().eval(), {"vocab_size": 5}).programs[0]
    formats.write_torch(formats.trace(program), tmp_path / "forward.pt2")
    with pytest.raises(InputError, match="the exported forward with batch 1, time 1 differs from the model by"):
        check.compare(program, formats.TorchFile(tmp_path / "forward.pt2"))
