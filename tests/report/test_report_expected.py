"""The expected best of n random trials: the formula against every draw there is, and which searches are refused."""

import itertools
import json
import math
import re
import statistics
from dataclasses import asdict, replace

import pytest

from seqlab import cli
from seqlab.report.expected import expected_best
from seqlab.report.searches import RANDOM, SearchRecord, Trial

VALUES = [2.0, 1.0, 4.0, 1.0]
SPACE = {"optimizer.lr": "interval(0.1,1)"}


def trials(values, **fields):
    return [Trial(number, "complete", value, RANDOM, SPACE, **fields) for number, value in enumerate(values)]


@pytest.fixture
def report(tmp_path, monkeypatch, capsys):
    """Writes searches, and gives the exit code, the output and the errors of ``seqlab report --expected``."""
    monkeypatch.chdir(tmp_path)

    def run(searches, *options, metric="val/loss", mode="min"):
        for name, rows in searches.items():
            (tmp_path / name).mkdir(exist_ok=True)
            SearchRecord(name, metric, mode, rows).write(tmp_path / name)
        code = cli.main(["report", *searches, "--expected", *options])
        return code, *capsys.readouterr()

    return run


@pytest.mark.parametrize("values", [[3.0], [1.0, 2.0], VALUES, [-1.5, 0.0, 2.5, 2.5, 7.0], [5.0] * 3])
@pytest.mark.parametrize("higher", [False, True])
def test_the_formula_is_the_mean_over_all_draws(values, higher):
    for n in range(1, len(values) + 1):
        bests = [(max if higher else min)(draw) for draw in itertools.product(values, repeat=n)]
        mean, sd = expected_best(values, n, higher)
        assert mean == pytest.approx(statistics.fmean(bests), rel=1e-12)
        assert sd == pytest.approx(statistics.pstdev(bests), abs=1e-7)


def test_a_table_has_the_curve_of_each_search_to_as_many_trials_as_it_has(report):
    code, out, _ = report({"a": trials(VALUES), "b": trials([3.0, 5.0])})
    assert code == 0
    cells = {line.split()[0]: re.findall(r"[\d.]+ ± [\d.]+", line) for line in out.splitlines() if "±" in line[:40]}
    assert [len(cells[n]) for n in "1234"] == [2, 2, 1, 1]
    assert [float(cell.split()[0]) for cell in cells["1"]] == [2.0, 4.0]
    assert float(cells["2"][1].split()[0]) == 3.5
    assert "the expected lowest" in out and "Dodge et al. 2019" in out


def test_all_numbers_are_in_csv_and_json_and_a_picture_is_drawn(report, tmp_path):
    code, out, err = report({"a": trials([float(n) for n in range(40)])}, "--format", "csv", "--plot", "x.svg")
    rows = [line.split(",") for line in out.splitlines()]
    assert code == 0 and len(rows) == 41 and "written: x.svg" in err
    assert float(rows[7][3]) == expected_best([float(n) for n in range(40)], 7, False)[0]
    assert "expected best val/loss (nats, lower is better)" in (tmp_path / "x.svg").read_text()
    code, out, _ = report({"a": trials(VALUES)}, "--format", "json", mode="max", metric="val/accuracy")
    (search,) = json.loads(out)
    assert search["curve"][3][0] == pytest.approx(expected_best(VALUES, 4, True)[0]) and search["higher_is_better"]
    code, out, _ = report({"a": trials(VALUES)}, "--format", "markdown")
    assert out.startswith("| trials | a |\n| ---: | ---: |\n| 1 | 2.")


def test_failed_trials_are_left_out_and_diverged_ones_are_the_worst_and_both_are_said(report):
    rows = [*trials([1.0, 3.0, math.inf]), Trial(3, "fail"), Trial(4, "running")]
    code, out, _ = report({"a": rows})
    assert code == 0 and re.search(r"^ +1 +2\.3\d* ±", out, flags=re.MULTILINE), out  # of 1, 3 and 3
    assert "diverged trials: 1" in out and "failed trials: 1" in out and "not ended: 1" in out


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            [replace(trial, sampler="TPESampler") for trial in trials(VALUES)],
            r"4 of 4 .*\(TPESampler\).*sampler=random",
        ),
        ([*trials(VALUES), replace(trials([1.0])[0], sampler="queued")], r"1 of 5 .*\(queued\)"),
        ([*trials(VALUES), replace(trials([1.0])[0], sampler="")], r"1 of 5 .*\(unknown\)"),
        ([*trials(VALUES), replace(trials([1.0])[0], state="pruned")], "1 of 5 trials were pruned.*without rungs"),
        ([*trials(VALUES), replace(trials([1.0])[0], space={"x": "1,2"})], "different intervals"),
        (trials([1.0]), "1 of its trials have a finite val/loss; expected 2"),
        ([], "0 of its trials"),
    ],
)
def test_other_trials_than_random_ones_are_refused_in_one_line(report, rows, words):
    code, out, err = report({"a": rows})
    assert (code, out) == (2, "") and err.count("\n") == 1 and re.search(words, err), err


def test_options_of_other_reports_and_folders_without_a_search_are_refused(report, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for options, words in (
        (["--by", "seed"], "--by: does not go with --expected"),
        (["--format", "html"], "--format html"),
        (["--plot", "x.txt"], "--plot"),
    ):
        code, _, err = report({"a": trials(VALUES)}, *options)
        assert code == 2 and err.count("\n") == 1 and re.search(words, err), err
    for content, words in (
        (None, "empty holds no search.*sweep=optuna"),
        ("{", "can't be read"),
        ("[]", "can't be read"),
        (json.dumps(asdict(SearchRecord("b", "val/accuracy", "max", trials(VALUES)))), "different metrics"),
    ):
        if content is not None:
            (tmp_path / "empty" / "search.json").write_text(content)
        assert cli.main(["report", "a", "empty", "--expected"]) == 2
        assert re.search(words, capsys.readouterr().err)


def test_trials_of_different_code_are_refused(report, tmp_path, write_run):
    rows = [replace(trial, run=f"run{trial.number}") for trial in trials(VALUES)]

    def write(trial: Trial, version: str) -> None:
        code = {"hash": version, "files": [{"module": "my_cells", "path": "/x/my_cells.py", "sha256": version * 64}]}
        folder = tmp_path / "a" / trial.run
        write_run(folder, metrics={"val/loss": trial.value}, seed=trial.number, written={"code": code})

    for trial in rows:
        write(trial, "a")
    assert report({"a": rows})[0] == 0
    write(rows[0], "b")
    status, _, err = report({"a": rows})
    assert status == 2 and "different code" in err and "my_cells aaaaaa, my_cells bbbbbb" in err
