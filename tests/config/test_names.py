"""The names of a sweep's folders."""

import pytest
from hydra import compose, initialize_config_module

from seqlab.config.names import job_name


def name_of(folder, *overrides: str, typed: str = "seed") -> str:
    with initialize_config_module("seqlab.conf", version_base="1.3"):
        overrides = ("data=hello", f"hydra.sweep.dir={folder}", *overrides)
        return job_name(frozenset({typed}), _root_=compose("train", overrides=overrides, return_hydra_config=True))


def test_a_job_finds_its_folder_again_whatever_was_varied_and_not_a_copy_of_it(tmp_path):
    name = name_of(tmp_path, "seed=3")
    assert name.startswith("seed=3-")
    (tmp_path / f"bak-{name}").mkdir()
    assert name_of(tmp_path, "seed=3") == f"bak-{name}"  # the only one there
    (tmp_path / name).mkdir()
    assert name_of(tmp_path, "seed=3") == name
    assert name_of(tmp_path, "seed=3", typed="model.num_layers") == name


@pytest.mark.parametrize("text", ["\N{CJK UNIFIED IDEOGRAPH-6F22}" * 120, "x" * 300])
def test_a_name_is_none_that_a_file_system_refuses(tmp_path, text):
    name = name_of(tmp_path, f"+mine='{text}'", typed="mine")
    (tmp_path / name).mkdir()
    assert name.startswith(f"+mine=-{text[:50]}") and name == name_of(tmp_path, f"+mine='{text}'", typed="mine")
