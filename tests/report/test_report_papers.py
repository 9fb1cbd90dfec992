"""What goes into a paper: LaTeX tables, pictures as vectors, names for keys, a line a run for other programs."""

import csv
import io
import re
from pathlib import Path

import pytest

from seqlab import cli
from seqlab.errors import InputError
from seqlab.report import compare, render

DEPTH, CELL = "model.num_layers", "model.cell._target_"


@pytest.fixture
def sweep(tmp_path, write_run) -> Path:
    for depth, results in {1: [10.0, 12.0], 2: [8.0, 8.5]}.items():
        for seed, result in enumerate(results, start=1):
            config = {DEPTH: depth, CELL: "seqlab.nn.GRUCell", "optimize.metric": "val/loss"}
            metrics = {"test/perplexity": result, "val/loss": result / 10}
            overrides = (f"{DEPTH}={depth}", "model/cell=gru", f"seed={seed}")
            write_run(tmp_path / f"{depth}-{seed}", seed=seed, metrics=metrics, config=config, overrides=overrides)
    write_run(tmp_path / "3-1", end="failed", config={DEPTH: 3})
    return tmp_path


def rows_of(table: str) -> list[list[str]]:
    return [line.removesuffix(r" \\").split(" & ") for line in table.splitlines() if line.endswith(r" \\")]


def test_latex_has_the_tables_with_the_best_in_bold(sweep):
    report = compare([sweep], by=[DEPTH], baseline={DEPTH: "1"})
    text = render(report, "latex")
    assert re.findall(r"\\begin\{tabular\}\{(\w+)\}", text) == ["lrrrr", "lrrrrr"]  # results; differences
    for rule in ("toprule", "midrule", "bottomrule"):
        assert text.count(f"\\{rule}") == 2
    rows = rows_of(text)
    assert rows[0][0] == r"model.num\_layers" and "test/perplexity" in rows[0]
    two = next(row for row in rows if row[0] == "2")
    assert r"$8.250 \pm 0.354$" in two and r"$\mathbf{0.8250}$" in two and "$[5.073, 11.427]$" in two
    assert any(line.startswith("% test/perplexity: mean ±") for line in text.splitlines())
    assert all(line.startswith(("%", "\\", *"0123456789", "model")) for line in text.splitlines() if line)
    # Tables are paragraphs of their own, and comments speak of what is there.
    assert text.count("\n\n\\begin{tabular}") == 2
    assert "% Bold: best mean val/loss." in text and "tokens/s" not in text and "% *" not in text


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a_b & 50 %", r"a\_b \& 50 \%"), ("x^2 ~ $5", r"x\^{}2 \~{} \$5"), ("#1 {y}", r"\#1 \{y\}"), ("<3", "$<$3")],
)
def test_latex_is_escaped(tmp_path, write_run, name, shown):
    for value in (name, "other"):
        write_run(tmp_path / value, metrics=1.0, config={"data.name": value})
    titles, *rows = rows_of(render(compare([tmp_path], by=["data.name"]), "latex"))
    assert titles[0] == "data.name" and shown in [row[0] for row in rows]


def test_names_stand_in_tables_and_pictures_and_not_in_files_for_programs(sweep, tmp_path):
    names = {DEPTH: "Layers", "test/perplexity": "Perplexity", "val/loss": "Validation", "2": "two"}
    report = compare([sweep], by=[DEPTH], names=names, baseline={DEPTH: "1"})
    for format in ("table", "markdown", "latex", "html"):
        text = render(report, format)
        assert {"Layers", "Perplexity", "Validation", "two"} <= set(re.findall(r"\w+", text))
        assert "test/perplexity" not in text
    for format in ("csv", "csv-groups", "json"):
        assert "Layers" not in render(report, format)
    assert (
        cli.main(["report", str(sweep), "--by", DEPTH, "--label", f"{DEPTH}=Layers", "--plot", f"{tmp_path}/a.svg"])
        == 0
    )
    assert "test/perplexity by Layers" in (tmp_path / "a.svg").read_text()


