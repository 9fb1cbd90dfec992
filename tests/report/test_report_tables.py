"""Rows and columns, costs, and the report inside another document."""

import errno
import json
import os

import pytest

from seqlab.errors import InputError
from seqlab.report import Curves, compare, render, save_plot, write_into
from seqlab.report.columns import cost_columns, cross_table, difference_columns, result_columns
from seqlab.report.document import BEGIN, END
from seqlab.report.plot_curves import draw_curves


@pytest.fixture
def grid(tmp_path, write_run):
    """Two cells at depths 10 and 2; GRU of depth 2 is missing."""
    for cell, depth, results in [
        ("LSTMCell", 10, [5.0, 7.0]),
        ("LSTMCell", 2, [3.0, 4.0]),
        ("GRUCell", 10, [9.0]),
    ]:
        for seed, result in enumerate(results):
            config = {"model.cell._target_": f"seqlab.nn.{cell}", "model.num_layers": depth}
            write_run(tmp_path / f"{cell}{depth}{seed}", seed=seed, metrics=result, config=config)
    return tmp_path


def test_two_keys_make_rows_and_columns(grid):
    report = compare([grid], by=["model.cell._target_"], columns=["model.num_layers"])
    assert (report.by, report.rows) == (["model.cell._target_", "model.num_layers"], ["model.cell._target_"])
    titles, rows = cross_table(report)
    assert titles == ["model.cell._target_", "2", "10"]
    assert rows == [
        ["GRUCell", "", "9.000 (n=1)"],
        ["LSTMCell", "3.500 ± 0.707 * (n=2)", "6.000 ± 1.414 (n=2)"],
    ]
    for text in (render(report), render(report, "markdown").replace("\\*", "*").replace(" |", "  ")):
        line = next(line for line in text.splitlines() if "LSTMCell" in line)
        assert line.strip("| ").split("  ")[-1].strip("| ") == "6.000 ± 1.414 (n=2)"
    assert json.loads(render(report, "json"))["columns"] == ["model.num_layers"]


def test_rows_are_chosen_beside_the_columns(grid):
    assert compare([grid], columns=["model.num_layers"]).rows == ["model.cell._target_"]
    assert compare([grid], columns=["model.cell._target_", "model.num_layers"]).rows == []
    with pytest.raises(
        InputError, match=r"^--columns: no run has the config key 'num_layers'; near: model\.num_layers"
    ):
        compare([grid], columns=["num_layers"])


def test_a_key_for_rows_and_columns_is_a_column(grid):
    report = compare([grid], by=["model.num_layers", "model.cell._target_"], columns=["model.num_layers"])
    assert report.by == ["model.cell._target_", "model.num_layers"]


def test_what_a_cell_came_to_is_told_where_seeds_diverged(tmp_path, depths):
    report = compare(
        [depths(tmp_path, {1: [4.0, float("nan")], 2: [float("inf")] * 2})], by=[], columns=["model.num_layers"]
    )
    assert cross_table(report) == (["1", "2"], [["4.000 (1 diverged)", "diverged"]])


def test_the_highest_peak_of_memory_is_shown(tmp_path, write_run):
    for seed, peak in enumerate([548_110_336, 1_700_000_000]):
        write_run(tmp_path / str(seed), seed=seed, metrics=1.0, peak_memory_bytes=peak)
    report = compare([tmp_path])
    assert report.groups[0].peak_memory_bytes == 1_700_000_000
    assert "1.7 GB" in render(report)
    title = next(line for line in render(report).splitlines() if "memory" in line)
    assert title.split() == ["n", "test/perplexity", "95", "%", "interval", "parameters", "tokens/s", "time", "memory"]
    assert "memory: highest peak" in render(report)


def test_numbers_are_whole_however_many_keys_there_are(tmp_path, write_run):
    for number in range(4):
        config = {f"model.a_rather_long_name_{place}": "word" * (number + place) for place in range(6)}
        write_run(
            tmp_path / str(number),
            metrics=100.125 + number,
            config=config,
            num_parameters=123_456_789,
            tokens_per_second=25_000,
            train_seconds=5000,
            peak_memory_bytes=10**9,
        )
    text = render(compare([tmp_path], by=[f"model.a_rather_long_name_{place}" for place in range(6)]))
    assert "…" not in text
    assert text.count("123,456,789") == 4
    assert max(map(len, text.partition("best mean")[0].splitlines())) <= 100


