"""Where recordings come from: a user's wav files with a table, or published digits."""

import io
import re
import tarfile
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.cut import Cut
from seqlab.data.core.reading import Reading, RowSource
from seqlab.data.core.summary import counted
from seqlab.data.formats.audio import WAV_ERRORS, read_wav
from seqlab.data.formats.ids import read_ids
from seqlab.data.formats.number_columns import is_missing, written_columns
from seqlab.data.formats.paths import Files, Paths
from seqlab.data.formats.separators import Writing
from seqlab.data.formats.sources import FileRows
from seqlab.errors import InputError

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True, eq=False)
class Utterance:
    """A recording and what is said in it.

    Attributes:
        samples: ``(N,)`` float32 between -1 and 1.
        text: what is said.
        place: where it comes from, for messages.
        changed: what was done to the sound on the way.
        speaker: who says it; None: not known.
    """

    samples: NDArray[np.float32]
    text: str
    place: str
    changed: tuple[str, ...] = ()
    speaker: str | None = None


class UtteranceSource(Protocol):
    """The contract of a source of utterances. A source may also have ``files()``, the files that it reads."""

    rate: int

    def __str__(self) -> str:
        """The source's name in messages."""

    def read(self, split: str) -> Sequence[Utterance]:
        """The utterances of "train", "validation" or "test"."""


class Recordings(FileRows[Utterance]):
    """A table of wav files and what is said in each.

    Args:
        files: csv, tsv or parquet: those of one set, which is cut into splits, or those of each split. The wav files
            are named relative to the table's folder.
        audio: the column of wav files.
        text: the column of what is said.
        cut: how one set is cut; equal rows are rows of one speaker, if ``speaker`` is given.
        speaker: the column that says who speaks; None: not known.
        rate: samples a second.
        encoding: of csv and tsv.
        separator, quoting: see :class:`~seqlab.data.formats.separators.Writing`.

    Raises:
        InputError: as other sources of files; on first use: a wav file cannot be read, or a text is empty.
    """

    unit = "recordings"

    def __init__(
        self,
        files: Files | Paths = Files(),
        audio: str = "audio",
        text: str = "text",
        cut: Cut = Cut(),
        speaker: str | None = None,
        rate: int = 16000,
        encoding: str = "utf-8",
        separator: str | None = None,
        quoting: str | None = None,
    ) -> None:
        self._files = Files.of(files).expanded("recordings")
        self._writing = Writing(encoding=encoding, separator=separator, quoting=quoting)
        self._audio, self._text, self._speaker = audio, text, speaker
        self._cut, self.rate = cut, rate
        cut.check_use("path" in self._files)
        if cut.split_unique and speaker is None:
            raise InputError("data.split_unique=true keeps each speaker in one split: name the column by data.speaker=")

    def _key(self, row: Utterance) -> Hashable:
        return row.speaker

    def _read_files(self) -> dict[str, Reading[Utterance]]:
        return {
            name: Reading([row for file in files for row in self._rows(file)]) for name, files in self._files.items()
        }

    def _cut_set(self, whole: Reading[Utterance]) -> dict[str, Reading[Utterance]]:
        speakers = {row.speaker for row in whole.rows}
        if self._cut.split_unique and len(speakers) < len(SPLITS):
            raise InputError(
                f"{self}: {counted(len(speakers), 'speakers')} cannot be kept apart in {len(SPLITS)} splits; leave "
                "out data.split_unique, or give data.train=, data.validation= and data.test="
            )
        return super()._cut_set(whole)

    def _rows(self, table: Path) -> list[Utterance]:
        columns = written_columns(table, self._writing)
        names, texts = columns.column(self._audio, "data.audio"), columns.column(self._text, "data.text")
        speakers: Sequence[str | None] = [None] * len(columns)
        if self._speaker is not None:
            speakers = read_ids(columns, self._speaker, "data.speaker", "say who speaks, or leave out data.speaker")
        rows = []
        for name, text, speaker, place in zip(names, texts, speakers, columns.places, strict=True):
            if is_missing(name):
                raise InputError(f"{place}: {self._audio} is empty; every row names a wav file")
            if is_missing(text):
                raise InputError(f"{place}: {self._text} is empty; write what is said, or leave the row out")
            try:
                sound = read_wav(table.parent / str(name), self.rate)
            except InputError as error:
                raise InputError(f"{place}: {error}") from error
            rows.append(Utterance(sound.samples, str(text).strip(), place, sound.changed, speaker))
        return rows

    def files(self) -> list[Path]:
        """The tables, and the wav files that they name."""
        tables = super().files()
        named = [
            table.parent / str(name)
            for table in tables
            for name in written_columns(table, self._writing).column(self._audio, "data.audio")
        ]
        return [*tables, *named]


