"""The lines at the foot of a terminal while the jobs of a sweep run in other processes."""

import io

import pytest
from rich.console import Console

from seqlab.sweep.progress import Progress
from seqlab.sweep.screen import Screen, status_lines


@pytest.fixture
def progress() -> Progress:
    """A sweep whose status line and whose first job's line are longer than 80 characters."""
    progress = Progress("val/loss", "min", num_jobs=9, at_once=2)
    for number in range(2):
        folder = f"model.encoder.cell=lstm,optimizer.lr=0.00{number + 1},model.hidden_size=512,seed={number}-abc"
        progress.add({"event": "start", "number": number, "folder": folder})
        progress.add({"event": "end", "number": number, "folder": folder, "status": "completed", "value": 1.5 - number})
    folder = "model.encoder.cell=lstm,optimizer.lr=0.003,model.hidden_size=512,model.num_layers=8,seed=2-abc"
    progress.add({"event": "start", "number": 2, "folder": folder})
    progress.add({"event": "progress", "number": 2, "folder": folder, "stage": "training", "step": 7, "steps": 9})
    return progress


def shown(progress: Progress, width: int) -> list[str]:
    """The lines of a terminal of this width, without trailing spaces."""
    output = io.StringIO()
    screen = Screen(
        Console(file=output, width=width, height=25, force_terminal=True, color_system=None, soft_wrap=True)
    )
    output.truncate(0)
    screen.show(progress, 100.0)
    text = output.getvalue().strip("\x00\r\n")
    screen.close()
    return [line.rstrip() for line in text.splitlines()]


@pytest.mark.parametrize("width", [60, 80])
def test_a_narrow_terminal_wraps_the_status_line_and_cuts_the_lines_of_jobs(progress, width):
    status, job = status_lines(progress, 100.0)
    assert len(status) > width and len(job) > width
    lines = shown(progress, width)
    assert "".join("".join(lines[:-1]).split()) == "".join(status.split())  # to its end: the jobs to go
    assert lines[-1].endswith("…") and job.startswith(lines[-1].removesuffix("…"))
    assert max(map(len, lines)) <= width


def test_a_wide_terminal_has_a_line_for_each(progress):
    assert shown(progress, 200) == [line.rstrip() for line in status_lines(progress, 100.0)]