@pytest.mark.parametrize(("ending", "begins"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_pictures_have_the_form_of_their_name_and_the_size_that_is_asked_for(sweep, tmp_path, ending, begins):
    path, again = tmp_path / f"a.{ending}", tmp_path / f"b.{ending}"
    for each in (path, again):
        assert cli.main(["report", str(sweep), "--by", DEPTH, "--plot", str(each), "--size", "4x3"]) == 0
    content = path.read_bytes()
    assert content.startswith(begins) and content == again.read_bytes()
    if ending == "svg":
        assert 'width="288pt" height="216pt"' in content.decode()
    elif ending == "pdf":
        assert b"[ 0 0 288 216 ]" in content
    else:
        assert (int.from_bytes(content[16:20]), int.from_bytes(content[20:24])) == (600, 450)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--plot", "a.jpg"], "--plot: expected a file name that ends in one of .png, .pdf, .svg"),
        (["--size", "4"], "--size: expected WIDTHxHEIGHT"),
        (["--size", "0x3"], "--size: expected WIDTHxHEIGHT"),
        (["--label", "Layers"], "--label: expected NAME=TEXT"),
        (["--label", "=Layers"], "--label: expected NAME=TEXT"),
        (["--size", "4x3"], "--size: is that of the pictures; add --plot FILE"),
        (["--label", "model.nm_layers=L"], "'model.nm_layers'; near: model.num_layers"),
        (["--label", "3=three", "--label", "4=four"], "no key, value or metric of the report is called '4'"),
    ],
)
def test_wrong_options_are_one_line(sweep, capsys, arguments, words):
    assert cli.main(["report", str(sweep), *arguments]) == 2
    assert words in capsys.readouterr().err


def test_csv_has_a_line_a_run(sweep):
    lines = [*csv.DictReader(io.StringIO(render(compare([sweep], by=[DEPTH]), "csv")))]
    assert len(lines) == 5
    assert [line["role"] for line in lines] == ["counted"] * 4 + ["failed"]
    assert [(line[DEPTH], line["seed"]) for line in lines][:4] == [("1", "1"), ("1", "2"), ("2", "1"), ("2", "2")]
    assert [float(line["test/perplexity"]) for line in lines[:4]] == [10.0, 12.0, 8.0, 8.5]
    assert lines[4]["test/perplexity"] == "" and {line["config_hash"] for line in lines} > {""} - {""}
    assert all(Path(line["path"], "run.json").is_file() for line in lines)


def test_a_line_of_latex_does_not_begin_with_what_the_rule_above_takes_for_an_argument(tmp_path, write_run):
    cells = [{"_target_": "seqlab.nn.LSTMCell"}, {"_target_": "seqlab.nn.GRUCell"}]
    for number, cell in enumerate([cells, cells[0], "*starred", "a\n\nb|c"]):
        write_run(tmp_path / str(number), metrics=1.0 + number, config={"model.cell": cell})
    text = render(compare([tmp_path], by=["model.cell"]), "latex")
    first = [row[0] for row in rows_of(text)]
    assert {"{}[LSTMCell, GRUCell]", "LSTMCell", "{}*starred", "a b$|$c"} <= set(first)
    assert not [line for line in text.splitlines() if line.startswith(("[", "*"))]


def test_a_comment_of_latex_stays_one_line(tmp_path, write_run):
    for number, name in enumerate(["a\nb", "c"]):
        for seed in (1, 2):
            config = {"data.name": name, "optimize.metric": "val/loss"}
            write_run(
                tmp_path / f"{number}{seed}", seed=seed, metrics={"val/loss": number + seed / 10.0}, config=config
            )
    text = render(compare([tmp_path], by=["data.name"]), "latex")
    assert "from the best mean (data.name=a b)" in text


