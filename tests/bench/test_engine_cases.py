"""Who takes part in the engines' benchmark: every contender computes what the loop does, or is refused."""

from pathlib import Path

import pytest
import torch
from torch import nn

from seqlab.bench.engine import cases as engine_cases
from seqlab.bench.engine import cells
from seqlab.bench.engine.cases import draw_lengths, layer_case, lengths_case, shape_case
from seqlab.bench.engine.cells import UserGRUCell, UserLSTMCell, all_cells, find_cells, stock_of
from seqlab.bench.engine.contenders import Setting, Size, disagreement
from seqlab.errors import InputError
from seqlab.nn import IndRNNCell, LSTMCell, Recurrent
from seqlab.nn.engine import ENGINES, available, loop

SIZE = Size(7, 4, 6)
HERE = Setting(torch.device("cpu"))
MAKES = {
    "layer": layer_case,
    "lengths": lengths_case,
    "bidirectional": lambda name, factory, *rest: shape_case(name, factory, SIZE, "bidirectional", *rest[1:]),
    "two layers": lambda name, factory, *rest: shape_case(name, factory, SIZE, "two layers", *rest[1:]),
}
CELLS = {"lstm": LSTMCell, "user_lstm": UserLSTMCell, "user_gru": UserGRUCell}


class OffByOne:
    """The loop, but for one thing that an engine may get wrong."""

    def __init__(self, mistake: str) -> None:
        self.mistake = mistake

    def refusal(self, cell):
        return None

    def run(self, cell, x, state, lengths):
        if self.mistake == "raises":
            raise RuntimeError("no kernel\nfor this")
        if self.mistake == "last step":
            output, state = loop.run(cell, x, state, lengths)
            return torch.cat((output[:, :-1], output[:, -2:-1]), 1), state
        if self.mistake == "gradient of weight_hh":
            held = {"cell.weight_hh": cell.weight_hh.detach()}
            return torch.func.functional_call(_Run(cell), held, (x, state, lengths))
        if self.mistake == "nan":
            output, state = loop.run(cell, x, state, lengths)
            return output * torch.nan, state
        return loop.run(cell, x, state, lengths)


class _Run(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, x, state, lengths):
        return loop.run(self.cell, x, state, lengths)


@pytest.mark.parametrize("kind", MAKES)
@pytest.mark.parametrize("cell", CELLS)
def test_what_is_timed_computes_the_same_as_the_loop(kind, cell):
    case = MAKES[kind](cell, CELLS[cell], SIZE, ("loop", "auto"), HERE)
    assert case.failures == {} and case.baselines["stock"] in case.others
    layers = {name: contender for name, contender in case.contenders.items() if name != "products"}
    expected = layers.pop("loop").values()
    assert {"auto", case.baselines["stock"]} <= set(layers)
    for contender in layers.values():
        actual = contender.values()
        assert torch.allclose(actual["output"], expected["output"], atol=1e-5)
        assert torch.allclose(actual["gradient of x"], expected["gradient of x"], atol=1e-5)
    assert expected["output"].abs().sum() > 1 and expected["gradient of x"].abs().sum() > 1


def test_a_layer_meets_every_engine_that_serves_it_and_every_baseline():
    case = layer_case("lstm", LSTMCell, SIZE, None, HERE)
    assert tuple(case.engines) == available(LSTMCell(2, 2)) == ("native", "loop")
    assert case.baselines == {
        "stock": "nn.LSTM",
        "eager": "nn.LSTMCell loop",
        "loop": "loop",
        "products": "products",
    }
    assert set(case.others) == {"nn.LSTM", "nn.LSTMCell loop", "products"}
    assert case.auto == Recurrent(LSTMCell(2, 2)).engine


def test_auto_is_asked_for_the_setting_that_is_measured(monkeypatch):
    asked = []
    monkeypatch.setattr(engine_cases, "choose", lambda cell, *setting: asked.append(setting) or "native")
    for precision in ("32-true", "bf16-mixed"):
        setting = Setting(torch.device("cpu"), precision)
        layer_case("lstm", LSTMCell, SIZE, ["native"], setting)
        lengths_case("lstm", LSTMCell, SIZE, ["native"], setting)
    assert asked == [("auto", "cpu", low, packed) for low in (False, True) for packed in (False, True)]


def test_a_cell_without_a_counterpart_is_held_against_its_own_loop_and_nn_lstm():
    class Other(UserGRUCell):
        pass

    case = layer_case("other", Other, SIZE, ("auto",), HERE)
    assert not stock_of("other").same
    assert case.baselines == {"stock": "nn.LSTM", "loop": "loop", "products": "products"}
    assert set(case.engines) == {"auto"} and set(case.others) == {"nn.LSTM", "loop", "products"}
    assert case.failures == {}


@pytest.mark.parametrize("kind", MAKES)
@pytest.mark.parametrize("mistake", ["last step", "gradient of weight_hh", "nan", "raises"])
def test_a_wrong_engine_is_refused_and_the_others_are_not(kind, mistake, monkeypatch):
    monkeypatch.setitem(ENGINES, "wrong", OffByOne(mistake))
    case = MAKES[kind]("user_lstm", UserLSTMCell, SIZE, ("wrong", "loop"), HERE)
    assert list(case.engines) == ["loop"] and list(case.failures) == ["wrong"]
    reason = case.failures["wrong"]
    if mistake == "gradient of weight_hh":
        assert reason.startswith("gradient of ") and "weight_hh is off by 1 " in reason
    else:
        assert reason.startswith("it raised RuntimeError: no kernel" if mistake == "raises" else "output is off by")
    assert "\n" not in reason


