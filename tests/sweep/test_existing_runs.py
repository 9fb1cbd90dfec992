"""Which jobs have a run already, and of which the code or the data is other now, before any job starts."""

import json

import pytest

from seqlab.config.hash import config_hash
from seqlab.config.paths import absolute_paths
from seqlab.run.comparison import Present
from seqlab.run.folder import start_run
from seqlab.run.inputs import FileHashes, describe_files
from seqlab.sweep.existing_runs import find_existing_runs
from seqlab.sweep.memo import ComposedJob, Memo
from seqlab.sweep.plan import PlannedJob

JOB = PlannedJob(0, ("seed=1",), ("seed=1",))


@pytest.fixture
def sweep(tmp_path):
    """A sweep's folder with a completed run of ``a.txt`` in the folder ``one``, of which ``other`` has another one."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)
    folder = tmp_path / "S"
    with start_run(folder / "seed=1-0a", config_in(tmp_path / "one")) as claim:
        config = claim.fields["config"]
        claim.note(data_files=describe_files([config["data"]["path"]], config, FileHashes()))
        claim.complete({"val/loss": 1.0})
    return folder


def config_in(folder):
    return absolute_paths({"seed": 1, "data": {"_target_": "seqlab.data.text_data", "path": "a.txt"}}, folder)


def known(sweep, config, folder="seed=1-0a"):
    """What is known of the job, and how many jobs had to be composed for it."""
    composed = []

    def compose(job):
        composed.append(job)
        return folder, config

    return find_existing_runs(sweep, [JOB], {0: "key"}, Memo(sweep), compose, Present()), len(composed)


def test_a_remembered_job_whose_data_lies_elsewhere_now_is_compared_with_that(sweep, tmp_path):
    (job,), composed = known(sweep, config_in(tmp_path / "one"))
    assert (job.has_changed, composed) == (False, 1)
    (job,), composed = known(sweep, config_in(tmp_path / "one"))
    assert (job.has_changed, composed) == (False, 0)
    Memo(sweep).remember(ComposedJob.of("key", "seed=1-0a", config_in(tmp_path / "other")))
    for _ in range(2):  # what was told once is told again
        (job,), composed = known(sweep, config_in(tmp_path / "other"))
        assert job.has_changed and "a.txt differs" in job.differences.blocking[0] and composed == 1


def test_a_remembered_job_whose_folder_was_renamed_is_found_again(sweep, tmp_path):
    config = config_in(tmp_path / "one")
    known(sweep, config)
    (sweep / "seed=1-0a").rename(sweep / "best-0a")
    (job,), composed = known(sweep, config, "best-0a")
    assert (job.folder, job.is_complete, composed) == ("best-0a", True, 1)
    assert json.loads((sweep / Memo.NAME).read_text().splitlines()[-1])["config_hash"] == config_hash(config)
