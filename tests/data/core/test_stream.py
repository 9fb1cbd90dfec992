"""Each target exactly once an epoch, rows that continue, rows that restart, shares that partition."""

import itertools
import time

import numpy as np
import pytest
import torch

from seqlab.data import IGNORE_INDEX, Stream, StreamLoader
from seqlab.data.core.stream import device_rows, longest_run
from seqlab.errors import InputError

BATCH_SIZES = pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 7, 20])
GEOMETRIES = list(itertools.product((2, 3, 5, 8, 21, 22, 97, 100, 101, 257), (1, 2, 5, 10, 64, 300)))  # (N, T)


def geometries(batch_size: int) -> list[tuple[int, int]]:
    return [(num_tokens, steps) for num_tokens, steps in GEOMETRIES if num_tokens - 1 >= batch_size]


def predictions(stream: Stream) -> list[list[tuple[int, int]]]:
    """For each row, the (input, target) pairs of an epoch in order; tokens must be their own positions."""
    rows: list[list[tuple[int, int]]] = [[] for _ in stream.rows]
    for index in range(len(stream)):
        batch = stream.window(index)
        for row, (inputs, targets) in enumerate(zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True)):
            pairs = list(zip(inputs, targets, strict=True))
            valid = [pair for pair in pairs if pair[1] != IGNORE_INDEX]
            assert pairs[: len(valid)] == valid, "ignored positions must come last"
            rows[row] += valid
    return rows