def test_of_very_many_groups_the_terminal_gets_some_with_the_best_and_files_get_all(tmp_path, depths, monkeypatch):
    monkeypatch.setattr("seqlab.report.formats.MAX_SHOWN", 2)
    report = compare([depths(tmp_path, {depth: [10.0 - depth] for depth in range(1, 6)})])
    text = render(report)
    rows = [line.split()[0] for line in text.partition("\n\n\n")[0].splitlines()[3:]]
    assert rows == ["1", "2", "5"]
    assert "2 more groups are not shown here; --format csv, json, markdown and html have all." in text
    assert len(render(report, "csv-groups").splitlines()) == 6
    assert "not shown" not in render(compare([tmp_path / "1-1", tmp_path / "2-1"]))


def test_more_groups_than_a_picture_can_hold_are_refused(tmp_path, depths):
    report = compare([depths(tmp_path, {1: [10.0]})])
    report.groups = report.groups * 501
    with pytest.raises(InputError, match=r"^--plot: 501 groups are too many to draw; take fewer keys with --by$"):
        save_plot(report, tmp_path / "plot.png")
    assert "too many groups to draw" in render(report, "html")
    curves = Curves("val/loss", [(group, [{0: 1.0}]) for group in report.groups], None)
    with pytest.raises(InputError, match=r"^--curves: 501 groups are too many to draw; take fewer keys with --by$"):
        draw_curves(report, curves)


def test_the_terminal_shows_names_as_they_are_and_the_best_alone_in_green(tmp_path, write_run):
    for number, name in enumerate(["[bold]a[/bold]", "[/red]", "b"]):
        write_run(tmp_path / str(number), metrics=3.0 - number, config={"data.path": name})
    report = compare([tmp_path])
    text = render(report)
    assert "[bold]a[/bold]" in text and "[/red]" in text
    rows = {line.split("  ")[0].strip(): line for line in text.splitlines() if ".000" in line}
    assert len({line.index(".000") for line in rows.values()}) == 2  # one place in each of the two tables
    green = [line for line in render(report, color=True).splitlines() if "\x1b[1;32m" in line]
    assert len(green) == 2 and all("b" in line and "red" not in line for line in green)


def test_markdown_shows_names_as_they_are(tmp_path, write_run):
    for number, name in enumerate(["_private_", "a<b>`c`\\d", "two\nlines"]):
        write_run(tmp_path / str(number), metrics=1.0 + number, config={"data._target_": name, "data.in_word": 1})
    text = render(compare([tmp_path], by=["data._target_", "data.in_word"]), "markdown")
    assert "| data.\\_target\\_ | data.in_word |" in text
    assert "| \\_private\\_ |" in text
    assert "| two lines |" in text
    assert "| a\\<b>\\`c\\`\\\\d |" in text


def test_markdown_tells_all_that_the_terminal_tells(tmp_path, write_run):
    for depth in (1, 2):
        for seed in (1, 2):
            folder = tmp_path / f"{depth}-{seed}"
            config = {"model.num_layers": depth, "data.path": f"_{depth}_"}
            more = {"checkpoint": folder / "best.ckpt", "device": f"gpu*{seed}"}
            folder.mkdir()
            (folder / "best.ckpt").touch()
            write_run(folder, seed=seed, metrics=10.0 - depth, config=config, overrides=(f"seed={seed}",), **more)
    write_run(tmp_path / "_x_", end="failed", config={"model.num_layers": 3}, written={"error": "Error: a*b"})
    report = compare([tmp_path], by=["model.num_layers"])
    paragraphs = render(report, "markdown").split("\n\n")
    assert [part.partition("\n")[0] for part in paragraphs[:2]] == [
        "| model.num_layers | n | test/perplexity | 95 % interval | parameters | tokens/s | time |",
        "| model.num_layers | difference | 95 % interval | pairs |",
    ]
    assert paragraphs[2].split("  \n") == [
        "test/perplexity: mean ± sample sd over seeds; 95 % interval of the mean by Student's t.",
        "\\* best mean (lower is better), by test/perplexity itself, as the runs have no common metric on validation.",
        "tokens/s: median; time: mean time of training.",
        "difference: from the best mean (model.num_layers=2), mean over pairs of runs with a common seed; "
        "its interval by Student's t.",
        "Name a baseline beforehand (--baseline KEY=VALUE) for tests: the best was chosen by these runs.",
        "The groups differ in settings of the data as well: data.path (\\_1\\_, \\_2\\_).",
        "The runs used 2 devices (gpu\\*1, gpu\\*2): tokens/s and time do not compare.",
    ]
    assert paragraphs[3:5] == ["Train the best again:", "```sh\nseqlab train -m seed=1,2\n```"]
    assert paragraphs[5].startswith("A sweep skips what is complete in its folder")
    assert paragraphs[6] == "Not counted: 1 failed:"
    path = str(tmp_path / "_x_").replace("_x_", "\\_x\\_")
    assert paragraphs[7] == f"- failed {path} model.num_layers=3 seed=1: Error: a\\*b\n"
    shown = " ".join(render(report).split())
    for line in (*report.command.remarks, *report.notes, report.command.line):
        assert line in shown


