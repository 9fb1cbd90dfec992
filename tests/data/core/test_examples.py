"""Batches of examples: each once an epoch, in an order that a seed decides, resumed anywhere; and reading lines."""

import gzip

import numpy as np
import pytest

from seqlab.data.core.batch import pad
from seqlab.data.core.examples import ExampleLoader
from seqlab.data.formats.text import read_lines
from seqlab.errors import InputError

LENGTHS = np.random.default_rng(0).integers(1, 30, 103)


def loader(seed=3, bucket_batches=1, batch_size=4, device=(0, 1), epoch_batches=None, lengths=LENGTHS):
    return ExampleLoader(lengths, list, batch_size, seed, bucket_batches, device, epoch_batches)


def test_padding_is_zeros_on_the_right():
    padded, lengths = pad([np.array([5, 6], dtype=np.uint8), np.array([7], dtype=np.uint8), np.array([8, 9, 1])])
    assert padded.tolist() == [[5, 6, 0], [7, 0, 0], [8, 9, 1]] and lengths.tolist() == [2, 1, 3]
    assert padded.dtype == lengths.dtype


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("bucket_batches", [1, 5, 100])
@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("num_examples", [4, 97, 100, 101, 103])
def test_each_example_comes_once_an_epoch_over_all_devices(seed, bucket_batches, world_size, num_examples):
    lengths = LENGTHS[:num_examples]
    shares = [loader(seed, bucket_batches, device=(rank, world_size), lengths=lengths) for rank in range(world_size)]
    for _ in range(2):
        epochs = [list(share) for share in shares]
        assert {len(epoch) for epoch in epochs} == {len(shares[0])}, "each device has as many batches"
        batches = [number for epoch in epochs for batch in epoch for number in batch]
        assert sorted(batches) == list(range(num_examples))
        assert all(batch for epoch in epochs for batch in epoch), "no batch is empty"
        assert max(len(batch) for epoch in epochs for batch in epoch) <= 4 // world_size + 1


def test_device_shares_put_together_are_the_global_batch():
    lengths = LENGTHS[:102]  # with a rest of fewer than three, the last two batches would be one
    whole = list(loader(batch_size=6, lengths=lengths))
    shares = [list(loader(batch_size=6, device=(rank, 3), lengths=lengths)) for rank in range(3)]
    together = [sorted(number for part in parts for number in part) for parts in zip(*shares, strict=True)]
    assert [sorted(batch) for batch in whole] == together


def test_the_seed_and_the_epoch_decide_the_order():
    one, same, other = loader(1), loader(1), loader(2)
    first, second = list(one), list(one)
    assert first != second and [list(same), list(same)] == [first, second]
    assert list(other) != first
    assert [number for batch in loader(None) for number in batch] == list(range(103))


def test_buckets_leave_little_padding_and_stay_in_a_random_order():
    def padding(epoch):
        return sum(max(LENGTHS[batch]) * len(batch) - LENGTHS[batch].sum() for batch in epoch)

    plain, grouped = list(loader()), list(loader(bucket_batches=100))
    assert padding(grouped) < padding(plain) / 5
    longest = [max(LENGTHS[batch]) for batch in grouped]
    assert longest != sorted(longest) and [sorted(batch) for batch in grouped] != [sorted(batch) for batch in plain]
    assert padding(list(loader(None, 100))) < padding(list(loader(None))) / 5


@pytest.mark.parametrize("bucket_batches", [1, 5])
@pytest.mark.parametrize("taken", [0, 1, 25, 26, 27, 51, 52])
def test_resumed_anywhere_it_goes_on_as_if_left_alone(bucket_batches, taken):
    alone = loader(bucket_batches=bucket_batches)
    expected = [batch for _ in range(5) for batch in alone]  # 26 batches an epoch
    stopped, seen = loader(bucket_batches=bucket_batches), []
    iterator = iter(stopped)
    for _ in range(taken):
        try:
            seen.append(next(iterator))
        except StopIteration:
            iterator = iter(stopped)
            seen.append(next(iterator))
    resumed = loader(bucket_batches=bucket_batches)
    resumed.load_state_dict(stopped.state_dict())
    assert resumed.state_dict()["cursor"] == taken % 26
    for _ in range(3):
        seen += list(resumed)
    assert seen == expected[: len(seen)] and len(seen) >= 78


def test_iterators_that_are_made_but_not_used_or_not_exhausted_do_no_harm():
    alone, other = loader(), loader()
    expected = [list(alone), list(alone)]
    iter(other), iter(other)
    begun = iter(other)
    assert next(begun) == expected[0][0]  # abandoned: Lightning's epoch can end before the loader's
    iter(other)
    assert list(other) == expected[1]
    resumed = loader()
    resumed.load_state_dict({**other.state_dict(), "epoch": 0, "cursor": 20})
    iter(resumed)
    assert list(resumed) == expected[0][20:]


def test_an_epoch_that_the_trainer_cuts_short_ends_there_after_a_resume_too():
    stopped = loader(epoch_batches=5)
    iterator = iter(stopped)
    for _ in range(5):
        next(iterator)
    resumed = loader(epoch_batches=5)
    resumed.load_state_dict(stopped.state_dict())
    assert list(resumed) == list(stopped)
    assert resumed.state_dict()["epoch"] == 1


def test_a_position_in_other_data_is_refused():
    state = loader().state_dict()
    with pytest.raises(InputError, match=r"middle of other data \(batch_size 4 -> 8, seed 3 -> 4\)"):
        loader(4, batch_size=8).load_state_dict(state)


def test_examples_that_do_not_fill_the_devices_are_refused():
    with pytest.raises(InputError, match="batch_size=4 examples do not divide over 3 devices: give a multiple of 3"):
        loader(device=(0, 3))
    with pytest.raises(InputError, match="1 example is too few for 2 devices"):
        loader(device=(0, 2), lengths=[1])


def test_lines_end_where_an_editor_ends_them(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffone\r\ntwo\u2028still two\rand still\n\nfour".encode())
    assert read_lines(tmp_path / "a.txt") == ["one", "two\u2028still two\rand still", "", "four"]
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"one\ntwo\n"))
    assert read_lines(tmp_path / "b.gz") == ["one", "two"]
    (tmp_path / "c.txt").write_bytes("caf\u00e9\n".encode("utf-16"))
    assert read_lines(tmp_path / "c.txt", "utf-16") == ["caf\u00e9"]


@pytest.mark.parametrize(
    ("content", "encoding", "words"),
    [
        (b"one\ntwo\ncaf\xe9 three\n", "utf-8", r"f:3: byte 0xe9 is not utf-8; .* data.encoding=latin-1"),
        (b"one\ntw\0o\n", "utf-8", r"f:2: a NUL byte"),
        (b"\x1f\x8bnothing", "utf-8", r"f is not a whole gzip file"),
        (b"one", "utf-9", r"data.encoding=utf-9 is not an encoding"),
        (None, "utf-8", r"f cannot be read: No such file"),
    ],
    ids=["encoding", "binary", "gzip", "codec", "missing"],
)
def test_a_file_that_is_no_text_is_refused_with_its_line(tmp_path, content, encoding, words):
    if content is not None:
        (tmp_path / "f").write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_lines(tmp_path / "f", encoding)
