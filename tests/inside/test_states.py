"""``run.states`` and ``seqlab states``: what a run's layers hold while it reads a text, for each kind of model."""

import pytest
import torch

import seqlab
from seqlab.cli import main
from seqlab.config import build
from seqlab.errors import InputError
from seqlab.inside import States, rank_units
from seqlab.inside.draw import draw_states, visible
from seqlab.nn import Encoder, GRUCell, LSTMCell, record_states
from tests.conftest import run_here, small

QUICK = ("logger=none", "trainer.max_epochs=-1", "trainer.max_steps=1", "trainer.val_check_interval=1")


@pytest.fixture(scope="module")
def runs(tmp_path_factory, text_file):
    """An untrained run of each kind, by name, which is made at its first use."""
    folder, made = tmp_path_factory.mktemp("runs"), {}
    overrides = {
        "characters": (*small(text_file), "model.num_layers=2", "model.connect=residual", "model/cell=lstm"),
        "words": (*small(text_file), "data.unit=word", "data.max_vocab_size=20", "model/cell=gru"),
        "tagger": ("experiment=grammar_tagger", "data.sizes=[40,10,10]", "data.max_word_length=12"),
        "classifier": (
            "experiment=tiny_sentiment",
            "model.tbptt_steps=3",
            "model.bidirectional=false",
            "data.max_length=12",
        ),
        "window": (*small(text_file), "model=window", "model.hidden_size=8"),
    }

    def get(name):
        if name not in made:
            run_here(folder / name, *overrides[name], *QUICK, "trainer.check_val_every_n_epoch=null")
            made[name] = seqlab.load(folder / name)
        return made[name]

    return get


def test_states_of_a_character_model_give_its_logits(runs):
    run, text = runs("characters"), "bad cab\nfed"
    states = run.states(text)
    assert states.labels == tuple(text) and [layer.layer for layer in states.layers] == [1, 2]
    model, tokens = run.model, torch.from_numpy(run.vocabulary.encode(text)).unsqueeze(0)
    with torch.no_grad():
        logits, _ = model(tokens)
        torch.testing.assert_close(states.input, model.input(tokens)[0])
        top = states.part("h", layer=1) + states.part("h", layer=2)  # the residual sum
        torch.testing.assert_close(model.logits(top), logits[0])
        # Token by token, with the state handed on, as the model writes text.
        state = None
        for t in range(tokens.size(1)):
            _, state = model(tokens[:, t : t + 1], state)
            for layer, parts in zip(states.layers, state, strict=True):
                torch.testing.assert_close(layer["h"][t], parts[0][0])
                torch.testing.assert_close(layer["c"][t], parts[1][0])
    assert "layer 2 forward; parts h, c, i, f, g, o" in repr(states)
    assert run.states(text, gates=False).layers[0].gates == {}


def test_the_parts_of_all_layers_are_named_where_their_cells_differ():
    encoder = Encoder([LSTMCell, GRUCell], input_size=2, hidden_size=3)
    states = States.from_calls("abc", record_states(encoder, lambda: encoder(torch.zeros(1, 3, 2))))
    assert repr(states).endswith("parts h, c, i, f, g, o, r, z, n>")


def test_an_unknown_word_is_read_as_unknown_and_said(runs, caplog):
    run = runs("words")
    known = run.vocabulary.tokens[0]
    states = run.states(f"{known} zzz")
    assert states.labels == (known, "zzz") and "'zzz'" in caplog.text
    run.states(__file__)
    assert f"the text is '{__file__}', the name of a file" in caplog.text
    other = run.states(f"{known} <unk>")
    assert torch.equal(states.part("h"), other.part("h")) and states.layers[0].gates.keys() == {"r", "z", "n"}


def test_states_of_a_tagger_are_over_its_words(runs):
    run = runs("tagger")
    states = run.states("Dafi toko Sara")
    assert states.labels == ("Dafi", "toko", "Sara")
    assert [(each.layer, each.direction) for each in states.layers[:2]] == [(1, "forward"), (1, "backward")]
    top = [states.layer(direction=direction).output for direction in ("forward", "backward")]
    with torch.no_grad():
        emissions = run.model.head(torch.cat(top, 1).unsqueeze(0))
    assert emissions.shape == (1, 3, len(run.spec.tags))
    (answer,) = run.predict("Dafi toko Sara")
    assert run.spec.tags[0] and len(answer.values["tags"]) == 3
    with torch.no_grad():
        tags = run.model.decode(emissions, torch.tensor([3]))[0].tolist()
    scheme = run.task.scheme
    assert scheme.write([run.spec.tags[tag] for tag in tags]) == answer.values["tags"]
    assert all("input" not in layer.name for layer in states.layers)


