"""Thousands of classes: their figures go to files, quickly, and not to the terminal."""

import csv
import json
import time

import pytest
import torch

from seqlab.callbacks.confusion import draw, write_counts
from seqlab.tasks.metrics import ClassMetrics, OpenClassMetrics
from tests.conftest import run_here


def test_a_run_with_many_classes_prints_few_and_keeps_all_in_files(tmp_path, capfd, caplog):
    caplog.set_level("INFO", "seqlab")
    table = tmp_path / "many.csv"
    table.write_text("text,label\n" + "".join(f"word{i % 50} more,class {i % 60}\n" for i in range(600)))
    overrides = ("data=classification", f"data.path={table}", "task=classification", "model=classifier")
    shown = (
        "callbacks=classification",
        "callbacks.examples.print_test=true",
        "callbacks.examples.num_examples=2",
    )
    run_here(tmp_path / "run", *overrides, *shown, "model.hidden_size=4", "trainer.max_steps=3")
    printed = capfd.readouterr().out + caplog.text
    assert len(printed) < 6_000 and "(50 more)" in printed
    with open(tmp_path / "run" / "confusion.csv") as file:
        pairs = list(csv.DictReader(file))
    assert sum(int(row["count"]) for row in pairs) == 60
    with open(tmp_path / "run" / "classes.csv") as file:
        classes = list(csv.DictReader(file))
    assert len(classes) == 60 and sum(int(row["true"]) for row in classes) == 60
    kept = json.loads((tmp_path / "run" / "run.json").read_text())["data"]["train"]["classes"]
    assert len(kept) == 60 and sum(kept.values()) == 480


def test_figures_and_files_of_three_thousand_classes_take_moments(tmp_path):
    metrics = ClassMetrics(3_000)
    targets = torch.arange(3_000)
    started = time.process_time()
    for _ in range(20):
        metrics.update(torch.tensor(1.0), targets.roll(1), targets)
    names = tuple(f"class {i}" for i in range(3_000))
    axes = draw(metrics.confusion, names).axes[0]
    write_counts(metrics.confusion, names, tmp_path)
    assert time.process_time() - started < 10.0  # it took more than a minute
    assert not axes.get_yticks().size and max(axes.images[0].get_array().shape) <= 500
    assert (tmp_path / "confusion.csv").read_text().splitlines()[1] == "class 0,class 2999,20"
    assert (tmp_path / "classes.csv").read_text().splitlines()[1] == "class 0,20,20,0,0,0,0"


def test_classes_that_training_lacks_are_a_row_of_their_own(tmp_path):
    metrics = OpenClassMetrics(2)
    metrics.update(torch.tensor(0.6), torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 2, 2]))
    values = {name: float(value) for name, value in metrics.compute().items()}
    assert values["accuracy"] == 0.5 and values["loss"] == pytest.approx(0.3)
    counts = metrics.confusion[:, :-1]
    figure = draw(counts, ("a", "b"))
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["a", "b", "(not in training)"]
    write_counts(counts, ("a", "b"), tmp_path)
    assert (tmp_path / "confusion.csv").read_text().splitlines()[-1] == "(not in training),b,1"
    assert (tmp_path / "classes.csv").read_text().splitlines()[1:] == [
        "a,1,2,1,0.5,1,0.666667",
        "b,1,2,1,0.5,1,0.666667",
    ]
