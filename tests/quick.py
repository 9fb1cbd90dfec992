"""What takes much of the tests' time and is not theirs: waiting for the disk, and Hydra doing the same again."""

import contextlib
import functools
import gc
import os
import pickle

from hydra._internal import config_loader_impl, config_repository, defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.defaults_list import DefaultsList, Overrides
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from lightning.fabric.utilities import registry
from matplotlib.layout_engine import ConstrainedLayoutEngine
from omegaconf import OmegaConf, _utils, base


def be_quick() -> None:
    """Spare this process, and those forked from it, what no test is about.

    What is written need not outlive the machine: ``fsync`` takes some milliseconds, twenty-five times a run.

    A file of `conf/` stays as it is while tests run, and a text has one meaning. For each composition, Hydra reads
    thirty files, parses fifty interpolations, copies its whole store, which it only reads, and makes for each of the
    thirty files what only a default with an interpolation needs. Without that, a composition takes 50 ms, not 120;
    and a third of that where the same files were merged before, and only values differ.

    What is composed again, as by a sweep before its first job, is a copy. At each Trainer, Lightning looks for
    callbacks among all installed packages. To place the parts of a small figure takes Matplotlib longer than to draw
    them; the tests that look at where they are put take :data:`constrained_layout`.

    Most of what a test makes is kept or freed by count: there is little for the collector of cycles to find.
    """
    os.fsync = lambda _: None
    config_repository.ConfigRepository.load_config = _load_once
    ConfigLoaderImpl.load_configuration = _compose_once
    config_loader_impl.create_defaults_list = _choose_once
    ConfigLoaderImpl._compose_config_from_defaults_list = _merge_once
    defaults_list._create_interpolation_map = _interpolation_map
    base.parse = _utils.parse = _parse_once
    ConfigStore.__deepcopy__ = lambda store, _: store
    registry.entry_points = functools.cache(registry.entry_points)
    ConstrainedLayoutEngine.execute = lambda engine, figure: None
    gc.set_threshold(20_000, 20, 20)


constrained_layout = ConstrainedLayoutEngine.execute

_load = config_repository.ConfigRepository.load_config
_make_map = defaults_list._create_interpolation_map
_parse_once = functools.lru_cache(maxsize=None)(base.parse)
_loaded = {}


def _load_once(repository, config_path):
    """A file of `conf/` or of Hydra's own, as it was read the first time; others are read each time."""
    source = repository._find_object_source(config_path, ObjectType.CONFIG)
    if source is None or source.scheme() != "pkg":
        return _load(repository, config_path)
    key = source.provider, source.path, config_path
    return _kept(_loaded, key, lambda: _load(repository, config_path))


def _kept(kept, key, make):
    """A copy of what was made for this key, or what is made now."""
    if key in kept:
        return pickle.loads(kept[key])
    made = make()
    with contextlib.suppress(pickle.PicklingError):  # a class of settings whose module was loaded anew meanwhile
        kept[key] = pickle.dumps(made)
    return made


def _interpolation_map(overrides, defaults, self_added):
    if any(default.is_interpolation() for default in defaults):
        return _make_map(overrides, defaults, self_added)
    return None


_compose = ConfigLoaderImpl.load_configuration
_composed = {}


def _compose_once(loader, config_name, overrides, run_mode, *rest, **named):
    """A composition of `conf/` and Hydra's own files alone: with folders of the user's, it is composed each time."""
    shipped = all(each.path.startswith(("pkg://", "structured://")) for each in loader.get_search_path().get_path())
    if rest or not shipped:
        return _compose(loader, config_name, overrides, run_mode, *rest, **named)
    if any("searchpath" in override for override in overrides):
        return _compose(loader, config_name, overrides, run_mode, **named)
    sources = _sources_of(loader)
    key = (config_name, tuple(overrides), run_mode, *sorted(named.items()), sources, os.getcwd())
    if len(_composed) >= 200:  # of some 50 kB each
        _composed.clear()
    return _kept(_composed, key, lambda: _compose(loader, config_name, overrides, run_mode, **named))


_choose = config_loader_impl.create_defaults_list
_merge = ConfigLoaderImpl._compose_config_from_defaults_list
_chosen = {}
_merged = {}


def _sources_of(repository):
    """What a composition is made from, beside its choices; None if some files are the user's, which may change.

    It is where the files lie, and what stands in Hydra's store, where a sweep puts the settings of its own sweeper.
    """
    sources = repository.get_sources()
    if not all(source.scheme() in ("pkg", "structured") for source in sources):
        return None
    places = tuple((source.provider, source.path) for source in sources)
    return places, tuple(_stored(ConfigStore.instance().repo))


def _stored(nodes, group=""):
    """Each node of Hydra's store: its name, who put it there, and the class of its settings."""
    for name, node in nodes.items():
        if isinstance(node, dict):
            yield from _stored(node, f"{group}{name}/")
        else:
            yield f"{group}{name}", node.provider, OmegaConf.get_type(node.node)


def _choose_once(repo, config_name, overrides_list, **named):
    """Which files are composed: it follows from the choices of groups among the overrides."""
    sources = _sources_of(repo)
    if sources is None:
        return _choose(repo, config_name, overrides_list, **named)
    overrides = Overrides(repo=repo, overrides_list=overrides_list)
    values = {id(each) for each in overrides.config_overrides}
    groups = (each for each in overrides_list if id(each) not in values and not each.is_sweep_override())
    key = (sources, config_name, tuple(each.input_line for each in groups), *sorted(named.items()))

    def choose():
        chosen = _choose(repo, config_name, overrides_list, **named)
        return chosen.defaults, chosen.overrides.known_choices

    defaults, overrides.known_choices = _kept(_chosen, key, choose)
    return DefaultsList(defaults, None, overrides.config_overrides, overrides)


def _merge_once(loader, defaults, repo):
    """What these files make together, before any value is overridden."""
    sources = _sources_of(repo)
    if sources is None:
        return _merge(loader, defaults, repo)
    key = sources, tuple((each.config_path, each.package, each.is_self, each.primary) for each in defaults)
    return _kept(_merged, key, lambda: _merge(loader, defaults, repo))
