"""Nested states: rows, types, structure and torch's layout."""

import pytest
import torch
from torch import nn

from seqlab.nn.state import cast, detach, from_torch, map_state, reset_rows, select_rows, to_torch


def lstm_state(rows=3, bidirectional=True):
    cell = lambda: (torch.randn(rows, 4, requires_grad=True), torch.randn(rows, 4, requires_grad=True))  # noqa: E731
    return tuple((cell(), cell()) if bidirectional else cell() for _ in range(2))


def flat(state):
    return [state] if isinstance(state, torch.Tensor) else [part for entry in state for part in flat(entry)]


def test_map_state_pairs_corresponding_parts():
    one, other = lstm_state(), lstm_state()
    result = map_state(torch.sub, one, other)
    for part, a, b in zip(flat(result), flat(one), flat(other), strict=True):
        assert torch.equal(part, a - b)
    assert isinstance(result[1][0], tuple)


@pytest.mark.parametrize("other", [lstm_state()[:1], lstm_state(bidirectional=False), torch.zeros(3, 4)])
def test_map_state_refuses_another_structure(other):
    with pytest.raises(ValueError, match=r"states: expected one structure, got .*Tensor"):
        map_state(torch.add, lstm_state(), other)


def test_detach_cuts_the_graph_and_keeps_the_values():
    state = map_state(lambda part: part * 2, lstm_state())
    cut = detach(state)
    assert all(torch.equal(a, b) for a, b in zip(flat(cut), flat(state), strict=True))
    assert not any(part.requires_grad for part in flat(cut))
    assert all(part.requires_grad for part in flat(state))


def test_cast_changes_the_type_and_lets_gradients_through():
    state = lstm_state()
    double = cast(state, torch.float64)
    assert {part.dtype for part in flat(double)} == {torch.float64}
    sum(part.sum() for part in flat(double)).backward()
    assert all(torch.equal(part.grad, torch.ones(3, 4)) for part in flat(state))


def test_select_rows_takes_them_in_order_and_repeats():
    state = lstm_state()
    chosen = select_rows(state, torch.tensor([2, 0, 0, 1]))
    for part, source in zip(flat(chosen), flat(state), strict=True):
        assert torch.equal(part, source[[2, 0, 0, 1]])


def test_reset_rows_mixes_and_sends_each_gradient_home():
    state, initial, rows = lstm_state(), lstm_state(), torch.tensor([True, False, True])
    mixed = reset_rows(state, rows, initial)
    sum(part.sum() for part in flat(mixed)).backward()
    for part, old, new in zip(flat(mixed), flat(state), flat(initial), strict=True):
        assert torch.equal(part[rows], new[rows])
        assert torch.equal(part[~rows], old[~rows])
        assert torch.equal(new.grad, rows[:, None].expand(3, 4).float())
        assert torch.equal(old.grad, (~rows)[:, None].expand(3, 4).float())


def test_reset_rows_keeps_nan_of_the_old_state_out_of_values_and_gradients():
    old = torch.full((2, 1), torch.nan)
    initial = torch.zeros(2, 1, requires_grad=True)
    (h,) = reset_rows((old,), torch.tensor([True, True]), (initial,))
    h.sum().backward()
    assert torch.equal(h, torch.zeros(2, 1))
    assert torch.equal(initial.grad, torch.ones(2, 1))


@pytest.mark.parametrize("rows", [torch.tensor([0, 1, 1]), torch.ones(3, 1, dtype=torch.bool)])
def test_reset_rows_refuses_what_is_no_mask_over_rows(rows):
    with pytest.raises(ValueError, match=r"rows: expected a boolean tensor \(B,\), got"):
        reset_rows(lstm_state(), rows, lstm_state())


@pytest.mark.parametrize("bidirectional", [False, True])
def test_torch_layout_there_and_back(bidirectional):
    lstm = nn.LSTM(3, 4, num_layers=2, bidirectional=bidirectional, batch_first=True)
    _, theirs = lstm(torch.randn(3, 5, 3))
    ours = from_torch(theirs, bidirectional)
    assert torch.equal(flat(ours)[-1], theirs[1][-1])
    assert torch.equal(flat(ours)[2], theirs[0][1])
    assert all(torch.equal(a, b) for a, b in zip(to_torch(ours), theirs, strict=True))


def test_states_of_one_part_are_a_bare_tensor_in_torch():
    h = torch.randn(4, 3, 5)
    ours = from_torch(h, bidirectional=True)
    assert torch.equal(ours[1][0][0], h[2])
    assert torch.equal(to_torch(ours), h)


@pytest.mark.parametrize(
    ("state", "bidirectional"),
    [(torch.zeros(2, 3), False), (torch.zeros(3, 2, 4), True), ((torch.zeros(2, 2, 4), torch.zeros(1, 2, 4)), False)],
)
def test_another_layout_is_refused(state, bidirectional):
    with pytest.raises(ValueError, match=r"state: expected tensors \(layers \* [12], B, H\), got"):
        from_torch(state, bidirectional)


def test_a_bare_tensor_is_no_encoder_state():
    with pytest.raises(ValueError, match=r"state: expected an encoder's state \(a tuple with one entry a layer\)"):
        to_torch(torch.zeros(2, 3))