@BATCH_SIZES
def test_each_target_is_predicted_exactly_once_from_the_token_before(batch_size):
    for num_tokens, steps in geometries(batch_size):
        rows = predictions(Stream(np.arange(num_tokens, dtype=np.uint16), batch_size, steps))
        targets = num_tokens - 1
        for b, pairs in enumerate(rows):
            owned = range(b * targets // batch_size, (b + 1) * targets // batch_size)
            assert pairs == [(j, j + 1) for j in owned]
        assert sum(map(len, rows)) == targets


@BATCH_SIZES
def test_an_epoch_has_as_many_windows_as_its_longest_row_needs(batch_size):
    for num_tokens, steps in geometries(batch_size):
        stream = Stream(np.arange(num_tokens), batch_size, steps)
        longest = -(-(num_tokens - 1) // batch_size)
        assert len(stream) == -(-longest // steps)


def test_row_k_plus_1_continues_row_k_to_the_token():
    stream = Stream(np.arange(1_000), 7, 13)
    before = stream.window(0)
    for index in range(1, len(stream) - 1):
        batch = stream.window(index)
        assert torch.equal(batch.inputs[:, 0], before.inputs[:, -1] + 1)
        assert torch.equal(batch.inputs[:, 0], before.targets[:, -1])
        before = batch


def test_only_an_epochs_first_window_begins_rows_anew():
    stream = Stream(np.arange(101), 4, 10)
    assert [stream.window(k).is_first.tolist() for k in range(len(stream))] == [[True] * 4] + [[False] * 4] * 2
    assert all(stream.window(k).lengths is None for k in range(len(stream)))


def test_tensors_are_contiguous_int64_with_valid_ids_everywhere():
    stream = Stream(np.arange(98, dtype=np.uint8), 4, 10)
    for index in range(len(stream)):
        batch = stream.window(index)
        assert batch.inputs.dtype == batch.targets.dtype == torch.int64
        assert batch.inputs.is_contiguous() and batch.targets.is_contiguous()
        assert batch.inputs.min() >= 0 and batch.inputs.max() < 98
        assert batch.window == index


def random_boundaries(num_tokens: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    inner = generator.choice(np.arange(1, num_tokens), size=min(num_tokens - 1, 1 + num_tokens // 9), replace=False)
    return np.sort(np.append(inner, 0))


@BATCH_SIZES
def test_restarting_rows_still_predict_each_target_exactly_once(batch_size):
    for num_tokens, steps in geometries(batch_size):
        boundaries = random_boundaries(num_tokens, seed=num_tokens + steps)
        rows = predictions(Stream(np.arange(num_tokens), batch_size, steps, boundaries))
        assert [pair for pairs in rows for pair in pairs] == [(j, j + 1) for j in range(num_tokens - 1)]


@BATCH_SIZES
def test_rows_restart_at_document_boundaries_and_nowhere_else(batch_size):
    for num_tokens, steps in geometries(batch_size):
        boundaries = random_boundaries(num_tokens, seed=num_tokens * steps)
        stream = Stream(np.arange(num_tokens), batch_size, steps, boundaries)
        row_starts = {b * (num_tokens - 1) // batch_size for b in range(batch_size)}
        restarts = set()
        for index in range(len(stream)):
            batch = stream.window(index)
            valid = (batch.targets != IGNORE_INDEX).sum(1)
            assert torch.equal(batch.lengths, valid)
            for row in range(batch_size):
                inputs = batch.inputs[row, : int(valid[row])].tolist()
                assert not set(inputs[1:]) & set(boundaries.tolist()), "a window runs across a boundary"
                if batch.is_first[row]:
                    restarts.add(inputs[0])
        assert restarts == row_starts | {int(start) for start in boundaries if start < num_tokens - 1}


def test_a_row_that_has_run_out_waits_with_length_zero():
    # Row 0 holds four documents of one token each, row 1 one document of four.
    stream = Stream(np.arange(9), 2, 4, boundaries=np.array([0, 1, 2, 3, 4]))
    batches = [stream.window(k) for k in range(len(stream))]
    assert [batch.lengths.tolist() for batch in batches] == [[1, 4], [1, 0], [1, 0], [1, 0]]
    assert [batch.is_first.tolist() for batch in batches] == [[True, True], [True, False], [True, False], [True, False]]


@pytest.mark.parametrize("boundaries", [None, np.array([0, 5, 30, 31, 80])])
@pytest.mark.parametrize("world_size", [1, 2, 3, 6])
def test_device_shares_put_together_are_the_global_batch(world_size, boundaries):
    tokens = np.arange(100)
    whole = Stream(tokens, 6, 7, boundaries)
    shares = [Stream(tokens, 6, 7, boundaries, device_rows(6, rank, world_size)) for rank in range(world_size)]
    assert {len(share) for share in shares} == {len(whole)}
    for index in range(len(whole)):
        batches = [share.window(index) for share in shares]
        for field in ("inputs", "targets", "is_first") + (() if boundaries is None else ("lengths",)):
            together = torch.cat([getattr(batch, field) for batch in batches])
            assert torch.equal(together, getattr(whole.window(index), field))


def test_rows_that_do_not_divide_over_the_devices_are_refused():
    with pytest.raises(InputError, match="batch_size=6 rows do not divide over 4 devices: give a multiple of 4"):
        device_rows(6, 0, 4)


@pytest.mark.parametrize("num_tokens", [0, 1, 4])
def test_fewer_targets_than_rows_are_refused(num_tokens):
    with pytest.raises(InputError, match=f"{num_tokens} tokens? makes? .* fewer than batch_size=4 rows"):
        Stream(np.arange(num_tokens), 4, 2)


def test_a_window_outside_the_epoch_is_an_error():
    stream = Stream(np.arange(10), 1, 3)
    for index in (-1, 3):
        with pytest.raises(IndexError, match="of 3"):
            stream.window(index)


@pytest.mark.parametrize("restart", [False, True])
def test_a_window_costs_under_a_third_of_a_millisecond(tmp_path, restart):
    np.random.default_rng(0).integers(0, 10_000, 1_000_000).astype(np.uint16).tofile(tmp_path / "tokens")
    tokens = np.memmap(tmp_path / "tokens", dtype=np.uint16, mode="r")
    stream = Stream(tokens, 20, 20, np.arange(0, 1_000_000, 30) if restart else None)
    times = []
    for index in range(300):
        start = time.perf_counter()
        stream.window(index)
        times.append(time.perf_counter() - start)
    assert sorted(times)[len(times) // 2] < 0.3e-3


def windows(loader: StreamLoader) -> list[int]:
    return [batch.window for batch in loader]


def test_a_cursor_continues_where_it_was_saved_and_the_next_epoch_is_whole():
    stream = Stream(np.arange(21), 2, 2)
    loader = StreamLoader(stream)
    iterator = iter(loader)
    seen = [next(iterator).window for _ in range(3)]
    state = loader.state_dict()
    resumed = StreamLoader(stream)
    resumed.load_state_dict(state)
    assert seen + windows(resumed) == list(range(len(stream)))
    assert windows(resumed) == list(range(len(stream)))


def test_an_abandoned_iterator_does_not_shorten_the_next_epoch():
    loader = StreamLoader(Stream(np.arange(21), 2, 2))
    next(iter(loader))
    assert windows(loader) == list(range(len(loader)))


@pytest.mark.parametrize("epoch_windows", [None, 3])
def test_a_cursor_saved_at_an_epochs_end_begins_the_next_epoch(epoch_windows):
    stream = Stream(np.arange(21), 2, 2)
    loader = StreamLoader(stream, epoch_windows)
    iterator = iter(loader)
    for _ in range(epoch_windows or len(stream)):
        next(iterator)
    resumed = StreamLoader(stream, epoch_windows)
    resumed.load_state_dict(loader.state_dict())
    assert windows(resumed) == list(range(len(stream)))


def test_a_cursor_survives_iterators_that_were_made_but_not_used():
    stream = Stream(np.arange(21), 2, 2)
    loader = StreamLoader(stream)
    loader.load_state_dict({**loader.state_dict(), "cursor": 2})
    iter(loader)
    assert windows(loader) == [2, 3, 4]


def test_a_cursor_over_other_data_is_refused():
    state = StreamLoader(Stream(np.arange(21), 2, 2)).state_dict()
    with pytest.raises(InputError, match="tbptt_steps 2 -> 5, num_windows 5 -> 2"):
        StreamLoader(Stream(np.arange(21), 2, 5)).load_state_dict(state)


def test_a_cursor_knows_no_rank():
    tokens = np.arange(100)
    states = []
    for rows in (range(6), range(0, 3), range(3, 6)):
        loader = StreamLoader(Stream(tokens, 6, 4, rows=rows))
        next(iter(loader))
        states.append(loader.state_dict())
    assert states[0] == states[1] == states[2]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("boundaries", [[0], [0, 30], [0, 1, 2, 3, 40], [0, 10, 20, 30, 40], [0, 7, 39, 41]])
def test_no_document_is_cut_where_rows_hold_whole_ones(batch_size, boundaries):
    stream = Stream(np.arange(42), batch_size, 4, np.array(boundaries), whole=True)
    seen, begun = [], []
    for index in range(len(stream)):
        batch = stream.window(index)
        owned = batch.targets != IGNORE_INDEX
        assert torch.equal(owned.sum(1), batch.lengths)
        assert torch.equal(batch.targets[owned], batch.inputs[owned] + 1)
        seen += batch.targets[owned].tolist()
        begun += batch.inputs[batch.is_first, 0].tolist()
    assert sorted(seen) == list(range(1, 42))
    assert sorted(begun) == [place for place in boundaries if place < 41]  # rows begin nowhere else
    lengths = np.diff([*(place for place in boundaries if place < 41), 41])
    assert longest_run(41, batch_size, np.array(boundaries), whole=True) == lengths.max()


def test_whole_documents_are_shared_among_the_rows():
    stream = Stream(np.arange(101), 4, 100, np.arange(0, 100, 5), whole=True)
    assert [stream.window(index).lengths.tolist() for index in range(len(stream))] == [[5] * 4] * 5
