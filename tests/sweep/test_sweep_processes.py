"""A sweep in processes of its own: a failing job ends nothing, an edited sweep runs only what is new."""

import json

import pytest

from seqlab import cli
from seqlab.run.layout import RECORD_NAME
from seqlab.run.record import read_record
from tests.command import seqlab
from tests.sweep.jobs_here import TINY


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """A sweep over three depths, of which one is none, in processes of its own; its folder and what was printed."""
    folder = tmp_path_factory.mktemp("sweep")
    done = seqlab("train", "-m", *TINY, "model.num_layers=1,0,2", folder=folder)
    return folder / "runs" / "depths", done


def jobs_of(folder) -> dict[int, tuple[str, dict]]:
    """The folder's name and the record of each job, by its depth."""
    found = {}
    for path in sorted(folder.glob(f"*/{RECORD_NAME}")):
        record = read_record(path)
        found[record["config"]["model"]["num_layers"]] = (path.parent.name, record)
    return found


@pytest.mark.slow
def test_the_jobs_beside_a_failing_one_complete(sweep):
    folder, done = sweep
    jobs = jobs_of(folder)
    assert {depth: record["status"] for depth, (_, record) in jobs.items()} == {
        0: "failed",
        1: "completed",
        2: "completed",
    }
    assert "num_layers" in jobs[0][1]["error"] and "num_layers" in done.stderr and "Traceback" not in done.stderr
    assert done.returncode == 1
    assert "2 completed, 1 failed" in done.stdout and done.stdout.splitlines()[-1] == "runs/depths"
    assert f"compare them with: seqlab report {done.stdout.splitlines()[-1]}" in done.stdout


@pytest.mark.slow
def test_a_jobs_folder_tells_what_the_sweep_varied_and_its_configuration(sweep):
    for depth, (name, record) in jobs_of(sweep[0]).items():
        assert name == f"model.num_layers={depth}-{record['config_hash'][:8]}"


@pytest.mark.slow
def test_the_report_lists_the_depths(sweep, capsys):
    assert cli.main(["report", str(sweep[0]), "--by", "model.num_layers", "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert "model.num_layers" in json.dumps(report)
    assert cli.main(["report", str(sweep[0]), "--by", "model.num_layers"]) == 0
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()[:1].isdigit()]
    assert rows[:2] == ["1", "2"]


@pytest.mark.slow
def test_an_edited_sweep_runs_what_is_new_and_what_had_failed(sweep):
    folder, _ = sweep
    before = {depth: (folder / name / RECORD_NAME).stat() for depth, (name, _) in jobs_of(folder).items()}
    done = seqlab("train", "-m", *TINY, "model.num_layers=1,2,3", folder=folder.parents[1])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("completed before, skipped: ") == 2
    after = jobs_of(folder)
    assert sorted(after) == [0, 1, 2, 3] and after[3][1]["status"] == "completed"
    for depth in (1, 2):
        stat = (folder / after[depth][0] / RECORD_NAME).stat()
        assert (stat.st_mtime_ns, stat.st_ino) == (before[depth].st_mtime_ns, before[depth].st_ino)
