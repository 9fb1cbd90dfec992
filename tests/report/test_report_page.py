"""The page: whole in itself, harmless whatever the runs are called, and with the report's numbers."""

import dataclasses
import re
from html.parser import HTMLParser

import pytest

from seqlab.report import compare, load_curves, render

VOID = {"meta", "br", "wbr", "link", "img", "input"}


class Page(HTMLParser):
    """Elements with their attributes, ids, and the cells of the table that can be sorted."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.rows, self.text = [], [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.text += data
        if {"th", "td"} & set(self.open):
            self.rows[-1][-1] += data


@pytest.fixture
def sweep(tmp_path, depths, write_events):
    folder = depths(
        tmp_path / "sweep",
        {1: [10.0, 12.0], 2: [8.0, 8.5], 10: [9.0]},
        num_parameters=1234,
        tokens_per_second=10.5,
        train_seconds=61.0,
        peak_memory_bytes=5 * 10**8,
    )
    # Where all rows have one value, it stands above the table.
    depths(tmp_path / "sweep", {10: [9.0]}, num_parameters=5678, tokens_per_second=9.5, train_seconds=9.0)
    for name in ("1-1", "1-2", "2-1", "2-2", "10-1"):
        write_events(folder / name, {"val/loss": {1: 3.0, 2: 2.0}})
    return folder


def test_the_page_holds_the_table_and_what_sorts_it(sweep):
    page = Page(render(compare([sweep]), "html"))
    titles = ["parameters", "tokens/s", "time", "memory"]
    costs, others = ["1,234", "10", "1m 01s", "500 MB"], ["5,678", "10", "9.0s", ""]
    assert page.rows == [
        [
            "model.num_layers",
            "n",
            "test/perplexity",
            "95 % interval",
            "difference",
            "its 95 % interval",
            "pairs",
            *titles,
        ],
        ["1", "2", "11.000 ± 1.414", "[-1.706, 23.706]", "+2.750", "[-6.780, 12.280]", "2", *costs],
        ["2", "2", "8.250 ± 0.354 *", "[5.073, 11.427]", "baseline", "", "", *costs],
        ["10", "1", "9.000", "", "+1.000", "", "1", *others],
    ]
    values = [attributes.get("data-value") for tag, attributes in page.elements if tag in ("th", "td")]
    first_row = values[len(page.rows[0]) :][: len(page.rows[0])]
    assert [value and float(value) for value in first_row] == pytest.approx(
        [0, 2, 11, -1.7062, 2.75, -6.77965, 2, 1234, 10.5, 61, 5e8], rel=1e-4
    )
    keys = [attributes.get("class") == "key" for tag, attributes in page.elements if tag in ("th", "td")]
    assert keys == [True, *[False] * (len(page.rows[0]) - 1)] * 4
    # Depth 10 comes after 2, not after 1; what is unknown has no value to sort by.
    ranks = [values[len(page.rows[0]) * row] for row in (1, 2, 3)]
    assert ranks == ["0", "1", "2"]
    assert values[len(page.rows[0]) * 3 + 3] is None


def test_columns_with_one_value_stand_above_the_table(tmp_path, write_run):
    for depth in (1, 2):
        for seed in (1, 2):
            write_run(
                tmp_path / f"{depth}-{seed}",
                seed=seed,
                metrics=2.0 * seed,
                config={"model.cell": "lstm", "model.num_layers": depth},
                num_parameters=1234,
                tokens_per_second=10.1 + depth / 10,
            )
    report = compare([tmp_path], by=["model.cell", "model.num_layers"])
    for text in (render(report, "html"), report._repr_html_()):
        page = Page(text)
        # The speeds differ, though not as they are shown; the metric stays whatever it is.
        assert page.rows[0] == [
            "model.num_layers",
            "test/perplexity",
            "difference",
            "its 95 % interval",
            "pairs",
            "tokens/s",
        ]
        assert "The same in all rows: model.cell lstm; n 2; 95 % interval" in page.text
        assert "; parameters 1,234; time unknown." in page.text
    alone = Page(render(compare([tmp_path / "1-1"], by=["model.cell"]), "html"))
    assert alone.rows[0][:2] == ["model.cell", "n"] and "The same in all rows" not in alone.text


def test_a_wide_table_scrolls_by_itself_beside_its_first_column(sweep):
    text = render(compare([sweep]), "html")
    assert '<div class="scroll"><table' in text
    rules = dict(re.findall(r"^([^{}@/]+?) \{ ([^}]*)", text, re.MULTILINE))
    assert "position: sticky; left: 0" in rules["th.key:first-child"]
    assert "background" in rules["tbody th.key:first-child"]  # or numbers would show through


def test_the_page_needs_nothing_from_anywhere(sweep):
    report = compare([sweep])
    text = render(report, "html", curves=load_curves(report))
    page = Page(text)
    assert not {"link", "img", "iframe", "object", "base"} & {tag for tag, _ in page.elements}
    for _, attributes in page.elements:
        assert not {"src", "href", "action"} & set(attributes)
        assert attributes.get("xlink:href", "#").startswith("#")
    assert set(re.findall(r"https?://[^\"' )]+", text)) <= {
        "http://www.w3.org/1999/xlink",
        "http://www.w3.org/2000/svg",
    }
    policy = next(attributes["content"] for tag, attributes in page.elements if "http-equiv" in attributes)
    assert policy.startswith("default-src 'none'")
    assert "@import" not in text and "url(http" not in text


def test_the_pictures_are_inside_with_ids_of_their_own_and_the_page_s_colours(sweep):
    report = compare([sweep])
    page = Page(render(report, "html", curves=load_curves(report)))
    pictures = [attributes for tag, attributes in page.elements if tag == "svg"]
    assert [picture["aria-label"] for picture in pictures] == [
        "test/perplexity of each group",
        "learning curves, val/loss",
    ]
    assert all(picture["viewbox"].startswith("0 0 ") for picture in pictures)  # or they would not fit a narrow page
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) > 20
    used = [attributes["xlink:href"][1:] for tag, attributes in page.elements if tag == "use"]
    assert used and set(used) <= set(ids)
    styles = " ".join(attributes.get("style") or "" for _, attributes in page.elements)
    assert "currentColor" in styles
    assert not re.search(r"#(000000|ffffff)\b", styles)
    without = Page(render(report, "html"))
    assert sum(tag == "svg" for tag, _ in without.elements) == 1


def test_the_same_report_is_the_same_page(sweep):
    assert render(compare([sweep]), "html") == render(compare([sweep]), "html")


def test_names_cannot_become_markup(tmp_path, write_run):
    evil = '<script>alert("1")</script>&amp;\'"'
    for number in range(2):
        config = {"model.num_layers": number, "data.path": evil}
        write_run(
            tmp_path / str(number), metrics={f"test/{evil}": 1.0 + number}, config=config, device=f"{evil}{number}"
        )
    write_run(tmp_path / "failed", end="failed", config={"data.path": evil + "2"})
    report = compare([tmp_path], by=["data.path"], columns=["model.num_layers"], metric=f"test/{evil}")
    page = Page(render(report, "html"))
    assert sum(tag == "script" for tag, _ in page.elements) == 1
    assert page.rows[2][0] == evil
    assert f"2 devices ({evil}0, {evil}1)" in page.text
    assert "Not counted: 1 failed:" in page.text


def test_a_page_without_a_completed_run_tells_why(tmp_path, write_run):
    write_run(tmp_path / "a", end="failed")
    page = Page(render(compare([tmp_path]), "html"))
    assert "No completed run to compare." in page.text
    assert "RuntimeError" in page.text
    assert page.rows == []


def test_long_titles_of_columns_can_go_on_in_another_line(sweep):
    text = render(compare([sweep], metric="test/perplexity"), "html")
    assert "<button>model.<wbr>num_<wbr>layers</button>" in text and "<button>test/<wbr>perplexity</button>" in text
    assert "<button>tokens/s</button>" in text


def test_the_heading_names_the_keys_as_a_sentence_does(tmp_path, write_run):
    for number in range(2):
        config = {"model.a": number, "model.b": number, "model.c": number}
        write_run(tmp_path / str(number), metrics=1.0, config=config)
    page = Page(render(compare([tmp_path], by=["model.a", "model.b", "model.c"]), "html"))
    assert "test/perplexity by model.a, model.b and model.c" in page.text


def test_two_keys_make_a_table_of_rows_and_columns_on_the_page_too(tmp_path, write_run):
    for cell, depth, result in (("GRU", 2, 9.0), ("GRU", 10, 8.0), ("LSTM", 10, 7.0)):
        config = {"model.cell": cell, "model.num_layers": depth}
        write_run(tmp_path / f"{cell}{depth}", metrics=result, config=config)
    report = compare([tmp_path], by=["model.cell"], columns=["model.num_layers"])
    page = Page(render(report, "html"))
    assert page.rows[:4] == [
        ["", "model.num_layers"],
        ["model.cell", "2", "10"],
        ["GRU", "9.000", "8.000"],
        ["LSTM", "", "7.000 *"],
    ]
    spans = [attributes["colspan"] for _, attributes in page.elements if "colspan" in attributes]
    best = [tag for tag, attributes in page.elements if attributes.get("class") == "best"]
    assert (spans, best) == (["1", "2"], ["td", "tr"])  # its cell there, its row in the table of the groups
    assert [attributes.get("class") for tag, attributes in page.elements if tag == "tr"].count("best") == 1
    alone = Page(render(compare([tmp_path], columns=["model.cell", "model.num_layers"]), "html"))
    assert alone.rows[:2] == [["model.cell, model.num_layers"], ["GRU, 2", "GRU, 10", "LSTM, 10"]]


def test_the_page_says_what_it_is_of_and_where_that_comes_from(sweep, write_run):
    write_run(sweep / "failed", end="failed", config={"model.num_layers": 3}, device="A100")
    page = Page(render(compare([sweep]), "html"))
    title, heading, lead, *_ = filter(None, page.text.splitlines())
    assert title == heading == "test/perplexity by model.num_layers"
    assert lead == "5 runs in 3 groups; best: model.num_layers=2."
    assert "Not counted: 1 failed:failed" in page.text and "RuntimeError" in page.text
    assert f"code: {'a' * 10} (5 runs)" in page.text
    assert "device: unknown (5 runs)" in page.text and "A100" not in page.text
    assert "host: " in page.text and "versions: " in page.text
    alone = Page(render(compare([sweep / "1-1"]), "html")).text
    assert list(filter(None, alone.splitlines()))[:3] == ["test/perplexity", "test/perplexity", "1 run in 1 group."]


def test_the_page_has_the_command_and_what_one_must_know_of_it(tmp_path, write_run):
    for depth in (1, 2):
        folder = tmp_path / str(depth)
        folder.mkdir()
        (folder / "best.ckpt").touch()
        words = ("data.path='a<b>'", f"model.num_layers={depth}")
        config = {"model.num_layers": depth}
        write_run(folder, metrics=depth, config=config, overrides=words, checkpoint=folder / "best.ckpt")
    report = compare([tmp_path])
    page = Page(render(report, "html"))
    assert "Train the best again" in page.text
    for line in (report.command.line, *report.command.remarks):
        assert line in page.text
    assert "Train it again" in Page(render(compare([tmp_path / "1"]), "html")).text


def test_of_very_many_failed_runs_the_page_lists_some(tmp_path, write_run, monkeypatch):
    monkeypatch.setattr("seqlab.report.page.MAX_LISTED", 2)
    for number in range(4):
        write_run(tmp_path / str(number), seed=number, end="failed")
    text = Page(render(compare([tmp_path]), "html")).text
    assert "Not counted: 4 failed:" in text and text.count("RuntimeError") == 2 and "and 2 more" in text


def test_a_list_of_no_runs_is_no_list(tmp_path, depths):
    report = compare([depths(tmp_path, {1: [8.0, 8.5]})])
    report.not_counted.append(dataclasses.replace(report.runs[0], status="pruned"))
    for page in (render(report, "html"), report._repr_html_()):
        assert "<p>Not counted: 1 pruned.</p>" in page and "<ul></ul>" not in page