def test_states_of_windows_follow_one_another_and_a_longer_text_is_cut_as_the_model_cuts_it(runs, caplog):
    run, text = runs("classifier"), "I love this very good story of a dog and"
    states = run.states(text)
    assert states.labels == tuple(run.vocabulary.pieces(text)) and len(states.labels) > 3
    with torch.no_grad():
        tokens = torch.from_numpy(run.vocabulary.encode(text)).unsqueeze(0)
        output, _ = run.model.encoder(run.model.input(tokens))
    torch.testing.assert_close(states.layer().output, output[0])
    assert run.spec.max_length == 12
    assert len(run.states(" ".join(["good"] * 20)).labels) == 12 and "the first 12 of 20 tokens" in caplog.text


@pytest.mark.parametrize(
    ("name", "words"), [("window", "no recurrent layer reads"), ("characters", "the text is empty")]
)
def test_what_has_no_states_is_refused(runs, name, words):
    with pytest.raises(InputError, match=words):
        runs(name).states("" if name == "characters" else "bad")


def test_layers_parts_and_units_are_named_where_they_are_missing(runs):
    states = runs("characters").states("bad")
    for wrong, words in (
        ({"part": "z"}, r"part 'z': layer 2 has h, c, i, f, g, o"),
        ({"layer": 3}, "the layers 1 to 2"),
        ({"direction": "backward"}, "layer 2 runs forward"),
        ({"units": [16]}, "numbers from 0 to 15"),
        ({"units": []}, "units none"),
    ):
        with pytest.raises(InputError, match=words):
            states.figure(**wrong)


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_the_command_writes_a_picture(runs, tmp_path, capsys, ending):
    run_dir, file = str(runs("characters").run_dir), tmp_path / "new" / f"picture.{ending}"
    assert (
        main(["states", run_dir, "bad cab", "--layer", "1", "--part", "c", "--units", "3,7", "--output", str(file)])
        == 0
    )
    assert file.read_bytes()[:4] in (b"\x89PNG", b"%PDF", b"<?xm")
    assert "7 tokens" in capsys.readouterr().out
    if ending == "svg":
        assert ">3<" in file.read_text() and ">7<" in file.read_text() and "c of layer 1" in file.read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bad", "--output", "a.jpg"], "ends in one of .png, .pdf, .svg"),
        (["bad", "--output", "a.png", "--units", "3,x"], "--units '3,x'"),
        (["bad", "--output", "a.png", "--layer", "0"], "--layer"),
        (["bad Q", "--output", "a.png"], "the text has characters the vocabulary lacks: 'Q'"),
    ],
)
def test_wrong_input_is_one_line(runs, tmp_path, monkeypatch, capsys, arguments, words):
    run_dir = str(runs("characters").run_dir)
    monkeypatch.chdir(tmp_path)
    assert main(["states", run_dir, *arguments]) == 2
    shown = capsys.readouterr().err.splitlines()
    assert words in shown[-1] and shown[-1].startswith("seqlab: ") and not list(tmp_path.iterdir())


def test_a_picture_has_a_row_for_each_unit_and_a_column_for_each_token():
    values = torch.linspace(-1, 2, 200).view(100, 2)
    figure = draw_states(values, ["a"] * 99 + ["$"], units=[1])
    first, second, _ = figure.axes
    assert first.images[0].get_array().shape == (1, 80) and second.images[0].get_array().shape == (1, 20)
    assert first.images[0].get_array()[0, 3] == values[3, 1]
    assert first.images[0].get_clim() == second.images[0].get_clim() == (-2, 2)
    assert [text.get_text() for text in second.get_xticklabels()][-1] == r"\$"
    assert draw_states(values.abs(), "ab" * 50).axes[0].images[0].get_clim() == (0, 2)
    with pytest.raises(InputError, match="2,000 tokens"):
        draw_states(torch.zeros(2001, 1), "a" * 2001)
    assert visible(" \n\x00") == "\u2423\u21b5\ufffd"


def test_units_of_a_run_stand_beside_those_of_an_untrained_network(runs):
    run, text = runs("characters"), "bad cab fed " * 20
    before = torch.get_rng_state()
    ranking = run.find_units(text, "after_space", top=2, shifts=9, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert ranking.label == "after_space" and ranking.tried == 4 * 16  # h and c of two layers
    labels = [0, *(int(letter == " ") for letter in text[:-1])]
    again = rank_units(run.states(text), labels, name="after_space", top=2, shifts=9, seed=3)
    assert ranking.units == again.units and ranking.untrained != again
    torch.manual_seed(3)
    fresh = build.build_model(run.config, run.spec).eval()
    tokens = torch.from_numpy(run.vocabulary.encode(text)).unsqueeze(0)
    with torch.no_grad():
        states = States.from_calls(text, record_states(fresh, lambda: fresh(tokens)))
    assert rank_units(states, labels, top=2, shifts=9, seed=3).units == ranking.untrained.units
    own = run.find_units(text, lambda tokens: [token == "a" for token in tokens], parts=["i"], shifts=9, top=1)
    assert own.best.part == "i" and own.tried == 2 * 16
    with pytest.raises(InputError, match=r"label 'after': expected position_in_line, .*or a function of one's own"):
        run.find_units(text, "after")
