"""The jobs of a sweep, told from its overrides alone, and recognised without composing them."""

import time
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.conf import ConfigSourceInfo
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from seqlab.config.compose import compose_config
from seqlab.errors import InputError
from seqlab.sweep.memo import ComposedJob, ConfigSources, Memo, job_key
from seqlab.sweep.plan import check_varied, plan_jobs

SWEEPS = [
    ["seed=1,2,3"],
    ["seed=1", "model.num_layers=1,2", "optimizer.lr=0.1,0.2"],
    ["optimizer=adam,sgd", "+model.extra='a,b',c", "~callbacks.examples", "data.path='x y.txt'"],
    ["seed=range(1,4)", "model.num_layers=choice(1,2)", "model.init={uniform:0.1},{uniform:0.2}"],
    ["seed=1,2", "model.num_layers=2,3", "seed=7"],
    ["data.split=[0.8,0.1,0.1],[0.6,0.2,0.2]", "++name=${seed}"],
]


def composed(*overrides: str):
    with initialize_config_module("seqlab.conf", version_base="1.3"):
        return compose("train", overrides=["data=hello", *overrides], return_hydra_config=True)


@pytest.mark.parametrize("arguments", SWEEPS, ids=" ".join)
def test_the_jobs_are_those_of_hydras_own_sweeper(arguments):
    jobs = plan_jobs(arguments)
    (own,) = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(arguments), None)
    plain = [[text.replace("~callbacks.examples=null", "~callbacks.examples") for text in job] for job in own]
    assert [list(job.overrides) for job in jobs] == plain
    assert [job.number for job in jobs] == list(range(len(own)))
    shared = set.intersection(*(set(job.overrides) for job in jobs))
    assert all(set(job.varied) == set(job.overrides) - shared for job in jobs) or len(jobs) == 1


def test_a_stored_sweep_is_overridden_by_the_command_line():
    jobs = plan_jobs(["seed=5", "optimizer.lr=0.1,0.2"], {"seed": "1,2,3", "model.num_layers": "1,2"})
    assert [job.varied for job in jobs] == [
        (f"model.num_layers={depth}", f"optimizer.lr={rate}") for depth in (1, 2) for rate in (0.1, 0.2)
    ]


def test_a_glob_over_choices_is_known_to_the_loader():
    with initialize_config_module("seqlab.conf", version_base="1.3"):
        jobs = plan_jobs(["optimizer=glob(adam*)"], loader=GlobalHydra.instance().config_loader())
    assert [job.varied for job in jobs] == [("optimizer=adam",), ("optimizer=adamw",)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["seed=1,1"], ["seed=1,1: 1 is given twice"]),
        (["seed=3,1,2,3"], ["3 is given twice"]),
        (["seed=range(3,3)"], ["seed=range(3,3)", "no job"]),
        (["trainer.limit_val_batches=1,1.0,1"], ["1 is given twice"]),
        (["optimizer.lr=0.1,1e-1"], ["0.1 is given twice"]),
        (["model.num_layers=1,1.0"], ["1.0 is the same as 1"]),
        (["name='a',a"], ["is the same as 'a'"]),
        (["optimizer.lr=interval(0.1,0.2)"], ["only a search draws from an interval"]),
    ],
)
def test_values_that_make_one_job_of_two_are_told(arguments, words):
    with pytest.raises(InputError) as refused:
        plan_jobs(arguments)
    assert all(word in str(refused.value) for word in words) and "\n" not in str(refused.value)
    assert plan_jobs(["data.x=1,'1'"])[1].varied == ("data.x='1'",)  # a number and a text


@pytest.mark.parametrize(
    "varied",
    ["callbacks.examples.num_tokens=1,2", "trainer.devices=1,2", "logger=tensorboard,none", "data.cache_dir=a,b"],
)
def test_what_changes_no_result_is_not_varied(varied):
    config = compose_config()
    key = varied.partition("=")[0]
    with pytest.raises(InputError, match=rf"{key} is varied, but changes no result: .* give it one value"):
        check_varied(plan_jobs(["seed=1,2", varied]), config)


@pytest.mark.parametrize(
    "varied", ["seed=1,2", "model/cell=gru,lstm", "data=hello,kjv", "+mine.own=1,2", "optimizer.lr=1,2"]
)
def test_what_counts_may_be_varied(varied):
    check_varied(plan_jobs([varied]), compose_config())


def test_a_memo_is_kept_line_by_line(tmp_path):
    memo = Memo(tmp_path)
    assert memo.recall("a") is None
    one, two = ComposedJob("a", "seed=1-x", "xx", "x0"), ComposedJob("b", "seed=2-y", "yy", "y0")
    memo.remember(one)
    memo.remember(two)
    memo.remember(one)
    file = tmp_path / Memo.NAME
    assert file.read_text().count("seed=1-x") == 1
    with file.open("ab") as stream:
        stream.write(b'{"key": "c", "fol')  # a kill in the middle
    again = Memo(tmp_path)
    assert (again.recall("a"), again.recall("b"), again.recall("c")) == (one, two, None)
    other = ComposedJob("a", "seed=1-z", "zz", "z0")
    again.remember(other)
    assert Memo(tmp_path).recall("a") == other


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder of the user's own configuration, as ``--config-dir`` gives it."""
    (tmp_path / "own" / "model" / "cell").mkdir(parents=True)
    (tmp_path / "own" / "model" / "cell" / "mine.yaml").write_text("_target_: mine.Cell\n_partial_: true\n")
    return tmp_path / "own"


