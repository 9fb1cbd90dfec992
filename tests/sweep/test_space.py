"""How the keys of a search are drawn: Hydra's grammar, Optuna's distributions, and the overrides of a trial."""

import pytest
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra

from seqlab.errors import InputError
from seqlab.sweep.samplers import build_pruner, build_sampler
from seqlab.sweep.space import read_space

optuna = pytest.importorskip("optuna", minversion="5", reason="pip install 'seqlab[optuna]'")
CategoricalDistribution = optuna.distributions.CategoricalDistribution
FloatDistribution, IntDistribution = optuna.distributions.FloatDistribution, optuna.distributions.IntDistribution

LOG = "tag(log, interval(0.001, 0.1))"


def drawn(text: str):
    return read_space([f"k={text}"], {}).drawn["k"]


@pytest.mark.parametrize(
    ("text", "distribution"),
    [
        ("1,2,3", CategoricalDistribution([1, 2, 3])),
        ("a,null,true,0.5", CategoricalDistribution(["a", None, True, 0.5])),
        ("1,1.5,true", CategoricalDistribution(["1", "1.5", "True"])),  # Optuna takes 1 and true for one value
        ("[1,2],[3]", CategoricalDistribution(["[1,2]", "[3]"])),
        ("range(1,4)", IntDistribution(1, 3)),  # as in Hydra, without its end
        ("range(8,64,step=8)", IntDistribution(8, 56, step=8)),
        ("range(4,0,step=-2)", IntDistribution(2, 4, step=2)),
        ("range(0.1,0.35,step=0.1)", FloatDistribution(0.1, 0.3, step=0.1)),
        ("shuffle(range(1,4))", CategoricalDistribution([1, 2, 3])),
        ("interval(1,4)", FloatDistribution(1.0, 4.0)),
        ("int(interval(1,4))", IntDistribution(1, 4)),
        ("interval(0.5,4)", FloatDistribution(0.5, 4.0)),
        ("int(tag(log, interval(1,1000)))", IntDistribution(1, 1000, log=True)),
        (LOG, FloatDistribution(0.001, 0.1, log=True)),
        ("interval(0.5,0.5)", FloatDistribution(0.5, 0.5)),
    ],
)
def test_a_key_is_drawn_as_its_text_says(text, distribution):
    if text.startswith("shuffle"):
        assert set(drawn(text).distribution.choices) == set(distribution.choices)
    else:
        assert drawn(text).distribution == distribution


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("tag(log, choice(1,2))", "a log scale is for an interval"),
        ("tag(log, range(1,4))", "a log scale is for an interval"),
        ("tag(lin, interval(1,4))", "the tag lin means nothing"),
        ("interval(4,1)", "low <= high"),
        ("tag(log, interval(0,1))", "0 < low"),
        ("1,1", "given twice"),
        ("5", "draws no key"),
    ],
)
def test_what_can_not_be_drawn_is_refused(text, word):
    with pytest.raises(InputError, match=word):
        drawn(text)


def test_a_drawn_value_becomes_the_override_that_sets_it_exactly():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    space = read_space(["seed=3", "a=" + LOG, "b=\"it's\",'x y'", "c=[1,2],[3]", "~d"], {"e": "range(1,9)", "a": "1,2"})
    for _ in range(20):
        trial = study.ask()
        for each in space.drawn.values():
            each.draw(trial)
        overrides, varied = space.overrides(trial.params)
        assert overrides[:2] == ("seed=3", "~d") and overrides[2:] == varied
        values = dict(text.split("=", 1) for text in varied)
        assert float(values["a"]) == trial.params["a"] and values["c"] in ("[1,2]", "[3]")
        assert space.has(trial.params) and not space.has({**trial.params, "e": 9}) and not space.has({"e": 1})


def test_the_command_line_overrides_the_params_and_globs_draw_from_a_group():
    with initialize_config_module("seqlab.conf", version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        space = read_space(["model/cell=glob(*gru*)", "x=2"], {"x": "1,2", "y": "5", "z": None}, loader)
    assert set(space.drawn) == {"model/cell"} and "gru" in space.drawn["model/cell"].distribution.choices
    assert space.fixed == {"y": "y=5", "z": "z=null", "x": "x=2"} and set(space.fixed_params) == {"y", "z"}


def test_a_seed_does_not_draw_the_same_trials_again_except_where_the_study_keeps_the_place():
    space = read_space(["k=0.1,0.2,0.3,0.4"], {})

    def draws(sampler, trials):
        settings = {"_target_": f"optuna.samplers.{sampler}", "seed": 1}
        study = optuna.create_study(sampler=build_sampler(settings, space, trials))
        return [study.ask(space.distributions).params["k"] for _ in range(4)]

    assert draws("RandomSampler", 0) == draws("RandomSampler", 0) != draws("RandomSampler", 4)
    assert draws("GridSampler", 0) == draws("GridSampler", 4) and len(set(draws("GridSampler", 0))) == 4


def test_parts_within_parts_are_built_and_checked():
    patient = {"_target_": "optuna.pruners.PatientPruner", "patience": 1}
    inner = {"_target_": "optuna.pruners.NopPruner"}
    assert type(build_pruner({**patient, "wrapped_pruner": inner}, [0.5])).__name__ == "PatientPruner"
    with pytest.raises(InputError, match=r"pruner\.wrapped_pruner\._target_ is os\.system.*allow-list"):
        build_pruner({**patient, "wrapped_pruner": {"_target_": "os.system"}}, [0.5])
    with pytest.raises(InputError, match=r"optuna\.samplers\._grid\.itertools"):
        build_sampler({"_target_": "optuna.samplers._grid.itertools.product"}, read_space(["k=1,2"], {}), 0)


@pytest.mark.parametrize(("rungs", "fits"), [([0.25, 0.5], True), ([0.5], True), ([0.3], False), ([0.25, 0.75], False)])
def test_a_pruner_that_halves_needs_the_rungs_at_which_it_does(rungs, fits):
    numbers = {"min_resource": 25, "max_resource": 100, "reduction_factor": 2}
    settings = {"_target_": "optuna.pruners.HyperbandPruner", **numbers}
    if fits:
        assert build_pruner(settings, rungs)
    else:
        with pytest.raises(InputError, match=r"compares at \[0.25,0.5\]"):
            build_pruner(settings, rungs)
    with pytest.raises(InputError, match="min_resource"):
        build_pruner({"_target_": "optuna.pruners.SuccessiveHalvingPruner"}, rungs)