def test_an_engine_that_is_right_is_admitted(monkeypatch):
    monkeypatch.setitem(ENGINES, "wrong", OffByOne("none"))
    case = layer_case("user_lstm", UserLSTMCell, SIZE, None, HERE)
    assert {"wrong", "loop"} <= set(case.engines) and case.failures == {}


def test_a_layer_of_torch_that_computes_something_else_is_refused(monkeypatch):
    monkeypatch.setattr(engine_cases, "_copy_to_stock", lambda cell, layer: nn.init.zeros_(layer.weight_hh_l0))
    case = layer_case("lstm", LSTMCell, SIZE, None, HERE)
    assert list(case.failures) == ["nn.LSTM"] and "nn.LSTM" not in case.others


def test_rounding_is_no_disagreement_even_where_a_gradient_is_nothing_but_rounding():
    expected = {"output": torch.ones(3), "gradient of x": torch.ones(3), "gradient of b": torch.full((3,), 1e-9)}
    actual = {"output": torch.ones(3) + 1e-5, "gradient of x": torch.ones(3), "gradient of b": torch.full((3,), -1e-8)}
    assert disagreement(actual, expected, 1e-3) is None
    assert (
        disagreement({**actual, "output": torch.ones(3) + 0.01}, expected, 1e-3) == "output is off by 0.01 of its size"
    )
    assert disagreement({**actual, "output": torch.ones(1)}, expected, 1e-3).startswith("output has shape (1,)")


def test_lengths_are_drawn_from_half_the_steps_to_all_and_reach_both_sides():
    lengths = draw_lengths(Size(9, 4000, 1))
    assert sorted(set(lengths.tolist())) == [5, 6, 7, 8, 9]
    assert torch.equal(lengths, draw_lengths(Size(9, 4000, 1)))
    counts = torch.bincount(lengths)[5:]
    assert counts.min() > 700 and counts.max() < 900  # 800 each, but for chance
    shorter = draw_lengths(SIZE) < SIZE.T
    output = lengths_case("lstm", LSTMCell, SIZE, ("auto",), HERE).others["packed nn.LSTM"].values()["output"]
    assert shorter.any() and bool((output[shorter, -1] == 0).all())


def test_forward_records_nothing_and_a_backward_pass_leaves_fresh_gradients():
    case = layer_case("lstm", LSTMCell, SIZE, ("native",), HERE)
    contender = case.engines["native"]
    recording = []
    contender.run = lambda x, run=contender.run: (recording.append(torch.is_grad_enabled()), run(x))[1]
    contender.forward()
    assert contender.x.grad is None and recording == [False]
    contender.both()
    first = contender.x.grad.clone()
    contender.both()
    assert torch.equal(contender.x.grad, first)  # fresh, not added to
    contender.release()
    assert contender.x.grad is None and all(p.grad is None for p in contender.layer.parameters())


def test_bfloat16_is_in_force_where_it_was_asked_for():
    case = layer_case("user_lstm", UserLSTMCell, SIZE, None, Setting(torch.device("cpu"), "bf16-mixed"))
    assert case.failures == {}
    assert case.others["products"].x.dtype == torch.bfloat16
    assert case.others["nn.LSTM"].values()["output"].dtype == torch.bfloat16


def test_every_cell_that_ships_is_timed_by_the_name_of_its_file():
    configured = {path.stem for path in Path(__file__).parents[2].glob("conf/model/cell/*.yaml")}
    assert set(all_cells()) == (configured - {"module"}) | {"user_lstm", "user_gru"}  # an adapter needs a module
    assert [all_cells()[name] for name in ("lstm", "ind_rnn")] == [LSTMCell, IndRNNCell]
    assert list(find_cells(("gru", "lstm"))) == ["gru", "lstm"]


def test_a_cells_name_is_that_of_its_file_whatever_its_class_is_called(tmp_path, monkeypatch):
    (tmp_path / "model" / "cell").mkdir(parents=True)
    (tmp_path / "model" / "cell" / "mgu_reset_after.yaml").write_text("_target_: seqlab.nn.MGUCell\n_partial_: true\n")
    (tmp_path / "model" / "cell" / "_shared.yaml").write_text("bias: true\n")
    monkeypatch.setattr(cells, "files", lambda _: tmp_path)
    cells._configured.cache_clear()
    try:
        assert cells.all_cells().keys() == {"user_lstm", "user_gru", "mgu_reset_after"}
    finally:
        cells._configured.cache_clear()


def test_the_users_cells_compute_the_stock_equations_but_no_kernel_serves_them():
    for name, kind in (("lstm", UserLSTMCell), ("gru", UserGRUCell)):
        assert "native" not in available(kind(2, 3)) and stock_of(f"user_{name}").same
    assert (stock_of("user_gru").name, stock_of("gru").loop_name) == ("nn.GRU", "nn.GRUCell loop")


@pytest.mark.parametrize(("name", "mend"), [("lstn", "did you mean lstm?"), ("zzz", "known are user_lstm, user_gru")])
def test_an_unknown_cell_is_refused_with_what_there_is(name, mend):
    with pytest.raises(InputError, match="--cells: there is no cell") as caught:
        find_cells(("gru", name))
    assert mend in str(caught.value)
