"""A cell or a size for each layer, and keys of a model that its encoder has no use for."""

import json

import pytest
from omegaconf import OmegaConf

from seqlab import cli
from seqlab.config.build import build_model, sized_model
from seqlab.config.compose import compose_config
from seqlab.config.hash import config_hash
from seqlab.config.layers import complete_model, list_overrides
from seqlab.data.language_model.batch import LanguageModelSpec
from seqlab.errors import InputError
from seqlab.nn import GRUCell, LSTMCell, RNNCell, TransformerEncoder
from seqlab.nn.size import count_parameters
from seqlab.run.load import load_run
from tests.conftest import run_here

SPEC = LanguageModelSpec(11, "character", {"train": 1.0, "validation": 1.0, "test": 1.0}, {})
HELLO = ("experiment=hello", "logger=none", "trainer.max_epochs=1")


def hash_of(*overrides):
    return config_hash(compose_config(["data=hello", *overrides]))


def cells_of(*overrides):
    model = build_model(compose_config(["data=hello", *overrides]), SPEC)
    return [type(layer.cell) for layer in model.encoder.layers]


def test_a_list_names_a_cell_for_each_layer():
    assert cells_of("model.cell=[lstm,gru]") == [LSTMCell, GRUCell]
    own = "model.cell=[{rnn:{nonlinearity:relu}},lstm,{_target_:seqlab.nn.GRUCell,_partial_:true}]"
    model = build_model(compose_config(["data=hello", own, "model.num_layers=3"]), SPEC)
    first, second, third = (layer.cell for layer in model.encoder.layers)
    assert (type(first), first.nonlinearity, type(second), type(third)) == (RNNCell, "relu", LSTMCell, GRUCell)
    assert cells_of("experiment=hello", "model.cell=[gru,gru]", "model.num_layers=2") == [GRUCell, GRUCell]


def test_a_part_may_have_a_list_of_its_own():
    config = compose_config(["experiment=kjv_web_gru", "model.encoder.cell=[lstm,gru]", "model.encoder.num_layers=2"])
    assert [cell["_target_"] for cell in config["model"]["encoder"]["cell"]] == [
        "seqlab.nn.LSTMCell",
        "seqlab.nn.GRUCell",
    ]
    assert config["model"]["cell"]["_target_"] == "seqlab.nn.GRUCell"


def test_a_list_of_sizes_is_taken_and_the_embedding_is_as_wide_as_the_first():
    model = build_model(compose_config(["data=hello", "model.hidden_size=[8,6]"]), SPEC)
    assert model.encoder.hidden_size == (8, 6) and model.input.output_size == 8


def test_what_is_asked_for_decides_the_hash_and_the_way_it_is_said_does_not():
    one, other = (hash_of(f"model.cell=[{names}]") for names in ("lstm,gru", "gru,lstm"))
    assert one != other
    assert one == hash_of("~model/cell", "+model.cell=[lstm,{gru:{bias:true}}]")
    assert len({hash_of(f"model.hidden_size={size}") for size in ("[8,4]", "[4,8]", "8")}) == 3


