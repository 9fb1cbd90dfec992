"""Which rows run when and where: packed rows, and threads."""

import random

import pytest
import torch

from seqlab.nn.engine.scan.schedule import dense, grid, pack

DRAW = random.Random(0)
BATCHES = [
    ([3, 0, 6, 6, 1], 2),
    ([5], 1),
    ([0, 0, 1], 3),
    ([2, 2], 5),  # more groups than rows
    *(([DRAW.randint(0, 9) for _ in range(DRAW.randint(1, 12))], DRAW.randint(1, 4)) for _ in range(60)),
]


def blocks_of(schedule):
    """Every row in memory as (step, group, place in the group's block)."""
    found = {}
    for t in range(schedule.steps):
        for group in range(schedule.groups):
            first, count = int(schedule.first[t, group]), int(schedule.count[t, group])
            for place in range(count):
                number = first + place * schedule.stride
                assert number not in found, "two blocks overlap"
                found[number] = (t, group, place)
    return [found[number] for number in range(len(found))]


@pytest.mark.parametrize(("lengths", "groups"), [each for each in BATCHES if max(each[0])])
def test_every_valid_step_is_run_once_by_the_thread_that_has_its_state(lengths, groups):
    steps, rows = 10, len(lengths)
    packing = pack(lengths, steps, groups, 1)
    schedule = packing.schedule
    assert (schedule.steps, schedule.rows, schedule.groups) == (max(lengths), rows, groups)
    assert sorted(packing.order.tolist()) == list(range(rows))
    places = [(t, row) for t in range(steps) for row in range(rows) if t < lengths[row]]
    assert sorted(packing.position.tolist()) == [t * rows + row for t, row in places]
    blocks = blocks_of(schedule)
    assert len(blocks) == len(places)
    for number, (t, group, place) in enumerate(blocks):
        scheduled = int(schedule.base[group]) + place
        assert packing.position[number] == t * rows + packing.order[scheduled]
        # The kernel finds a row's old state at the same place of the step before, or among the initial ones.
        expected = scheduled if t == 0 else rows + int(schedule.first[t - 1, group]) + place
        assert packing.previous[number] == expected
    for scheduled, row in enumerate(packing.order.tolist()):
        last = int(packing.last[scheduled])
        if lengths[row] == 0:
            assert last == scheduled
        else:
            assert packing.position[last - rows] == (lengths[row] - 1) * rows + row


@pytest.mark.parametrize(("lengths", "groups"), [each for each in BATCHES if max(each[0])])
def test_groups_only_lose_rows_and_have_as_much_to_do(lengths, groups):
    count = pack(lengths, 10, groups, 1).schedule.count
    assert bool((count[1:] <= count[:-1]).all())
    work = count.sum(0)
    assert int(work.max() - work.min()) <= max(lengths)
    active = torch.tensor([[t < length for length in lengths] for t in range(max(lengths))]).sum(1)
    assert torch.equal(count.sum(1), active)
    assert bool((count.max(1).values - count.min(1).values <= 1).all())


def test_rows_of_one_length_keep_their_order_within_a_group():
    assert pack([2, 2, 2, 2], 2, 2, 1).order.tolist() == [0, 2, 1, 3]


@pytest.mark.parametrize(("steps", "rows", "groups"), [(3, 7, 2), (1, 1, 1), (4, 2, 5), (2, 12, 4)])
def test_without_lengths_each_row_runs_every_step_in_place(steps, rows, groups):
    schedule = dense(steps, rows, groups, 3)
    assert schedule.threads == 3 * groups
    for number, (t, group, place) in enumerate(blocks_of(schedule)):
        assert number == (int(schedule.base[group]) + place) * steps + t  # as (B, T) lies in memory
    assert len(blocks_of(schedule)) == steps * rows
    assert int(schedule.count[0].max() - schedule.count[0].min()) <= 1
    assert bool((schedule.count == schedule.count[0]).all())


def test_a_schedule_points_at_its_own_numbers():
    schedule = dense(3, 4, 2, 1)
    assert schedule.pointers == (schedule.first.data_ptr(), schedule.count.data_ptr(), schedule.base.data_ptr())
    assert all(part.is_contiguous() and part.dtype == torch.int64 for part in (schedule.first, schedule.count))


@pytest.mark.parametrize(
    ("rows", "hidden_size", "weight_bytes", "threads", "expected"),
    [
        (64, 256, 1 << 20, 1, (1, 1)),
        (64, 256, 1 << 20, 2, (2, 1)),  # the weights fit a core's cache: groups of rows alone
        (64, 512, 4 << 20, 2, (1, 2)),  # they do not: both threads share all rows
        (64, 512, 4 << 20, 8, (2, 4)),  # until each thread's part of them fits
        (64, 32, 4 << 20, 8, (8, 1)),  # but no thread is left with under 32 units
        (64, 64, 4 << 20, 8, (4, 2)),
        (64, 512, 4 << 20, 3, (3, 1)),  # nor are threads left over
        (2, 256, 1 << 10, 2, (1, 2)),  # few rows a thread
        (8, 256, 1 << 10, 2, (2, 1)),
        (1, 16, 1 << 10, 4, (1, 1)),  # never more groups than rows
        (3, 1024, 0, 4, (2, 2)),  # without weights one row a thread is enough
        (4, 1024, 0, 4, (4, 1)),
    ],
)
def test_threads_share_units_where_weights_or_rows_ask_for_it(rows, hidden_size, weight_bytes, threads, expected):
    assert grid(rows, hidden_size, weight_bytes, threads) == expected


def test_the_grid_never_asks_for_more_threads_than_there_are():
    for _ in range(300):
        rows, hidden, weight = DRAW.randint(1, 40), DRAW.randint(1, 600), DRAW.choice([0, 1000, 1 << 22])
        threads = DRAW.randint(1, 16)
        groups, columns = grid(rows, hidden, weight, threads)
        assert 1 <= groups <= rows and columns >= 1 and groups * columns <= threads
