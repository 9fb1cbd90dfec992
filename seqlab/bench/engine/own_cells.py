"""A user's own cells for ``seqlab bench engine``: a class by its dotted name, or a file of ``model/cell``."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from seqlab.config.build import build
from seqlab.config.hints import explain, is_of_composition
from seqlab.config.own_files import check_own_files
from seqlab.config.trust import allow, check_definitions, modules_below
from seqlab.errors import InputError
from seqlab.nn import RecurrentCell


def own_names(config_dir: str | None) -> list[str]:
    """The names of the files in ``model/cell`` of the user's configuration folder."""
    folder = Path(config_dir or "", "model", "cell")
    return sorted(path.stem for path in folder.glob("[!_]*.yaml")) if config_dir else []


def own_cell(name: str, config_dir: str | None) -> Callable[[int, int], RecurrentCell]:
    """A user's own cell, made once as a trial.

    Args:
        name: the dotted name of a class, such as ``my_cells.MyCell``, or a name of :func:`own_names`.
        config_dir: the user's configuration folder; None: there is none.

    Returns:
        ``cell(input_size, hidden_size)``.

    Raises:
        InputError: the class is not on the allow-list, does not exist, or makes no cell of two sizes.
    """
    node = {"_target_": name, "_partial_": True} if "." in name else _composed(name, str(config_dir))
    try:
        check_definitions({"cells": node})
        cell: Callable[[int, int], RecurrentCell] = build({"cells": node}, "cells")
        made = cell(2, 3)
    except InputError as error:
        raise InputError(f"--cells {name}: {str(error).removeprefix('cells.')}") from error
    except Exception as error:  # anything: it is the user's code
        raise InputError(
            f"--cells {name}: {node['_target_']}(input_size, hidden_size) raises {type(error).__name__}: {error}; "
            "give further arguments in a file of model/cell in --config-dir"
        ) from error
    if not isinstance(made, RecurrentCell):
        raise InputError(f"--cells {name}: it makes a {type(made).__name__}; expected a RecurrentCell of seqlab.nn")
    return cell


def _composed(name: str, config_dir: str) -> dict[str, Any]:
    """The node ``model.cell`` with the user's file of this name. Modules beside the folder are trusted, as its code."""
    check_own_files([config_dir])
    search = f"hydra.searchpath=['file://{os.path.abspath(config_dir)}']"
    try:
        with initialize_config_module("seqlab.conf", version_base="1.3"):
            model = compose("train", overrides=["data=hello", f"model/cell={name}", search]).model
        node: Any = OmegaConf.to_container(model.cell, resolve=True)
    except Exception as error:
        if not is_of_composition(error):
            raise
        raise InputError(f"--cells {name}: {explain(error)}") from error
    allow(modules_below(node, Path(config_dir).resolve().parent))
    return {**node, "_partial_": True}
