"""Series with a number each: what is read of a user's files, what is refused, and the adding problem."""

from dataclasses import replace

import numpy as np
import pytest

from seqlab.config import build
from seqlab.data import Adding, AddingData, Batching, Draws, Files, NumberedSeriesFiles, RegressionData, SeriesFormat
from seqlab.errors import InputError
from tests.conftest import config_of


def write(path, rows, head="id,x,y,weight"):
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def long_table(path, count=20):
    """Series 0, 1, ... of 2, 3, 2, ... steps: x counts all steps, y is twice x, the weight 10 times the number."""
    rows, step = [], 0
    for number in range(count):
        for _ in range(2 + number % 2):
            rows.append(f"s{number},{step},{2 * step},{10 * number}")
            step += 1
    return write(path, rows)


def data_of(path, missing="refuse", **options):
    options = {"form": SeriesFormat(id="id"), "targets": "weight", **options}
    return RegressionData(NumberedSeriesFiles(path, **options), Batching(4), missing)


def test_a_series_that_float32_cannot_tell_beside_others_is_told(tmp_path, caplog):
    lines = [f"s{n},{step + (4e8 if n == 3 else 0)!r},7,{n}" for n in range(20) for step in range(4)]
    data_of(write(tmp_path / "a.csv", lines)).spec  # noqa: B018
    assert "float32 cannot resolve how these change: x of series s3; subtract" in caplog.text


def test_a_long_table_gives_each_series_its_frames_and_its_number(tmp_path):
    data = data_of(long_table(tmp_path / "a.csv"))
    seen = {}
    for split in ("train", "validation", "test"):
        total = len(data.lengths(split))
        batch = data.collate(split, list(range(total)))
        for row in range(total):
            frames = batch.inputs[row, : batch.lengths[row]]
            assert (frames[:, 1] == 2 * frames[:, 0]).all() and (frames[1:, 0] - frames[:-1, 0] == 1).all()
            seen[int(batch.targets[row, 0])] = frames[0, 0].item()
    assert len(seen) == 20 and seen[0] == 0 and seen[10] == 2 and seen[20] == 5 and seen[190] == 47
    assert [len(data.lengths(split)) for split in ("train", "validation", "test")] == [16, 2, 2]
    assert data.spec.features == data.spec.columns == ("x", "y") and data.spec.targets == ("weight",)
    assert data.spec.model_arguments() == {"num_features": 2, "num_targets": 1, "observed": False}
    assert data.spec.output_names() == {"targets": ["weight"], "features": ["x", "y"]}
    forward = replace(data.spec, missing="forward").output_names()  # for whoever uses a file
    assert (forward["missing"], forward["means"]) == ("forward", list(data.spec.means))
    assert data.input_files() == [str(tmp_path / "a.csv")]


def test_statistics_are_those_of_training_alone(tmp_path):
    for number, name in enumerate(("train", "validation", "test")):
        write(tmp_path / f"{name}.csv", [f"a,{number},5,{number}", f"a,{number + 2},5,", f"b,{number},5,4"])
    files = Files(train=tmp_path / "train.csv", validation=tmp_path / "validation.csv", test=tmp_path / "test.csv")
    data = data_of(files)
    (mean, std), (target_mean, target_std) = data.spec.statistics(), data.spec.target_statistics()
    assert mean.tolist() == pytest.approx([2 / 3, 5]) and std.tolist() == pytest.approx([np.std([0, 2, 0]), 1])
    assert target_mean.tolist() == [2] and target_std.tolist() == [2]
    assert data.collate("test", [0]).targets.tolist() == [[2]]
    assert "weight 2 ± 2" in data.summaries()[0].line()