def test_csv_tells_the_runs_that_chose_from_those_that_judged(tmp_path, write_run):
    for rate in (0.1, 0.2):
        for seed in range(1, 5 if rate == 0.1 else 3):
            config = {DEPTH: 1, "optimizer.lr": rate, "optimize.metric": "val/loss"}
            metrics = {"val/loss": rate, "test/loss": rate}
            write_run(tmp_path / f"{rate}-{seed}", seed=seed, metrics=metrics, config=config)
    report = compare([tmp_path], by=[DEPTH], tune=["optimizer.lr"])
    lines = [*csv.DictReader(io.StringIO(render(report, "csv")))]
    roles = {(line["optimizer.lr"], line["seed"]): line["role"] for line in lines}
    assert roles == {
        **{("0.1", seed): "choosing" for seed in "12"},
        **{("0.1", seed): "counted" for seed in "34"},
        **{("0.2", seed): "choosing" for seed in "12"},
    }


def test_a_key_may_be_spelled_as_it_was_swept(sweep, capsys):
    assert cli.main(["report", str(sweep), "--by", "model/cell,model.num_layers"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert any(row[:2] == ["gru", "2"] for row in rows)


def test_no_format_is_unknown(sweep):
    with pytest.raises(
        InputError, match="--format: expected one of table, csv, csv-groups, json, markdown, latex, html"
    ):
        render(compare([sweep]), "docx")


def test_the_best_is_bold_in_a_latex_table_of_columns_too(sweep):
    (table,) = re.findall(r"\\begin.*?\\end", render(compare([sweep], by=[CELL], columns=[DEPTH]), "latex"), re.DOTALL)
    assert r"$\mathbf{8.250 \pm 0.354}$" in table and table.count("mathbf") == 1


def test_a_latex_table_of_columns_keeps_the_sizes_of_groups_and_the_tests_against_a_baseline(sweep, write_run):
    config = {DEPTH: 2, CELL: "seqlab.nn.GRUCell", "optimize.metric": "val/loss"}
    write_run(sweep / "2-3", seed=3, metrics={"test/perplexity": 9.0, "val/loss": 0.9}, config=config)
    text = render(compare([sweep], by=[CELL], columns=[DEPTH]), "latex")
    assert r"$\mathbf{8.500 \pm 0.500}$ (n=3)" in text and "difference" not in text
    named = render(compare([sweep], by=[CELL], columns=[DEPTH], baseline={DEPTH: "1"}), "latex")
    assert named.count("\\begin{tabular}") == 2 and "& p &" in named and "% difference: from the baseline" in named


def test_a_latex_table_has_the_parameters_the_name_of_its_columns_and_the_meaning_of_its_marks(tmp_path, write_run):
    for rate in (0.1, 0.2):
        for depth in (1, 2):
            config = {DEPTH: depth, "optimizer.lr": rate, "optimize.metric": "val/loss"}
            metrics = {"val/loss": rate, "test/loss": rate}
            write_run(tmp_path / f"{depth}{rate}", metrics=metrics, config=config, num_parameters=1234 * depth)
    text = render(compare([tmp_path], by=[DEPTH], tune=["optimizer.lr"]), "latex")
    assert rows_of(text)[0][1] == "chosen optimizer.lr" and rows_of(text)[1][1] == r"0.1$^{\wedge}$"
    assert "\n{\\footnotesize $^{\\wedge}$ at the edge of the values tried" in text and "\\^{}" not in text
    assert "\n{\\footnotesize $^{\\#}$ of the seeds that chose" in text
    results = next(row for row in rows_of(text) if "parameters" in row)
    row = rows_of(text)[rows_of(text).index(results) + 1]
    assert row[results.index("parameters")] == "$1{,}234$"
    table = render(compare([tmp_path], by=[DEPTH], columns=["optimizer.lr"]), "latex")
    assert "& \\multicolumn{2}{c}{optimizer.lr} \\\\\n\\cmidrule(lr){2-3}\n" in table
