"""``is_first``: a row that is reset is as its segments run apart, in layers, encoders and what looks inside them."""

import pytest
import torch
from torch import nn

from seqlab.errors import InputError
from seqlab.export.layers import scanned
from seqlab.nn import (
    Bidirectional,
    Encoder,
    GRUCell,
    LSTMCell,
    Recurrent,
    TransformerEncoder,
    record_states,
    state_gradients,
    step_gradients,
)
from seqlab.nn.layers.order import resets_in_order
from seqlab.nn.state import map_state, reset_rows
from tests.nn.bptt import LearnedStart
from tests.nn.covering import covering

LENGTHS = torch.tensor([7, 0, 1, 5])
IS_FIRST = torch.tensor(
    [[0, 0, 1, 1, 0, 0, 1], [1, 0, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 1, 1]]
).bool()  # one after another, at the first step, at the last, past the end


def segments_of(flags, length):
    """(begin, end) of each segment of a row."""
    begins = sorted({0, *(t for t in range(length) if flags[t])})
    return list(zip(begins, [*begins[1:], length], strict=True)) if length else []


def apart(run, x, lengths, is_first):
    """The outputs ``(B, T, F)`` of ``run(row, begin, end)`` for each segment alone, with zeros for padding."""
    rows = []
    for row, length in enumerate(lengths.tolist()):
        parts = [run(row, begin, end)[0] for begin, end in segments_of(is_first[row].tolist(), length)]
        rows.append(torch.cat(parts, 0) if parts else None)
    size = next(part.size(1) for part in rows if part is not None)
    padded = [x.new_zeros(0, size) if part is None else part for part in rows]
    return torch.stack([nn.functional.pad(part, (0, 0, 0, x.size(1) - len(part))) for part in padded])


@pytest.mark.parametrize(("lengths", "reverse"), covering([None, LENGTHS], [False, True]))
def test_a_row_is_as_its_segments_apart_in_values_and_gradients(lengths, reverse):
    torch.manual_seed(0)
    layer = Recurrent(LearnedStart(3, 4).double(), "loop", reverse)
    x, state = torch.randn(4, 7, 3).double().requires_grad_(), (torch.randn(4, 4).double().requires_grad_(),)
    counts = torch.full((4,), 7) if lengths is None else lengths
    ends = {}

    def run(row, begin, end):
        # The state that is given belongs to the segment that runs first, unless that begins anew.
        given = end == int(counts[row]) if reverse else begin == 0 and not IS_FIRST[row, 0]
        output, (h,) = layer(x[row : row + 1, begin:end], (state[0][row : row + 1],) if given else None)
        if not reverse or row not in ends:
            ends[row] = h[0]
        return output

    expected = apart(run, x, counts, IS_FIRST)
    final = torch.stack([ends.get(row, state[0][row]) for row in range(4)])
    output, (h,) = layer(x, state, lengths, IS_FIRST)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(h, final, rtol=1e-12, atol=1e-12)
    leaves = [x, *state, *layer.parameters()]
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).double()
    gradients = [
        torch.autograd.grad((one * weights).sum() + end.pow(2).sum(), leaves)
        for one, end in ((output, h), (expected, final))
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
        assert one.any()


@pytest.mark.parametrize("backend", ["loop", "native"])
def test_a_given_state_is_used_up_to_the_first_reset_alone(backend):
    cell = GRUCell(3, 4)
    x, state = torch.randn(4, 7, 3), (torch.randn(4, 4).requires_grad_(),)
    output, _ = Recurrent(cell, backend)(x, state, None, IS_FIRST)
    (gradient,) = torch.autograd.grad(output.sum(), state)
    assert gradient.any(1).tolist() == [True, False, False, True]
    again, _ = Recurrent(cell, backend)(x, (torch.randn(4, 4),), None, IS_FIRST)
    same = (again == output).all(2)
    for row, first_reset in enumerate((2, 0, 0, 3)):
        assert same[row].tolist() == [t >= first_reset for t in range(7)]


@pytest.mark.parametrize("reverse", [False, True])
def test_one_truth_value_a_row_stands_for_the_first_step(reverse):
    layer, x, state = Recurrent(LSTMCell(3, 4), "loop", reverse), torch.randn(4, 7, 3), None
    state = tuple(torch.randn(4, 4) for _ in range(2))
    rows = torch.tensor([True, False, True, False])
    full = nn.functional.pad(rows.unsqueeze(1), (0, 6))
    for lengths in (None, LENGTHS):
        one, other = layer(x, state, lengths, rows), layer(x, state, lengths, full)
        torch.testing.assert_close(one, other, rtol=0, atol=0)
        # From the end, nothing comes after the first step: only a segment's end resets, and that is the row's.
        unmoved = torch.ones(4, dtype=torch.bool) if reverse else ~rows
        plain = layer(x, state, lengths)
        kept = unmoved if lengths is None else unmoved | (lengths == 0)
        assert [torch.equal(a, b) for a, b in zip(one[1][0], plain[1][0], strict=True)] == kept.tolist()


def test_from_the_end_a_reset_stands_one_step_before_the_next_segment():
    order = resets_in_order(IS_FIRST, LENGTHS, reverse=True)
    # of row 0, steps 7..1: segments end at the sixth, third and second step; of row 3, steps 5..1: at the third
    assert order[0].int().tolist() == [0, 1, 0, 0, 1, 1, 0] and order[3].int().tolist() == [0, 0, 1, 0, 0, 0, 0]
    assert not order[1:3].any()


@pytest.mark.parametrize(
    ("connect", "norm", "bidirectional", "backend", "lengths"),
    covering(
        *(["none", "residual", "highway", "dense"], ["none", "pre", "post"]),
        *([False, True], ["native", "loop"], [None, LENGTHS]),
    ),
)
def test_an_encoder_reads_segments_apart(connect, norm, bidirectional, backend, lengths):
    torch.manual_seed(0)
    encoder = Encoder([GRUCell, LSTMCell, GRUCell], 3, 4, None, bidirectional, connect, 0.0, backend, norm=norm)
    encoder, x = encoder.double(), torch.randn(4, 7, 3).double()
    counts = torch.full((4,), 7) if lengths is None else lengths
    expected = apart(lambda row, begin, end: encoder(x[row : row + 1, begin:end])[0], x, counts, IS_FIRST)
    output, _ = encoder(x, None, lengths, IS_FIRST)
    torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-10)


