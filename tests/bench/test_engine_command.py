"""``seqlab bench engine`` whole: what it prints and writes, and how it answers mistakes."""

import importlib.util
import json
import re
from pathlib import Path

import pytest
import torch

from seqlab import cli
from seqlab.bench.engine import run as engine
from seqlab.nn.engine import ENGINES, loop


def test_a_fourth_number_is_the_inputs_width(bench):
    _, results, out, _ = bench("--part", "main", "--cells", "rnn", "--sizes", "4,2,3,5", "4,2,3", "--engines", "loop")
    assert not results["failures"]
    flops = {(row["I"], row["pass"]): row["flops"] for row in results["parts"]["main"]["rows"]}
    assert flops[5, "forward"] - flops[None, "forward"] == 2 * 4 * 2 * 3 * (5 - 3)
    assert "(4,2,3,5)" in out and "(4,2,3)" in out


def test_the_main_part_measures_every_cell_size_pass_and_engine(bench):
    code, results, out, _ = bench("--part", "main", "--cells", "lstm,user_gru", "--sizes", "4,2,3", "3,2,5")
    assert code == 0 and results["failures"] == [] and list(results["parts"]) == ["main"]
    rows = results["parts"]["main"]["rows"]
    assert [(row["cell"], row["T"], row["H"], row["pass"]) for row in rows] == [
        (cell, *size, direction)
        for cell in ("lstm", "user_gru")
        for size in ((4, 3), (3, 5))
        for direction in ("forward", "forward+backward")
    ]
    assert [list(row["ratios"]) for row in rows] == [["native", "loop"]] * 4 + [["loop"]] * 4
    for row in rows:
        assert row["auto"] == next(iter(row["ratios"]))
        assert set(row["milliseconds"]) == set(row["ratios"]) | set(row["baselines"].values())
        assert min(row["milliseconds"].values()) > 0
        for ratios in row["ratios"].values():
            assert set(ratios) == set(row["baselines"]) == {"stock", "eager", "loop", "products"}
        assert row["ratios"]["loop"]["loop"] == 1.0
    assert rows[1]["flops"] == 3 * rows[0]["flops"] == 6 * 4 * 2 * 12 * 6
    means = results["parts"]["main"]["geometric_means"]
    assert {(mean["cell"], mean["engine"]) for mean in means} == {
        (cell, name)
        for cell, names in (("lstm", ("native", "loop", "auto")), ("user_gru", ("loop", "auto")))
        for name in names
    }
    both = [row["ratios"]["native"]["stock"] for row in rows if row["cell"] == "lstm" and row["pass"] == "forward"]
    mean = next(mean for mean in means if (mean["engine"], mean["pass"]) == ("native", "forward"))
    assert mean["ratios"]["stock"] == pytest.approx((both[0] * both[1]) ** 0.5)
    lines = out.splitlines()
    shown = re.search(r"^\(4,2,3\) +forward\+backward +native \* +(\d+\.\d{3})( +\d+\.\d\d){4}$", out, re.MULTILINE)
    assert shown[1] == f"{rows[1]['milliseconds']['native']:.3f}"
    header = next(line for line in lines if line.startswith("(T,B,H)"))
    assert len({len(line) for line in lines[1 : lines.index("")]}) == 1 and header.endswith("vs products")


def test_the_results_name_the_machine_and_the_settings(bench):
    _, results, *_ = bench("--part", "main", "--cells", "rnn", "--sizes", "2,1,1", "--engines", "native")
    machine = results["machine"]
    assert machine["cpu"] and machine["threads"] == torch.get_num_threads() and machine["gpu"] is None
    assert machine["versions"]["torch"] == torch.__version__ and machine["precision"] == "32-true"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*\+00:00", machine["date"])
    assert results["settings"] == {"rounds": 2, "precision": "32-true", "sizes": [[2, 1, 1, None]]}
    assert results["parts"]["main"]["rows"][0]["ratios"].keys() == {"native"}


def test_lengths_shapes_and_scaling_measure_what_auto_chose_against_torch(bench):
    small = ("--cells", "lstm", "--sizes", "4,2,3", "--steps", "8,2,4")
    _, results, out, _ = bench("--part", "lengths", *small)
    assert [row["baselines"] for row in results["parts"]["lengths"]["rows"]] == [{"stock": "packed nn.LSTM"}] * 2
    assert "auto (native)" in out
    _, results, *_ = bench("--part", "shapes", *small)
    rows = results["parts"]["shapes"]["rows"]
    assert [row["kind"] for row in rows[::2]] == ["bidirectional", "two layers"]
    assert all(list(row["ratios"]) == ["auto"] and row["ratios"]["auto"]["stock"] > 0 for row in rows)
    _, results, out, _ = bench("--part", "scaling", *small)
    rows = results["parts"]["scaling"]["rows"]
    assert [(row["contender"], row["T"]) for row in rows] == [(n, T) for n in ("native", "nn.LSTM") for T in (2, 4, 8)]
    assert [row["growth"] for row in rows if row["T"] == 2] == [1.0, 1.0] and "over T=2" in out


