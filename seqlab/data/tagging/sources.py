"""Where tagged sentences come from: CoNLL-U files and files of columns; the hub has a module of its own."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from operator import attrgetter
from typing import Protocol

from seqlab.data.core.cut import Cut, cut_rows
from seqlab.data.formats.paths import Files, FileSource, Paths
from seqlab.data.formats.sentences import TaggedSentence
from seqlab.data.formats.tag_files import LONG, SOME, TagFormat, TagReader

log = logging.getLogger("seqlab")


class TaggedSource(Protocol):
    """Three splits of tagged sentences. One that leaves lines or rows out says how many by ``left_out(split)``."""

    def __str__(self) -> str:
        """What the source is, for messages."""

    def read(self, split: str) -> Sequence[TaggedSentence]:
        """The sentences of "train", "validation" or "test"."""


class TaggedFiles(FileSource):
    """CoNLL-U files, or files of columns with a word a line and a blank line after each sentence; plain or gzip.

    Args:
        files: the files, or where they are.
        form: how they are written.
        cut: of files that are one set; equal sentences are those of the same words.

    Raises:
        InputError: both or neither of ``path`` and the three splits are given, or an option is wrong; on first use: a
            file is broken or has no sentence, or some look like CoNLL-U and some do not.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> folder = Path(tempfile.mkdtemp())
        >>> for split in ("train", "validation", "test"):
        ...     _ = (folder / split).write_text(f"In O\\nYork B-{split}\\n\\nYes O\\n")
        >>> source = TaggedFiles(Files(None, *(folder / split for split in ("train", "validation", "test"))))
        >>> [(sentence.words, sentence.tags) for sentence in source.read("test")]
        [(('In', 'York'), ('O', 'B-test')), (('Yes',), ('O',))]
    """

    def __init__(self, files: Files | Paths = Files(), form: TagFormat = TagFormat(), cut: Cut = Cut()) -> None:
        self._files = Files.of(files).expanded("tagged sentences")
        self._form, self._cut = form, cut
        cut.check_use("path" in self._files)
        self._left_out: dict[str, Counter[str]] = {}

    def read(self, split: str) -> Sequence[TaggedSentence]:
        """The sentences of a split."""
        return self._splits[split]

    def left_out(self, split: str) -> Mapping[str, int]:
        """How many lines were left out of a split, by kind; those of files that are cut stand in train."""
        self._splits  # noqa: B018
        if "path" in self._left_out:
            whole = self._left_out["path"] if split == "train" else {}
            return {f"{kind} (before the cut)": count for kind, count in whole.items()}
        return self._left_out[split]

    @cached_property
    def _splits(self) -> dict[str, list[TaggedSentence]]:
        reader = TagReader(self._form)
        sentences: dict[str, list[TaggedSentence]] = {}
        for name, files in self._files.items():
            left_out = self._left_out[name] = Counter[str]()
            sentences[name] = [row for file in files for row in reader.read(file, left_out)]
            if len(sentences[name]) == 1 and SOME <= len(sentences[name][0].words) <= LONG:
                log.warning(
                    "data.%s is one sentence of %d words: sentences end with a blank line, and a line has one word",
                    *(name, len(sentences[name][0].words)),
                )
        if "path" not in sentences:
            return sentences
        same = attrgetter("words") if self._cut.split_unique else None
        return cut_rows(sentences["path"], self._cut.split, self._cut.split_seed, str(self), "sentences", same)
