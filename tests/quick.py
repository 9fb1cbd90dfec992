"""Two things that take much of the tests' time and are not theirs: waiting for the disk, and reading `conf/` anew."""

import copy
import gc
import os

from hydra._internal.core_plugins.importlib_resources_config_source import ImportlibResourcesConfigSource


def be_quick() -> None:
    """Spare this process, and those forked from it, what no test is about.

    What is written need not outlive the machine: ``fsync`` takes some milliseconds, twenty-five times a run. A file of
    `conf/` stays as it is while tests run: a composition reads thirty of them. And most of what a test makes is kept
    or freed by count: there is little for the collector of cycles to find.
    """
    os.fsync = lambda _: None
    ImportlibResourcesConfigSource._read_config = _read_once
    gc.set_threshold(20_000, 20, 20)


_read = ImportlibResourcesConfigSource._read_config
_results = {}


def _read_once(source, file):
    key = source.provider, source.path, str(file)
    if key not in _results:
        _results[key] = _read(source, file)
    return copy.deepcopy(_results[key])