def test_without_a_completed_run_markdown_has_no_table(tmp_path, write_run):
    write_run(tmp_path / "a", end="failed", config={"data.path": "é"})
    report = compare([tmp_path], by=["data.path"], columns=["model.num_layers"])
    assert render(report, "markdown").startswith("No completed run to compare.\n\nNot counted: 1 failed:\n\n- failed ")
    assert '"data.path": "é"' in render(report, "json")


# Into a document


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_block_is_replaced_and_nothing_else(tmp_path, newline):
    readme = tmp_path / "README.md"
    before, after = "# Título\n\nA | B\n".replace("\n", newline), f"{newline}trailing \x0c text without an end"
    readme.write_bytes(f"{before}{BEGIN}{newline}old{newline}{END}{after}".encode())
    for content in ("| new |\n| --: |", "| newer |"):
        write_into(readme, content + "\n")
        inside = f"\n\n{content}\n\n".replace("\n", newline)
        assert readme.read_bytes().decode() == f"{before}{BEGIN}{inside}{END}{after}"
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}\n{BEGIN}", f"{BEGIN}{BEGIN}{END}", f"{BEGIN}{END}{END}"])
def test_without_one_pair_of_markers_nothing_is_written(tmp_path, text):
    readme = tmp_path / "README.md"
    readme.write_text(text)
    with pytest.raises(
        InputError, match=rf"^--into: expected the lines {BEGIN} and {END}, in this order and once each"
    ):
        write_into(readme, "new")
    assert readme.read_text() == text


def test_a_document_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"^--into: cannot read '.*none\.md' \(No such file"):
        write_into(tmp_path / "none.md", "new")
    (tmp_path / "latin.md").write_bytes(b"\xe9")
    with pytest.raises(InputError, match=r"^--into: expected a text file in UTF-8"):
        write_into(tmp_path / "latin.md", "new")


def test_a_document_that_cannot_be_written_is_told_and_stays(tmp_path, monkeypatch):
    readme = tmp_path / "README.md"
    readme.write_text(f"{BEGIN}{END}")

    def full(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("seqlab.report.document.write_atomically", full)
    with pytest.raises(InputError, match=r"^--into: cannot write '.*README\.md' \(No space left on device\)$"):
        write_into(readme, "new")
    assert readme.read_text() == f"{BEGIN}{END}"


def test_no_number_is_cut_however_wide_the_table_is(tmp_path, write_run):
    for depth, level in ((1, 6.999), (2, 8.797), (3, 16.783)):
        for seed in (-1, 1):
            config = {"model.num_layers": depth, "optimize.metric": "val/loss"}
            metrics = {"test/perplexity": level * (1 + seed / 8), "val/loss": level / 4 + seed / 10}
            costs = {"num_parameters": 50_130, "tokens_per_second": 161_581, "train_seconds": 4.4}
            costs["peak_memory_bytes"] = 518_000_000
            write_run(tmp_path / f"{depth}-{seed}", seed=seed + 1, metrics=metrics, config=config, **costs)
    report = compare([tmp_path])
    columns = [*result_columns(report), *cost_columns(report), *difference_columns(report)]
    for width in range(66, 130):
        text = render(report, width=width)
        for title, cells in columns:
            assert title in text and all(cell in text for cell in cells), (width, title)