def test_a_list_of_cells_is_matched_to_a_number_of_parameters():
    config = compose_config(["data=hello", "model.cell=[lstm,gru]", "model.match_parameters=50000"])
    assert count_parameters(build_model(config, SPEC)) == pytest.approx(50000, rel=0.02)  # 58 units, or 59


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["model.cell=[lstm,gru,rnn]"], ["model.cell has 3 values", "model.num_layers is 2"]),
        (["model.hidden_size=[8]"], ["model.hidden_size=[8] has 1 value", "model.num_layers is 2"]),
        (["model.cell=[lstm,lsmt]"], ["model.cell.1=lsmt", "gru", "lstm"]),
        (["model.cell=[lstm,3]"], ["model.cell.1=3", "a name of model/cell"]),
        (["model.cell=[lstm,{lsmt:{bias:true}}]"], ["model.cell.1=", "a name of model/cell"]),
        (["model.cell=[lstm,{gru:{bias:maybe}}]"], ["model.cell.1.bias=maybe", "true or false"]),
        (["model/cell=[lstm,gru]"], ["model/cell=[lstm,gru]", "model.cell=[lstm,gru]"]),
        (["model.cell=[lstm,gru]", "model/cell=gru"], ["model/cell=gru beside model.cell=[lstm,gru]"]),
        (["model.cell=[lstm,gru]", "model.cell.bias=false"], ["model.cell.bias=false beside model.cell=[lstm,gru]"]),
        (
            ["model.hidden_size=[8,4]", "model.match_parameters=900"],
            ["model.hidden_size=[8,4]", "match_parameters=null"],
        ),
        (
            ["model=tagger", "data=grammar", "task=tagging", "model.cell=[lstm,gru]", "model.num_layers=2"],
            ["model.cell has 2 values", "model.character_encoder.num_layers is 1", "model.character_encoder.cell"],
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line_before_anything_is_built(overrides, words):
    with pytest.raises(InputError) as refused:
        compose_config(["data=hello", *overrides])
    assert all(word in str(refused.value) for word in words) and "\n" not in str(refused.value)


def test_overrides_of_other_keys_stay_as_they_are():
    same = [
        "model/cell=gru",
        "model.cell.bias=false",
        "-m",
        "data.split=[0.8,0.1,0.1]",
        "model.hidden_size=[3,4]",
        "~model",
    ]
    assert list_overrides(same) == same
    swept = list_overrides(["-m", "model.cell=[lstm,gru],[gru,gru]"])
    assert swept == ["~model/cell", "-m", "+model.cell=[lstm,gru],[gru,gru]"]


def test_a_run_is_read_back_evaluated_and_continued(tmp_path, capsys):
    record = run_here(
        tmp_path / "a", *HELLO, "model.cell=[lstm,gru]", "model.num_layers=2", "model.connect=highway"
    ).fields
    run = load_run(tmp_path / "a")
    assert [type(layer.cell) for layer in run.model().encoder.layers] == [LSTMCell, GRUCell]
    assert cli.main(["evaluate", str(tmp_path / "a")]) == 0
    assert json.loads(json.dumps(record["config"]["model"]["cell"]))[1]["_target_"] == "seqlab.nn.GRUCell"
    assert cli.main(["generate", str(tmp_path / "a"), "--prompt", "h", "--max-new-tokens", "3"]) == 0


def test_a_file_of_ones_own_is_found_by_its_name_and_a_preset_may_hold_a_list(tmp_path, capsys):
    own = tmp_path / "own"
    (own / "model" / "cell").mkdir(parents=True)
    (own / "experiment").mkdir()
    (own / "model" / "cell" / "leaky.yaml").write_text(
        "_target_: seqlab.nn.RNNCell\n_partial_: true\nnonlinearity: relu\n"
    )
    defaults = "# @package _global_\ndefaults:\n  - hello\n  - override /model/cell: null\n"
    (own / "experiment" / "mixed.yaml").write_text(f"{defaults}model: {{cell: [leaky, gru], num_layers: 2}}\n")
    arguments = ["--config-dir", str(own), "experiment=mixed", "--cfg", "job"]
    assert cli.main(["train", *arguments]) == 0
    printed = OmegaConf.to_container(OmegaConf.create(capsys.readouterr().out))
    assert printed["model"]["cell"] == ["leaky", "gru"]
    sources = (("hydra", "pkg://hydra.conf"), ("main", "pkg://seqlab.conf"), ("own", f"file://{own}"))
    cells = complete_model(printed["model"], (*sources, ("schema", "structured://")))["cell"]
    assert [cell["_target_"] for cell in cells] == ["seqlab.nn.RNNCell", "seqlab.nn.GRUCell"]


def test_a_transformer_takes_the_place_of_recurrent_layers():
    config = compose_config(["data=hello", "model/encoder=transformer", "model.match_parameters=60000"])
    assert not {"cell", "connect", "norm", "backend", "recompute"} & config["model"].keys()
    model = build_model(config, SPEC)
    assert isinstance(model.encoder, TransformerEncoder)
    size = sized_model(config, SPEC)["hidden_size"]
    assert size % 4 == 0 and count_parameters(model) == pytest.approx(60000, rel=0.1)
    distances = []
    for near in (size - 4, size, size + 4):
        sized = {**config, "model": {**config["model"], "match_parameters": None, "hidden_size": near}}
        distances.append(abs(count_parameters(build_model(sized, SPEC)) - 60000))
    assert min(distances) == distances[1]


def test_a_presets_cell_is_left_out_and_one_that_is_asked_for_is_refused():
    assert "cell" not in compose_config(["experiment=hello", "model/encoder=transformer"])["model"]
    kept = compose_config(["experiment=hello", "model/encoder=transformer", "model/cell=rnn", "model.connect=dense"])
    assert {"cell", "connect"} <= kept["model"].keys()  # which the model refuses before data is read


def test_a_transformer_beside_recurrent_parts_leaves_these_their_keys():
    config = compose_config(["experiment=grammar_tagger", "model/encoder=transformer"])["model"]
    assert {"cell", "backend", "recompute"} <= config.keys() and not {"connect", "norm"} & config.keys()
    assert "_unread_" not in config["encoder"]


@pytest.mark.parametrize("choice", [["model/cell=rnn"], ["model.connect=dense"]])
def test_what_a_transformer_has_no_use_for_is_refused(tmp_path, choice):
    with pytest.raises(InputError, match=r"model\.\w+.* leave it out"):
        run_here(tmp_path, *HELLO, "model/encoder=transformer", *choice)