def test_dropout_between_layers_is_drawn_as_without_resets():
    encoder, x = Encoder(GRUCell, 3, 64, 2, dropout=0.5, backend="loop"), torch.randn(4, 7, 3)
    seen = []
    encoder.layers[1].register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0] == 0))
    for is_first in (None, IS_FIRST):
        torch.manual_seed(3)
        encoder(x, is_first=is_first)
    assert torch.equal(*seen)


@pytest.mark.parametrize(
    ("context", "bidirectional", "ragged"), covering([1, 3, 20], [False, True], [False, True], strength=3)
)
def test_a_transformer_reads_segments_apart(context, bidirectional, ragged):
    torch.manual_seed(0)
    encoder = TransformerEncoder(3, 8, 2, bidirectional, num_heads=2, context=context).double()
    nn.init.normal_(encoder.distance_scores)
    x = torch.randn(4, 7, 3).double().requires_grad_()
    counts = LENGTHS if ragged else torch.full((4,), 7)
    expected = apart(lambda row, begin, end: encoder(x[row : row + 1, begin:end])[0], x, counts, IS_FIRST)
    output, _ = encoder(x, None, LENGTHS if ragged else None, IS_FIRST)
    torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-10)
    leaves = [x, *encoder.parameters()]
    gradients = [torch.autograd.grad(each.pow(3).sum(), leaves) for each in (output, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("cut", [1, 3, 6])
def test_a_transformers_context_ends_at_a_reset_of_this_window_or_the_one_before(cut):
    encoder, x = TransformerEncoder(3, 8, 2, num_heads=2, context=5).double(), torch.randn(4, 7, 3).double()
    whole, final = encoder(x, None, LENGTHS, IS_FIRST)
    first, state = encoder(x[:, :cut], None, LENGTHS.clamp(max=cut), IS_FIRST[:, :cut])
    second, end = encoder(x[:, cut:], state, (LENGTHS - cut).clamp(min=0), IS_FIRST[:, cut:])
    torch.testing.assert_close(torch.cat((first, second), 1), whole, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(end, final, rtol=1e-10, atol=1e-10)
    assert end[0].sum(1).tolist() == [1, 0, 1, 2]  # the steps of each row's last segment


@pytest.mark.parametrize("reverse", [False, True])
def test_what_looks_inside_sees_the_resets(reverse):
    torch.manual_seed(0)
    layer, x = Recurrent(LearnedStart(3, 4), "loop", reverse), torch.randn(4, 7, 3)

    def call():
        return layer(x, None, LENGTHS, IS_FIRST)[0]

    (seen,) = record_states(layer, call)[""]
    torch.testing.assert_close(seen.states["h"], call())
    parts = step_gradients(layer, lambda: call().sum(), "cell.weight_hh")
    (whole,) = torch.autograd.grad(call().sum(), [layer.cell.weight_hh])
    torch.testing.assert_close(parts.sum(0), whole)
    step_gradients(layer, lambda: call().sum(), "cell.weight_hh", tbptt_steps=3)
    in_windows = state_gradients(layer, lambda: call()[0, 6 * (not reverse)].sum(), tbptt_steps=4)["h"]
    # of row 0 the last step run is a segment of its own forwards, and the end of one of two steps backwards
    assert in_windows[:, 0].any(1).tolist() == [*[False] * (5 if reverse else 6), *[True] * (2 if reverse else 1)]


@pytest.mark.parametrize(
    ("is_first", "error", "message"),
    [
        (IS_FIRST.long(), TypeError, r"is_first: expected a boolean tensor, got torch.int64; use is_first.bool\(\)"),
        (IS_FIRST.tolist(), TypeError, "is_first: expected a boolean tensor, got list"),
        (IS_FIRST[:, :6], ValueError, r"is_first: expected shape \(4,\), .* or \(4, 7\), got \(4, 6\)"),
        (IS_FIRST.unsqueeze(2), ValueError, r"got \(4, 7, 1\)"),
        (IS_FIRST[0], ValueError, r"got \(7,\)"),
        (IS_FIRST.to("meta"), ValueError, "is_first: expected a tensor on cpu, where x is, got meta"),
    ],
)
def test_a_wrong_mask_is_refused_by_all(is_first, error, message):
    x = torch.randn(4, 7, 3)
    layers = [Recurrent(GRUCell(3, 4), "loop"), Bidirectional(GRUCell(3, 4), GRUCell(3, 4), "loop")]
    for layer in (*layers, Encoder(GRUCell, 3, 4), TransformerEncoder(3, 8)):
        with pytest.raises(error, match=message):
            layer(x, is_first=is_first)


def test_an_initial_state_of_another_shape_is_refused_where_resets_need_it():
    cell = GRUCell(3, 4)
    cell.initial_state = lambda batch_size, *, like: (like.new_zeros(1, 4),)
    layer, x, state = Recurrent(cell, "loop"), torch.randn(4, 7, 3), (torch.zeros(4, 4),)
    layer(x, state)
    with pytest.raises(ValueError, match=r"initial_state: expected the tuple \(h \(4, 4\)\)"):
        layer(x, state, None, IS_FIRST)


def test_an_exported_layer_says_that_it_takes_no_resets():
    encoder = scanned(Encoder(GRUCell, 3, 4))
    with pytest.raises(InputError, match="is_first: an exported layer begins anew at the beginning of a call alone"):
        encoder(torch.randn(4, 7, 3), is_first=IS_FIRST)


@pytest.mark.parametrize("export", [False, True])
def test_a_step_that_is_streamed_from_reset_states_reads_segments_apart(export):
    torch.manual_seed(0)
    encoder = Encoder([LearnedStart, LSTMCell], 3, 4).eval().requires_grad_(False)
    x, initial = torch.randn(4, 7, 3), encoder.initial_state(4, like=torch.zeros(1))
    expected, end = encoder(x, None, None, IS_FIRST)
    step = scanned(encoder) if export else encoder
    outputs, state = [], initial
    for t in range(7):
        if export:  # an exported step is given the state that is meant
            output, state = step(x[:, t : t + 1], reset_rows(state, IS_FIRST[:, t], initial))
        else:
            output, state = step(x[:, t : t + 1], state, None, IS_FIRST[:, t])
        outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs, 1), expected)
    torch.testing.assert_close(state, end)


def test_shapes_alone_can_be_run():
    encoder = Encoder(GRUCell, 3, 4, bidirectional=True).to("meta")
    output, state = encoder(torch.randn(4, 7, 3, device="meta"), is_first=IS_FIRST.to("meta"))
    assert output.shape == (4, 7, 8) and map_state(lambda part: part, state)[0][1][0].shape == (4, 4)
