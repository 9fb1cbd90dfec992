"""Where stories with questions come from: bAbI's files. ``hub`` has Hugging Face data sets, ``world`` makes some."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from seqlab.data.core.cut import few
from seqlab.data.core.reading import Reading, RowSource
from seqlab.data.formats.babi import StoryQuestion, read_babi
from seqlab.data.formats.paths import Files, check_distinct, expand_paths
from seqlab.data.formats.sources import FileSource
from seqlab.errors import InputError

VALIDATION_SHARE = 0.1


class AnswerSource(Protocol):
    """The contract of a source of questions with their stories.

    A source may also have ``files()``, the files that it reads, and ``left_out(split)``, what it left out, by reason.
    """

    def __str__(self) -> str:
        """The source's name in messages."""

    def read(self, split: str) -> Sequence[StoryQuestion]:
        """The questions of "train", "validation" or "test"."""


class BabiFiles(FileSource, RowSource[StoryQuestion]):
    """Files in bAbI's form; see :func:`~seqlab.data.formats.babi.read_babi`.

    Without files of its own, validation is a share of the training *stories*, drawn by a seed. So the questions about
    one story are all in one split.

    Args:
        files: the files of each split; without ``validation``, it is cut from training.
        validation_share: the share of the training stories that become validation.
        split_seed: of the choice of these stories, which runs of different seeds share.
        encoding: the files' encoding.

    Raises:
        InputError: there are no files to train or to test on, a file is missing or in two splits, or an option is
            wrong; on first use: a file is broken, or has too few stories.
    """

    def __init__(
        self,
        files: Files = Files(),
        validation_share: float = VALIDATION_SHARE,
        split_seed: int = 0,
        encoding: str = "utf-8",
    ) -> None:
        if isinstance(validation_share, bool) or not 0.0 < validation_share < 1.0:
            raise InputError(f"data.validation_share={validation_share} must be a share between 0 and 1, such as 0.1")
        named = files.named()
        if "path" in named or not {"train", "test"} <= named.keys():
            shown = " and ".join(f"data.{name}" for name in named) or "no file"
            raise InputError(
                f"stories: {shown} given; give data.train=FILE and data.test=FILE in bAbI's form, or data.hub=NAME"
            )
        self._files = {name: expand_paths(paths, f"data.{name}") for name, paths in named.items()}
        check_distinct(self._files)
        self._share, self._seed, self._encoding = validation_share, split_seed, encoding

    def __str__(self) -> str:
        return ", ".join(str(file) for file in self._files["train"][:3])

    def _read_splits(self) -> dict[str, Reading[StoryQuestion]]:
        readings = {}
        for name, files in self._files.items():
            rows: list[StoryQuestion] = []
            num_stories = 0
            for file in files:
                stories = read_babi(file, self._encoding)
                rows += [row._replace(group=row.group + num_stories) for row in stories.questions]
                num_stories += stories.num_stories
            without = num_stories - len({row.group for row in rows})
            readings[name] = Reading(rows, Counter({"stories without a question": without}))
        if "validation" not in readings:
            train, validation = cut_stories(readings["train"].rows, self._share, self._seed, str(self))
            readings["train"].rows, readings["validation"] = train, Reading(validation)
        return readings


def cut_stories(
    rows: Sequence[StoryQuestion], share: float, seed: int, name: str
) -> tuple[list[StoryQuestion], list[StoryQuestion]]:
    """Cuts a share of the stories, at least one, from a training split.

    Args:
        rows: the questions, each with the number of its story.
        share: the share of the stories, between 0 and 1.
        seed: of the choice of stories.
        name: where the stories come from, for messages.

    Returns:
        The questions of the other stories, and those of the chosen ones.

    Raises:
        InputError: there are fewer than two stories.
    """
    groups = sorted({row.group for row in rows})
    if len(groups) < 2:
        restart = "; a story begins where a line has the id 1" if len(rows) > 1 else ""
        raise InputError(
            f"{name}: {few(len(groups), 'stories')} to cut validation from: give data.validation=FILE{restart}"
        )
    cut = set(random.Random(seed).sample(groups, min(max(1, round(share * len(groups))), len(groups) - 1)))
    return [row for row in rows if row.group not in cut], [row for row in rows if row.group in cut]
