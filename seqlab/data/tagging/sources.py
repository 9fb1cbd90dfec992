"""Where tagged sentences come from: CoNLL-U files and files of columns. ``hub`` has Hugging Face data sets."""

import logging
from collections.abc import Hashable, Sequence
from typing import Protocol

from seqlab.data.core.cut import Cut
from seqlab.data.core.reading import Reading
from seqlab.data.formats.paths import Files, Paths
from seqlab.data.formats.sentences import TaggedSentence
from seqlab.data.formats.sources import FileRows
from seqlab.data.formats.tag_files import LONG, SOME, TagFormat, TagReader

log = logging.getLogger("seqlab")


class TaggedSource(Protocol):
    """The contract of a source of tagged sentences.

    A source may also have ``files()``, the files that it reads, and ``left_out(split)``, how many rows or lines it left
    out, by reason.
    """

    def __str__(self) -> str:
        """The source's name in messages."""

    def read(self, split: str) -> Sequence[TaggedSentence]:
        """The sentences of "train", "validation" or "test"."""


class TaggedFiles(FileRows[TaggedSentence]):
    """CoNLL-U files, or files of columns with a word a line and a blank line after each sentence; plain or gzip.

    Args:
        files: the files of each split; or those of one set (``path``), which is cut.
        form: how the files are written.
        cut: how one set is cut; equal sentences are sentences of the same words.

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

    unit = "sentences"

    def __init__(self, files: Files | Paths = Files(), form: TagFormat = TagFormat(), cut: Cut = Cut()) -> None:
        self._files = Files.of(files).expanded("tagged sentences", ", or data.hub=NAME")
        self._form, self._cut = form, cut
        cut.check_use("path" in self._files)

    def _key(self, row: TaggedSentence) -> Hashable:
        return tuple(map(self.as_read, row.words))

    def _read_files(self) -> dict[str, Reading[TaggedSentence]]:
        reader = TagReader(self._form)
        readings = {}
        for name, files in self._files.items():
            reading = readings[name] = Reading[TaggedSentence]()
            for file in files:
                reading.rows += reader.read(file, reading.left_out)
            # TagReader warns of a longer sentence.
            if len(reading.rows) == 1 and SOME <= len(reading.rows[0].words) <= LONG:
                log.warning(
                    "data.%s is one sentence of %d words: sentences end with a blank line, and a line has one word",
                    *(name, len(reading.rows[0].words)),
                )
        return readings