class SpokenDigits(RowSource[Utterance]):
    """The Free Spoken Digit Dataset: 3,000 recordings of six speakers, with its official split.

    The test is the recordings 0 to 4 of each speaker and digit; validation is 5 to 9. With ``speaker`` that speaker is
    the test, and training has none of them.

    Args:
        archive: ``fsdd_recordings.tar.gz``.
        speaker: who is left out for the test; None: the official split.
        digits: 1: single digits. More: so many random recordings of one speaker and split, one behind the other.
        strings: how many such strings training has; validation and test have a tenth each.
        string_seed: of the random strings, which runs of different seeds share.

    Raises:
        InputError: on first use: the archive is missing or broken, or there is no such speaker.
    """

    rate = 8000

    def __init__(
        self,
        archive: Path,
        speaker: str | None = None,
        digits: int = 1,
        strings: int = 2000,
        string_seed: int = 0,
    ) -> None:
        self._archive, self._speaker = Path(archive), speaker
        self._digits, self._strings, self._seed = digits, strings, string_seed

    def __str__(self) -> str:
        return str(self._archive)

    def files(self) -> list[Path]:
        """The archive."""
        return [self._archive]

    def _read_splits(self) -> dict[str, Reading[Utterance]]:
        splits: dict[str, list[Utterance]] = {split: [] for split in SPLITS}
        speakers = set()
        for name, speaker, digit, index, samples in self._recordings():
            speakers.add(speaker)
            left_out = self._speaker is not None and speaker == self._speaker
            is_test = left_out if self._speaker is not None else index < 5
            split = "test" if is_test else "validation" if 5 <= index < 10 else "train"
            splits[split].append(Utterance(samples, DIGITS[digit], f"{self._archive}, {name}", (), speaker))
        if self._speaker is not None and self._speaker not in speakers:
            raise InputError(f"data.speaker={self._speaker} must be one of {', '.join(sorted(speakers))}")
        if self._digits > 1:
            sizes = {"train": self._strings, "validation": self._strings // 10, "test": self._strings // 10}
            splits = {split: self._joined(split, rows, sizes[split]) for split, rows in splits.items()}
        return {split: Reading(rows) for split, rows in splits.items()}

    def _recordings(self) -> list[tuple[str, str, int, int, NDArray[np.float32]]]:
        from scipy.io import wavfile

        found = []
        try:
            with tarfile.open(self._archive) as archive:
                for member in archive:
                    match = re.search(r"(\d)_(\w+)_(\d+)\.wav$", member.name)
                    content = archive.extractfile(member) if match else None
                    if match is None or content is None:
                        continue
                    rate, values = wavfile.read(io.BytesIO(content.read()))
                    if rate != self.rate or values.dtype != np.int16 or values.ndim != 1:
                        raise InputError(f"{self._archive}, {member.name}: expected 8 kHz, one channel, 16 bits")
                    samples = values.astype(np.float32) / 2.0**15
                    found.append((member.name, match[2], int(match[1]), int(match[3]), samples))
        except (tarfile.TarError, *WAV_ERRORS) as error:
            raise InputError(f"{self._archive} cannot be read: {' '.join(str(error).split())}") from error
        if not found:
            raise InputError(f"{self._archive} has no recording DIGIT_SPEAKER_NUMBER.wav")
        return sorted(found, key=lambda each: each[0])

    def _joined(self, split: str, rows: Sequence[Utterance], count: int) -> list[Utterance]:
        """Strings of digits, each of one speaker, with a pause of 50 to 200 ms between two digits."""
        draw = np.random.default_rng([self._seed, SPLITS.index(split)])
        by_speaker: dict[str | None, list[Utterance]] = {}
        for row in rows:
            by_speaker.setdefault(row.speaker, []).append(row)
        names = sorted(by_speaker, key=str)
        strings = []
        for number in range(max(count, 1)):
            speaker = names[int(draw.integers(len(names)))]
            own = by_speaker[speaker]
            chosen = [own[int(place)] for place in draw.integers(len(own), size=self._digits)]
            parts = []
            for row in chosen:
                parts += [row.samples, np.zeros(int(draw.integers(400, 1600)), dtype=np.float32)]
            text = " ".join(row.text for row in chosen)
            strings.append(Utterance(np.concatenate(parts[:-1]), text, f"{split} string {number + 1}", (), speaker))
        return strings
