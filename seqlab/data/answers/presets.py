"""A function for each file of ``conf/data`` with stories: from flat keys to a source and a data module."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqlab.data.answers.hub import AnswerHub
from seqlab.data.answers.module import AnswerData
from seqlab.data.answers.sources import BabiFiles
from seqlab.data.answers.world import WORLD_STORIES, World
from seqlab.data.core.options import (
    check_hub_or_files,
    check_whole_number,
    from_options,
    published_folder,
    refuse_of_files,
    take,
)
from seqlab.data.formats.hub_sets import HubDataset
from seqlab.data.formats.paths import Files, Paths
from seqlab.errors import InputError

BABI_TASKS = 20


def world_data(
    stories: Sequence[int] = WORLD_STORIES, questions: int = 4, world_seed: int = 0, **options: Any
) -> AnswerData:
    """``data=world``: a made-up world.

    Args:
        stories, questions, world_seed: see :class:`World`, whose ``seed`` is ``world_seed``.
        **options: of ``AnswerData`` and its parts.
    """
    return from_options(AnswerData, World(stories, questions, world_seed), **options)


def babi_data(
    root: str | os.PathLike[str] | None = None, folder: str = "babi_en_1k", task: int = 1, **options: Any
) -> AnswerData:
    """``data=babi``: a task of bAbI (Weston et al. 2015), ``FOLDER/qaTASK_NAME_{train,test}.txt`` under ``root``.

    Args:
        root: the folder of published data.
        folder: the folder of the tasks in it.
        task: the number of the task, 1 to 20.
        **options: of ``BabiFiles``, and of ``AnswerData`` and its parts.

    Raises:
        InputError: ``root`` is not given, ``task`` is none of 1 to 20, or a file is missing.
    """
    files = published_folder(root, "babi", folder, f"qa{task}_*_{{train,test}}.txt")
    if check_whole_number("data.task", task, 1) > BABI_TASKS:
        raise InputError(f"data.task={task} must be one of bAbI's tasks 1 to {BABI_TASKS}")
    train, test = (_task_file(files, task, split) for split in ("train", "test"))
    return from_options(AnswerData, take(BabiFiles, options, Files(train=train, test=test)), **options)


def _task_file(folder: Path, task: int, split: str) -> Path:
    """The file of a task, found by its number, so that nobody has to type the task's name."""
    files = [file for file in folder.glob(f"qa{task}_*_{split}.txt*") if re.search(r"\.txt(\.gz)?$", file.name)]
    if len(files) != 1:
        named = "there is none" if not files else f"there are {len(files)}"
        raise InputError(f"data.task={task}: expected one file {folder}/qa{task}_NAME_{split}.txt, {named}")
    return files[0]


def answer_data(
    train: Paths | None = None,
    validation: Paths | None = None,
    test: Paths | None = None,
    hub: str | None = None,
    **options: Any,
) -> AnswerData:
    """``data=answers``: the user's own files in bAbI's form, or a Hugging Face data set.

    Args:
        train: the training files: a file, a pattern or a list of these; with ``hub``, the name of a split.
        validation: the validation files, or the name of a split; None: cut from training.
        test: the test files, or the name of a split.
        hub: the data set's name; None: files are read.
        **options: of ``BabiFiles``, or with ``hub`` of ``AnswerHub``, of ``AnswerData``, and of their parts.

    Raises:
        InputError: neither files nor ``hub`` are given, or ``name`` or ``revision`` without ``hub``.
    """
    check_hub_or_files(hub, None, options)
    options |= {"train": train, "validation": validation, "test": test}
    of_hub = {name: options.pop(name) for name in ("story", "question", "answer", "split") if name in options}
    if hub is None:
        return from_options(AnswerData, take(BabiFiles, options), **options)
    encoding = options.pop("encoding", "utf-8")
    refuse_of_files({"encoding": None if encoding == "utf-8" else encoding})
    options = {name: value for name, value in options.items() if name not in ("validation_share", "split_seed")}
    return from_options(AnswerData, AnswerHub(take(HubDataset, options, hub), **of_hub), **options)
