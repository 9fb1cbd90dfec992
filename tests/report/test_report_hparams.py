"""The columns of TensorBoard's HParams tab: which there are, of which kind, and what stands in them."""

import pytest

from seqlab.report.hparams import MAX_COLUMNS
from tests.report.tensorboard_sweep import ask_in_this_process, columns_in, rows_in, save, write_scalars, write_sweep


@pytest.mark.parametrize(
    ("values", "kind", "domain", "shown"),
    [
        ([True, False, True], "BOOL", [False, True], [True, False, True]),
        ([1, 2.5, None], "FLOAT64", [1.0, 2.5], [1.0, 2.5, None]),
        (["a", 2, None], "STRING", ["2", "a", "null"], ["a", "2", "null"]),
        ([[1, 2], [3], [3]], "STRING", ["[1,2]", "[3]"], ["[1,2]", "[3]", "[3]"]),
        ([{"_target_": "a.X"}, {"_target_": "a.Y"}, None], "STRING", ["X", "Y", "null"], ["X", "Y", "null"]),
    ],
)
def test_a_column_is_of_one_kind(tmp_path, write_run, values, kind, domain, shown):
    for number, value in enumerate(values):
        write_run(tmp_path / str(number), metrics=1.0, config={"model.x": value})
    save(tmp_path, by=["model.x"])
    ask = ask_in_this_process(tmp_path)
    info = columns_in(ask)[0]["model.x"]
    assert (info["type"], info["domainDiscrete"]) == (f"DATA_TYPE_{kind}", domain)
    rows = rows_in(ask)
    assert [rows[str(number)][0].get("model.x") for number in range(3)] == shown


def test_many_numbers_are_a_range_and_five_columns_come_first(tmp_path, write_run):
    for number in range(12):
        config = {f"model.{letter}": number for letter in "abcdefgh"} | {"optimizer.lr": number / 8}
        write_run(
            tmp_path / str(number), seed=number % 2, metrics=1.0, config=config, overrides=(f"optimizer.lr={number}",)
        )
    save(tmp_path, by=["optimizer.lr"])
    columns, _ = columns_in(ask_in_this_process(tmp_path))
    assert columns["optimizer.lr"]["domainInterval"] == {"minValue": 0.0, "maxValue": 1.375}
    # TensorBoard ticks five: the keys of the report and the seed must be among them.
    assert [name for name, info in columns.items() if info["differs"]] == [
        *("model.a", "model.b", "model.c", "optimizer.lr", "seed")
    ]
    assert len(columns) == 10 and list(columns)[:5] == [*("model.a", "model.b", "model.c", "optimizer.lr", "seed")]


def test_what_the_command_line_set_comes_before_what_differs_with_it(tmp_path, write_run):
    for number in range(3):
        config = {f"model.{letter}": number for letter in "abcdefghijklmnopqrstuvw"}
        end = "completed" if number else "failed"
        words = (f"model.w={number}", f"model.v={number}")
        write_run(tmp_path / str(number), metrics=1.0 * number, config=config, overrides=words, end=end)
    save(tmp_path, by=["model.b"])
    columns, _ = columns_in(ask_in_this_process(tmp_path))
    ticked = {name for name, info in columns.items() if info["differs"]}
    assert ticked == {"model.b", "model.v", "model.w", "model.a", "status"}
    assert len(columns) == MAX_COLUMNS and "model.s" not in columns


def test_the_tab_shows_the_metric_of_the_report_and_the_judged_one_first(tmp_path, write_run):
    metrics = {"test/accuracy": 0.5, "test/loss": 2.0, "test/perplexity": 3.0, "val/accuracy": 0.4, "val/loss": 2.5}
    for number in range(2):
        run = write_run(tmp_path / str(number), seed=number, metrics=metrics, config={"optimize.metric": "val/loss"})
        names = (name if name.startswith("test/") else f"best/{name}" for name in metrics)
        write_scalars(run, 1, {name: {0: 1.0} for name in names})
    save(tmp_path, metric="test/perplexity")
    _, shown = columns_in(ask_in_this_process(tmp_path))
    assert shown == ["test/perplexity", "best/val/loss", "test/loss", "test/accuracy", "best/val/accuracy"]


def test_without_results_there_are_rows_and_no_column_of_a_metric(tmp_path, write_run):
    for depth in (1, 2):
        config = {"model.num_layers": depth, "optimize.metric": None}
        write_run(tmp_path / str(depth), end="failed", config=config)
    assert save(tmp_path) == "2 runs in the HParams tab"
    ask = ask_in_this_process(tmp_path)
    columns, metrics = columns_in(ask)
    assert (list(columns), metrics) == (["model.num_layers"], [])
    assert {status for _, status, _ in rows_in(ask).values()} == {"STATUS_FAILURE"}


@pytest.mark.parametrize("count", [10, 11])
def test_words_are_ticked_off_and_numbers_only_where_they_are_few(tmp_path, write_run, count):
    for number in range(count):
        write_run(tmp_path / str(number), metrics=1.0, config={"data.path": f"{number:02}", "model.size": number})
    save(tmp_path, by=["data.path", "model.size"])
    columns, _ = columns_in(ask_in_this_process(tmp_path))
    assert columns["data.path"]["domainDiscrete"] == [f"{number:02}" for number in range(count)]
    domain = {key: value for key, value in columns["model.size"].items() if key.startswith("domain")}
    assert columns["model.size"]["type"] == "DATA_TYPE_FLOAT64"
    assert domain == (
        {"domainDiscrete": [float(number) for number in range(10)]}
        if count == 10
        else {"domainInterval": {"minValue": 0.0, "maxValue": 10.0}}
    )


def test_runs_that_do_not_differ_show_what_the_logger_is_configured_for(tmp_path, write_run):
    write_sweep(tmp_path, write_run, {2: [8.0]})
    save(tmp_path)
    ask = ask_in_this_process(tmp_path)
    assert list(columns_in(ask)[0]) == ["model.cell", "optimizer.lr", "seed"]
    ((values, _, _),) = rows_in(ask).values()
    assert values == {"model.cell": "LSTMCell", "optimizer.lr": 0.5, "seed": 1.0}