def digest(own: Path, *overrides: str, schema: str = "file") -> str | None:
    config = composed(*overrides)
    source = ConfigSourceInfo(path=str(own), schema=schema, provider="command-line")
    config.hydra.runtime.config_sources = [*config.hydra.runtime.config_sources, source]
    return ConfigSources.of(config).digest()


def test_the_digest_is_of_all_that_composing_reads(own, tmp_path, monkeypatch):
    monkeypatch.setenv("MINE", "1")
    monkeypatch.setenv("SEQLAB_DATA", "/data")
    before = digest(own)
    assert before is not None and digest(own) == before
    assert digest(own, "hydra.run.dir=elsewhere", "name=x") == before  # of the job, or of no account
    monkeypatch.setenv("UNRELATED", "1")
    assert digest(own) == before
    monkeypatch.setenv("SEQLAB_DATA", "/other")
    changed = [digest(own)]
    monkeypatch.setenv("SEQLAB_DATA", "/data")
    assert digest(own) == before
    named = digest(own, "name=${oc.env:MINE}")
    monkeypatch.setenv("MINE", "2")
    assert digest(own) == before and digest(own, "name=${oc.env:MINE}") != named
    file = own / "model" / "cell" / "mine.yaml"
    file.write_text(file.read_text() + "bias: true\n")
    changed.append(digest(own))
    (own / "data").mkdir()
    (own / "data" / "new.yaml").write_text("_target_: mine.data\n")
    changed.append(digest(own))
    (own / ".hidden").mkdir()
    (own / ".hidden" / "x.yaml").write_text("a: 1\n")
    assert digest(own) == changed[-1]
    monkeypatch.chdir(tmp_path)
    changed.append(digest(own))
    assert before not in changed and len(set(changed)) == len(changed)


def test_the_digest_is_of_what_lies_behind_links_too_and_ends_in_a_circle_of_them(own, tmp_path):
    (tmp_path / "shared" / "deep").mkdir(parents=True)
    file = tmp_path / "shared" / "deep" / "mine.yaml"
    file.write_text("lr: 0.5\n")
    (own / "optimizer").symlink_to(tmp_path / "shared")
    (own / "optimizer" / "again").symlink_to(own)
    before = digest(own)
    file.write_text("lr: 0.25\n")
    assert before is not None and digest(own) not in (None, before)


def test_the_digest_is_of_a_package_of_the_users_too(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "conf_of_mine" / "optimizer").mkdir(parents=True)
    (tmp_path / "conf_of_mine" / "__init__.py").write_text("")
    file = tmp_path / "conf_of_mine" / "optimizer" / "mine.yaml"
    found = []
    for rate in (0.5, 0.25):
        file.write_text(f"lr: {rate}\n")
        found.append(digest("conf_of_mine", schema="pkg"))
        config = composed()
        config.hydra.overrides.hydra.append("hydra.searchpath=[pkg://conf_of_mine]")
        found.append(ConfigSources.of(config).digest())
    assert None not in found and len(set(found)) == 4


def test_what_a_job_alone_has_in_its_environment_has_no_digest():
    config = composed()
    config.hydra.overrides.hydra.append("+hydra.job.env_set.RATE=0.5")
    assert ConfigSources.of(config).digest() is None


def test_a_variable_counts_however_its_interpolation_is_written(own, monkeypatch):
    for text in ("${ oc.env:MINE}", "${oc.env : MINE, 1}", "${oc.env:'MINE'}", "${oc.decode:${oc.env:MINE}}"):
        found = []
        for value in "12":
            monkeypatch.setenv("MINE", value)
            found.append(digest(own, f'+mine="{text}"'))
        assert None not in found and found[0] != found[1], text


@pytest.mark.parametrize(
    "text",
    [
        "name=${now:%Y}",
        "name=${ now:%Y}",
        "name=${hydra:job.num}",
        "name='${oc.env:${name}}'",
        "name='${oc.env:A${name}}'",
        "name=${oc.select:hydra.job.num}",
        "name=${of.mine:1}",
    ],
)
def test_what_may_be_another_each_time_has_no_digest(own, text):
    config = composed()
    config.hydra.overrides.task.append(text)
    assert ConfigSources.of(config).digest() is None
    (own / "model" / "cell" / "mine.yaml").write_text(f"x: {text.partition('=')[2]}\n")
    assert digest(own) is None


def test_a_jobs_key_is_of_its_overrides_in_their_order():
    keys = {job_key("d", job.overrides) for job in plan_jobs(["seed=1,2", "model.num_layers=1,2"])}
    assert len(keys) == 4 and job_key("e", ["seed=1"]) != job_key("d", ["seed=1"])
    assert job_key("d", ["a=1", "b=2"]) != job_key("d", ["a=1b=2"]) != job_key("d", ["b=2", "a=1"])


def test_two_hundred_jobs_are_recognised_without_composing_any(own, tmp_path, monkeypatch):
    config = composed()
    digest_now = ConfigSources.of(config).digest()
    arguments = ["seed=range(1,51)", "model.num_layers=1,2,3,4"]
    memo = Memo(tmp_path)
    for job in plan_jobs(arguments):
        memo.remember(ComposedJob(job_key(digest_now, job.overrides), f"job-{job.number}", "hash", "located"))
    monkeypatch.setattr("hydra._internal.config_loader_impl.ConfigLoaderImpl.load_configuration", None)
    began = time.process_time()
    again, digest_then = Memo(tmp_path), ConfigSources.of(config).digest()
    found = [again.recall(job_key(digest_then, job.overrides)) for job in plan_jobs(arguments)]
    assert [composed.folder for composed in found] == [f"job-{number}" for number in range(200)]
    assert time.process_time() - began < 5