def test_columns_times_and_gaps(tmp_path):
    rows = ["a,0,1,7", "a,1,2,7", "a,3,4,7", "b,0,1,8", "b,1,2,8", *(f"c{number},0,1,9" for number in range(8))]
    path = write(tmp_path / "a.csv", rows, "id,t,x,weight")
    grid = {"form": SeriesFormat(id="id", time="t")}
    with pytest.raises(InputError, match=r"a.csv:3: x is missing, or a step after this row"):
        data_of(path, **grid).spec  # noqa: B018
    forward = data_of(path, "forward", **grid)
    by_name = {
        row.series.name: (split, n)
        for split in ("train", "validation", "test")
        for n, row in enumerate(forward.rows(split))
    }
    split, number = by_name["a"]
    assert forward.collate(split, [number]).inputs[0, :, 0].tolist() == [1, 2, 2, 4]
    assert "1 step in gaps of the times" in " ".join(summary.line() for summary in forward.summaries())
    gaps = data_of(path, form=SeriesFormat(id="id", time="t", time_gaps=True))
    assert gaps.spec.features == ("x", "the time since the row before") and gaps.spec.columns == ("x",)
    split, number = by_name["a"]
    assert gaps.collate(split, [number]).inputs[0].tolist() == [[1, 0], [2, 1], [4, 2]]
    told = data_of(path, "mask", **grid)
    assert told.collate(split, [number]).inputs[0, :, 0].isnan().tolist() == [False, False, True, False]
    assert told.spec.model_arguments()["observed"]


def test_new_series_are_read_without_the_number_that_is_asked(tmp_path):
    spec = data_of(long_table(tmp_path / "a.csv")).spec
    (new,) = spec.read_inputs(write(tmp_path / "new.csv", ["q,1,2", "q,3,4"], "id,x,y"))
    assert new.name == "q" and new.values.tolist() == [[1, 2], [3, 4]]
    assert spec.read_inputs(tmp_path / "a.csv")[0].values.shape == (2, 2)


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        (["a,1,2,", "a,1,2,"], r"a.csv:2: series a has no weight; give it in one of its rows"),
        (["a,1,2,5", "b,1,2,5", "a,1,2,6"], r"a.csv:4: weight is 6, and 5 at .*a.csv:2, of the same series a"),
        (["a,1,2,five"], r"a.csv:2: weight is 'five'"),
        (["a,1,inf,5"], r"a.csv:2: y is inf"),
        (["a,1,5"], r"a.csv:2: expected 4 values"),
        (
            ["a,1,2,5", "b,,2,5", *(f"c{number},1,2,5" for number in range(8))],
            r"a.csv:3: x is missing.*data.missing=forward",
        ),
        ([",1,2,5"], "id is empty"),
        (["a,1,2,5", "b,1,2,5"], "2 series are too few to cut"),
        (
            [f"{n},1,2,{n}e-44" for n in range(9)],
            "weight varies by .*too little for float32; give it in a smaller unit",
        ),
        ([f"{n},1,2,{5e9 + n}" for n in range(9)], "weight is 5000000.* which float32 cannot resolve"),
    ],
)
def test_files_that_cannot_be_meant_are_refused_with_their_place(tmp_path, rows, error):
    with pytest.raises(InputError, match=error):
        data_of(write(tmp_path / "a.csv", rows)).spec  # noqa: B018


def test_options_that_cannot_be_meant_are_refused(tmp_path):
    path = long_table(tmp_path / "a.csv")
    for options, error in (
        ({"targets": None}, "give data.targets=COLUMN"),
        ({"features": ["weight"]}, "data.targets and data.features both name the column 'weight'"),
        ({"targets": "id"}, "data.id and data.targets both name"),
        ({"features": ["z"]}, "there is no column 'z'|has no column z|z"),
        ({"targets": ["x", "y", "weight"]}, "every column has another use"),
    ):
        with pytest.raises(InputError, match=error):
            data_of(path, **options).spec  # noqa: B018
    with pytest.raises(InputError, match=r"data.missing=drop must be one of"):
        data_of(path, "drop")


