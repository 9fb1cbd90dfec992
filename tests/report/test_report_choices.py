"""A choice of a group is shown as it was typed."""

import pytest

from seqlab.report import compare
from seqlab.report.configs import differing_keys
from seqlab.report.names import find_names

ENCODERS = {
    "recurrent": {"_target_": "seqlab.nn.Encoder", "norm": "${..norm}"},
    "transformer": {"_target_": "seqlab.nn.TransformerEncoder", "context": 128, "num_heads": 4},
}


@pytest.fixture
def shown(tmp_path, write_run):
    """What a report shows for runs of encoders: of each, its content and its overrides."""

    def show(*runs, key="model.encoder", **options):
        for number, (content, *overrides) in enumerate(runs):
            write_run(tmp_path / str(number), metrics=1.0 + number, config={key: content}, overrides=tuple(overrides))
        report = compare([tmp_path], by=[key], **options)
        return report, report.labels_of(key)

    return show


def test_it_is_the_name_of_the_file(shown):
    runs = [(content, f"model/encoder={name}") for name, content in ENCODERS.items()]
    report, labels = shown(*runs)
    assert labels == ["recurrent", "transformer"]
    names, _ = find_names(report, ["Encoder=By steps", "transformer=At once"])
    assert names == {"recurrent": "By steps", "transformer": "At once"}


def test_a_baseline_is_named_as_it_was_typed_or_by_its_class(shown):
    runs = [(content, f"model/encoder={name}") for name, content in ENCODERS.items()]
    for name in ("recurrent", "Encoder"):
        report, _ = shown(*runs, baseline={"model.encoder": name})
        assert report.labels_of("model.encoder")[report.groups.index(report.baseline)] == "recurrent"


def test_keys_that_were_set_below_it_stand_beside_it(shown):
    transformer = ENCODERS["transformer"]
    runs = [
        (transformer, "model/encoder=transformer"),
        (transformer | {"context": 64}, "model/encoder=transformer", "model.encoder.context=64"),
    ]
    assert shown(*runs)[1] == ["transformer", "transformer(context=64)"]


def test_a_list_of_cells_is_shown_as_it_was_typed(shown):
    one, other = ({"_target_": f"seqlab.nn.{name}"} for name in ("GRUCell", "LSTMCell"))
    _, labels = shown((one, "+model/cell=gru"), ([one, other], "model.cell=[gru,lstm]"), key="model.cell")
    assert sorted(labels) == ["[gru,lstm]", "gru"]


@pytest.mark.parametrize(
    "overrides",
    [
        ([], ["model/encoder=transformer"]),  # a preset has chosen
        (["model/encoder=mine"], ["model/encoder=mine"]),  # a file that was changed in between
        (["model/encoder=recurrent"], ["model/encoder=transformer", "~model.encoder.depth"]),
    ],
)
def test_what_was_not_typed_is_named_by_its_class_without_references(shown, overrides):
    runs = [(content, *words) for content, words in zip(ENCODERS.values(), overrides, strict=True)]
    assert shown(*runs)[1] == ["Encoder", "TransformerEncoder(context=128, num_heads=4)"]


def test_references_are_shown_where_nothing_else_differs(shown):
    content = ENCODERS["recurrent"]
    _, labels = shown((content,), (content | {"norm": "${..other}"},))
    assert labels == ["Encoder(norm=${..norm})", "Encoder(norm=${..other})"]


def test_an_option_of_a_part_has_the_value_of_the_key_that_it_refers_to(tmp_path, write_run):
    for depth in (1, 2):
        config = {"model.num_layers": depth, "model.encoder.num_layers": "${..num_layers}", "model.encoder.x": "${..x}"}
        write_run(tmp_path / str(depth), metrics=depth, config=config)
    report = compare([tmp_path], by=["model.encoder.num_layers", "model.encoder.x"])
    assert report.labels_of("model.encoder.num_layers") == ["1", "2"]
    assert report.labels_of("model.encoder.x") == ["${..x}"] * 2
    assert differing_keys(report.runs) == ["model.num_layers"]
