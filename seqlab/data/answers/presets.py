"""One function for each file of ``conf/data`` with stories and questions: flat keys make a source."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqlab.data.answers.module import AnswerData
from seqlab.data.answers.sources import VALIDATION_SHARE, AnswerHub, BabiFiles
from seqlab.data.answers.world import WORLD_STORIES, World
from seqlab.data.core.examples import check_whole_number
from seqlab.data.core.options import check_one_source, published_folder
from seqlab.data.formats.text import Paths
from seqlab.errors import InputError

BABI_TASKS = 20
HUB_SPLIT = (0.8, 0.1, 0.1)


def world_data(
    stories: Sequence[int] = WORLD_STORIES, questions: int = 4, world_seed: int = 0, **options: Any
) -> AnswerData:
    """``data=world``: a made-up world. Named arguments as in ``World``, options as in ``AnswerData``."""
    return AnswerData(World(stories, questions, world_seed), **options)


def babi_data(
    root: str | os.PathLike[str] | None = None,
    folder: str = "babi_en_1k",
    task: int = 1,
    validation_share: float = VALIDATION_SHARE,
    split_seed: int = 0,
    **options: Any,
) -> AnswerData:
    """``data=babi``: a task of bAbI (Weston et al. 2015), ``FOLDER/qaTASK_NAME_{train,test}.txt`` under ``root``.

    Raises:
        InputError: ``root`` is not given, ``task`` is none of 1 to 20, or a file is missing.
    """
    files = published_folder(root, "babi", folder, f"qa{task}_*_{{train,test}}.txt")
    if check_whole_number("data.task", task, 1) > BABI_TASKS:
        raise InputError(f"data.task={task} must be one of bAbI's tasks 1 to {BABI_TASKS}")
    train, test = (_task_file(files, task, split) for split in ("train", "test"))
    return AnswerData(BabiFiles(train, test, None, validation_share, split_seed), **options)


def _task_file(folder: Path, task: int, split: str) -> Path:
    """The file of a task; its name tells the task's, which nobody should have to type."""
    found = [file for file in folder.glob(f"qa{task}_*_{split}.txt*") if re.search(r"\.txt(\.gz)?$", file.name)]
    if len(found) != 1:
        named = "there is none" if not found else f"there are {len(found)}"
        raise InputError(f"data.task={task}: expected one file {folder}/qa{task}_NAME_{split}.txt, {named}")
    return found[0]


def answer_data(
    train: Paths | None = None,
    validation: Paths | None = None,
    test: Paths | None = None,
    hub: str | None = None,
    name: str | None = None,
    revision: str | None = None,
    story: str = "story",
    question: str = "question",
    answer: str = "answer",
    split: Sequence[float] = HUB_SPLIT,
    validation_share: float = VALIDATION_SHARE,
    split_seed: int = 0,
    encoding: str = "utf-8",
    **options: Any,
) -> AnswerData:
    """``data=answers``: the user's own files in bAbI's form, or with ``hub`` a Hugging Face data set.

    Named arguments as in ``BabiFiles``; with ``hub`` as in ``AnswerHub``, where ``train``, ``validation`` and ``test``
    name splits (by default those very names). Options as in ``AnswerData``.

    Raises:
        InputError: neither files nor ``hub`` are given, or ``name`` or ``revision`` without ``hub``.
    """
    check_one_source(hub, name=name, revision=revision)
    if hub is not None:
        splits = {"train": train, "validation": validation, "test": test}  # HubRows: None is cut where it lacks
        return AnswerData(
            AnswerHub(hub, story, question, answer, name=name, revision=revision, split=split, **splits), **options
        )
    if not train or not test:
        raise InputError("data=answers needs data.train=FILE and data.test=FILE in bAbI's form, or data.hub=NAME")
    return AnswerData(BabiFiles(train, test, validation, validation_share, split_seed, encoding), **options)
