"""A key that no part of the model takes is told once for a sweep; where a job may take it, with that job."""

import subprocess

import pytest

from seqlab.commands import shared_parts
from seqlab.run.layout import RECORD_NAME
from seqlab.sweep import parts
from tests.sweep.jobs_here import complete


@pytest.fixture
def checked(monkeypatch, capfd):
    """The process that looks at the parts is this one; how often it did, and the code that its end has instead."""
    ends = []

    class Here:
        def __init__(self, argv, address, *, stdout, stderr):
            assert argv[0] == "check_parts" and stderr == subprocess.DEVNULL
            capfd.readouterr()
            self.code = parts.main(argv[1:])
            stdout.write(capfd.readouterr().out.encode())
            stdout.flush()

        def wait(self):
            ends.append(self.code)
            return self.code

    monkeypatch.setattr(shared_parts, "RunProcess", Here)
    return ends


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["+model.encoder.dropuot=0.5"], ["model.encoder.dropuot", "seqlab.nn.Encoder", "did you mean dropout?"]),
        (["+model.cell.foo=1", "model.hidden_size=8,16"], ["model.cell.foo", "seqlab.nn.RNNCell", "leave it out"]),
        (["+model.foo=1"], ["model.foo=1", "leave it out"]),
        (["+task.foo=1"], ["task.foo=1", "leave it out"]),
        (["model.encoder.num_layers=3"], ["model.num_layers=2", "give it alone"]),
    ],
    ids=" ".join,
)
def test_a_key_that_no_part_takes_is_told_once(sweep_here, checked, capfd, tmp_path, overrides, words):
    assert sweep_here(complete, "seed=1,2", "model.num_layers=2", *overrides) == (2, [])
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and all(word in err for word in words), err
    assert checked == [2] and not list(tmp_path.rglob(RECORD_NAME))


@pytest.mark.parametrize("overrides", [["+model.cell.foo=1", "model/cell=gru,rnn"], ["+model.encoder.foo=1,2"], []])
def test_what_differs_from_job_to_job_is_left_to_the_jobs(sweep_here, checked, overrides):
    assert sweep_here(complete, "seed=1,2", *overrides)[0] == 0 and checked == []


def test_right_keys_of_parts_begin_the_jobs(sweep_here, checked):
    assert sweep_here(complete, "seed=1,2", "model.cell.nonlinearity=relu") == (0, [(1, "begun"), (2, "begun")])
    assert checked == [0]


def test_without_a_process_that_looks_the_jobs_begin(sweep_here, monkeypatch):
    def no_memory(*_, **__):
        raise OSError("Cannot allocate memory")

    monkeypatch.setattr(shared_parts, "RunProcess", no_memory)
    assert sweep_here(complete, "seed=1,2", "+model.encoder.foo=1") == (0, [(1, "begun"), (2, "begun")])


def test_a_class_that_is_not_trusted_is_not_looked_at(sweep_here, checked, capfd):
    assert sweep_here(complete, "seed=1,2", "model.encoder._target_=os.system") == (2, [])
    assert "not on the allow-list" in capfd.readouterr().err and checked == []