class Wrong:
    def refusal(self, cell):
        return None

    def run(self, cell, x, state, lengths):
        output, state = loop.run(cell, x, state, lengths)
        return 1.1 * output, state


def test_a_wrong_engine_is_named_and_not_timed_and_the_command_fails(bench, monkeypatch):
    monkeypatch.setitem(ENGINES, "wrong", Wrong())
    small = ("--cells", "lstm", "--sizes", "4,2,3", "--steps", "2,4")
    code, results, out, _ = bench("--part", "main", *small)
    assert code == 1 and len(results["failures"]) == 1
    assert "not measured: main: lstm layer (4,2,3), wrong: output is off by 0.1 of its size" in out
    assert all("wrong" not in row["milliseconds"] for row in results["parts"]["main"]["rows"])
    code, results, *_ = bench("--part", "scaling", *small)
    assert code == 1 and [failure[:31] for failure in results["failures"]] == [
        "scaling: lstm, wrong at T=2: ou",
        "scaling: lstm, wrong at T=4: ou",
    ]


def test_each_parts_results_are_written_before_the_next_begins(bench, monkeypatch, tmp_path):
    def broken(part):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "PARTS", {"main": engine.PARTS["main"], "then": broken})
    assert bench("--cells", "rnn", "--sizes", "2,1,1")[0] == 1
    assert list(json.loads((tmp_path / "made" / "results.json").read_text())["parts"]) == ["main"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--cells", "lstm,lstn"), "--cells: there is no cell 'lstn'; did you mean lstm?"),
        (("--engines", "native,scam"), "--engines: there is no engine 'scam'; known are auto, native, loop"),
        (("--sizes", "3,4,5,6,7"), "--sizes: expected numbers T,B,H or T,B,H,I, got '3,4,5,6,7'"),
        (("--sizes", "3,4"), "--sizes: expected numbers T,B,H or T,B,H,I, got '3,4'"),
        (("--sizes", "3,4,5", "3,0,5"), "--sizes: expected a whole number, 1 or more, got '0'"),
        (("--steps", "8,x"), "--steps: expected a whole number, 1 or more, got 'x'"),
        (("--cells", "lstm,"), "--cells: expected names with commas between them, got 'lstm,'"),
        (("--part", "mian"), "--part: invalid choice: 'mian'"),
        (("--rounds", "0"), "--rounds: expected a whole number, 1 or more, got '0'"),
        (("--json", "/dev/null/results.json"), "--json /dev/null/results.json: "),
        (("--json", "."), "--json .: expected a file, got a folder"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_measured(bench, arguments, reason):
    code, results, out, err = bench(*arguments)
    assert (code, results, out) == (2, None, "")
    assert err.startswith("seqlab: ") and err.count("\n") == 1 and reason in err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_cuda_device_the_gpu_mode_is_refused(bench):
    code, results, _, err = bench("--device", "cuda")
    assert (code, results) == (2, None) and err.startswith("seqlab: --device cuda: PyTorch finds no CUDA device")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_every_part_runs_on_a_gpu(bench):
    code, results, *_ = bench("--device", "cuda", "--cells", "lstm", "--sizes", "4,2,3", "--steps", "2,4")
    assert code == 0 and results["machine"]["gpu"] and list(results["parts"]) == list(engine.PARTS)


def test_the_choices_of_the_command_are_the_parts_there_are(capsys):
    with pytest.raises(SystemExit):
        cli.main(["bench", "engine", "--help"])
    assert "{" + ",".join([*engine.PARTS, "all"]) + "}" in capsys.readouterr().out


def test_the_study_puts_the_tables_between_the_markers_and_leaves_the_rest(tmp_path, bench):
    folder = Path(__file__).parents[2] / "experiments" / "speed"
    spec = importlib.util.spec_from_file_location("speed_study", folder / "run.py")
    study = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(study)
    _, results, *_ = bench("--part", "main", "--cells", "lstm,user_lstm", "--sizes", "4,2,3")
    ratio = next(row for row in results["parts"]["main"]["rows"] if row["pass"] == "forward+backward")["ratios"][
        "native"
    ]
    text = (folder / "README.md").read_text()
    new = study.with_table(text, study.tables(results), "tables")
    line = next(line for line in new.splitlines() if line.startswith("| lstm | native | nn.LSTM |"))
    assert line.split(" | ")[3] == f"{ratio['stock']:.2f}"
    emptied = study.with_table(new, "@@", "tables")
    assert emptied.count("@@") == 1 and "| lstm | native |" not in emptied
    begin, end = "<!-- tables: begin -->", "<!-- tables: end -->"
    outside = [part.partition(begin)[0] + part.partition(end)[2] for part in (text, new)]
    assert outside[0] == outside[1] and "## Verdict" in outside[0]
    study.draw(results, tmp_path / "speed.png")
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SystemExit, match="expected the markers"):
        study.with_table("no markers", "X")
    with pytest.raises(SystemExit, match="expected the markers"):
        study.with_table(f"before {begin} and all that is behind it", "X", "tables")