def test_the_adding_problem_adds_two_marked_numbers_one_of_each_half():
    frames, sums = Adding().draw(np.random.default_rng(0), 500, 9)
    for sequence, answer in zip(frames.tolist(), sums.tolist(), strict=True):
        marked = [step for step, (_, mark) in enumerate(sequence) if mark]
        assert len(marked) == 2 and marked[0] < 4 <= marked[1] and {mark for _, mark in sequence} == {0, 1}
        assert answer == pytest.approx([sum(sequence[step][0] for step in marked)], rel=1e-6)
    assert frames[..., 0].min() >= 0 and frames[..., 0].max() < 1
    _, many = Adding().draw(np.random.default_rng(0), 100_000, 2)
    assert np.square(many - 1).mean() == pytest.approx(Adding.baseline, rel=0.02)


def test_the_adding_problem_is_drawn_anew_and_not_standardised():
    one, other = (AddingData(Adding(), Draws(length=6, sizes=(8, 4, 4)), Batching(4, seed=seed)) for seed in (0, 1))
    first, second = ([batch.targets for batch in one.train_dataloader()] for _ in range(2))
    assert not any(
        (a == b).all() for a, b in zip(first, [batch.targets for batch in other.train_dataloader()], strict=True)
    )
    assert second and one.fingerprint() == other.fingerprint()
    loader = one.train_dataloader()
    epochs = [{float(value) for batch in loader for value in batch.targets} for _ in range(2)]
    assert not epochs[0] & epochs[1]
    assert [part.tolist() for part in (*one.spec.statistics(), *one.spec.target_statistics())] == [
        [0, 0],
        [1, 1],
        [0],
        [1],
    ]
    assert "the mean squared error of answering 1 is 0.1667" in one.summaries()[2].line()
    with pytest.raises(InputError, match=r"data.length=1: the adding problem needs 2 steps or more"):
        AddingData(Adding(), Draws(length=1))


def test_the_choices_of_a_configuration_make_them(tmp_path):
    data = build.build_data(config_of("data=adding", "data.length=10", "data.sizes=[8,4,4]"))
    assert isinstance(data, AddingData) and data.collate("test", [0]).inputs.shape == (1, 10, 2)
    path = long_table(tmp_path / "a.csv")
    own = ("data=numbered_series", f"data.path={path}", "data.id=id", "data.targets=weight", "data.features=x")
    data = build.build_data(config_of(*own))
    assert isinstance(data, RegressionData) and data.spec.columns == ("x",)


def test_what_never_changes_is_told_of_and_divided_by_one(tmp_path):
    data = data_of(write(tmp_path / "a.csv", [f"s{n},0.1,{n},0.7" for n in range(20)]))
    assert data.spec.stds[0] == data.spec.target_stds[0] == 1
    assert "constant: x, weight" in data.summaries()[0].line()


def test_a_summary_refuses_what_is_missing_as_training_does(tmp_path):
    path = write(tmp_path / "a.csv", [f"s{n},,{n},{n}" if n == 3 else f"s{n},1,{n},{n}" for n in range(20)])
    with pytest.raises(InputError, match=r"a.csv:5: x is missing"):
        data_of(path).summaries()


def test_equal_series_are_told_of_and_a_column_that_only_some_files_have_is_refused(tmp_path):
    whole = long_table(tmp_path / "a.csv")
    part = write(tmp_path / "b.csv", whole.read_text().splitlines()[1:6])
    other = write(tmp_path / "other.csv", part.read_text().splitlines()[1:])
    data = data_of(Files(train=whole, validation=part, test=other))
    lines = [summary.line() for summary in data.summaries()]
    assert "2 of 2 series stand in train too, 2 in validation" in lines[2] and "stand" not in lines[0]
    more = write(tmp_path / "c.csv", ["r0,1,2,3,4"] * 3, "id,x,y,z,weight")
    with pytest.raises(InputError, match=r"c.csv has a column 'z', which the first file lacks; .* data.features="):
        data_of([whole, more]).spec  # noqa: B018
    assert data_of([whole, more], features=["x", "y"]).spec.columns == ("x", "y")
