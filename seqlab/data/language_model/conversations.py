"""Conversations as text: a turn a line, a conversation a document."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.cut import DEFAULT_SPLIT, check_fractions
from seqlab.data.core.pieces import Piece
from seqlab.data.core.reading import EmbeddedSource
from seqlab.data.core.summary import equal_rows
from seqlab.data.formats.markup import warn_of_markup
from seqlab.data.formats.paths import Files, Paths
from seqlab.data.formats.sources import FileSource
from seqlab.data.formats.tables import ending_of, json_value
from seqlab.data.formats.text import codec_name, read_lines
from seqlab.errors import InputError

Turns = tuple[str, ...]
_JSON_LINES: Final = (".jsonl", ".ndjson")
_TABLES: Final = (".csv", ".json", ".parquet", ".tsv")  # whose lines are no turns


class _Conversations:
    """What sources of conversations share: each conversation is a document, each turn a line of it.

    A subclass has ``_conversations``: for each split, conversations as tuples of turns.
    """

    cached = True
    _conversations: dict[str, list[Turns]]

    def fingerprint(self) -> str:
        """A digest of all turns."""
        digest = hashlib.blake2b(digest_size=16)
        for split in SPLITS:
            digest.update(json.dumps([split, self._conversations[split]]).encode())
        return digest.hexdigest()

    def notes(self, split: str) -> tuple[str, ...]:
        """Which conversations of a split stand in another one too, for its summary."""
        shared = equal_rows(self._conversations, "conversations")
        return (shared[split],) if split in shared else ()

    def read(self, split: str) -> Iterator[Piece]:
        """The conversations of a split, each a document."""
        for turns in self._conversations[split]:
            yield "".join(f"{turn}\n" for turn in turns), True


class Chitchat(EmbeddedSource, _Conversations):
    """The chitchat dataset: 7,168 conversations about nothing in particular (package chitchat-dataset, MIT).

    Messages of one sender that follow each other are one turn. A conversation goes to a split by a digest of its id,
    whole; conversations of a single turn are left out.

    Args:
        split: the shares of train, validation and test.

    Raises:
        InputError: ``split`` is wrong, or, on first use, the package is not installed.
    """

    def __init__(self, split: Sequence[float] = DEFAULT_SPLIT) -> None:
        self._shares = check_fractions(split)

    def __str__(self) -> str:
        return "the chitchat dataset"

    @cached_property
    def _conversations(self) -> dict[str, list[Turns]]:  # type: ignore[override]
        try:
            from chitchat_dataset import Dataset
        except ImportError as error:
            raise InputError("data=chitchat reads the package chitchat-dataset: pip install 'seqlab[chat]'") from error
        splits: dict[str, list[Turns]] = {split: [] for split in SPLITS}
        content: Any = Dataset()
        for name in sorted(content):
            turns = tuple(filter(None, map(_turn, content[name]["messages"])))
            if len(turns) > 1:
                splits[_split_of(name, self._shares)].append(turns)
        return splits


class Dialogues(FileSource, _Conversations):
    """A user's own conversations.

    In a text file each line is a turn, and a blank line stands between two conversations. In jsonl
    (.jsonl or .ndjson) each line is a conversation: an object with "turns", a list of texts.

    Args:
        files: the files of one set, which is cut so that each conversation is whole, or those of each split.
        split: the shares of train, validation and test, for one set.
        encoding: the files' encoding.

    Raises:
        InputError: as other sources of files; on first use: a conversation has fewer than two turns, or a line of jsonl
            is none; names file and line.
    """

    def __init__(
        self, files: Files | Paths = Files(), split: Sequence[float] = DEFAULT_SPLIT, encoding: str = "utf-8"
    ) -> None:
        self._files = Files.of(files).expanded("conversations")
        self._shares, self._encoding = check_fractions(split), codec_name(encoding)

    def notes(self, split: str) -> tuple[str, ...]:
        """What is said of a split in its summary."""
        own = self.left_out_for_test if split == "test" else None
        return (*super().notes(split), *filter(None, [own]))

    @cached_property
    def _conversations(self) -> dict[str, list[Turns]]:  # type: ignore[override]
        read = {name: [each for file in files for each in self._of(file)] for name, files in self._files.items()}
        if "path" not in read:
            return read
        splits: dict[str, list[Turns]] = {split: [] for split in SPLITS}
        for turns in read["path"]:
            splits[_split_of(json.dumps(turns), self._shares)].append(turns)
        for split, rows in splits.items():
            if not rows:
                raise InputError(
                    f"{self}: too few conversations to cut ({len(read['path'])}); the {split} split is empty"
                )
        return splits | {name: turns for name, turns in read.items() if name == "test"}

    def _of(self, file: Path) -> list[Turns]:
        ending = ending_of(file)
        if ending in _TABLES:
            mend = "a jsonl file with a conversation a line, or text with a turn a line"
            raise InputError(f"{file}: conversations are not read from {ending} files; give {mend}")
        lines = read_lines(file, self._encoding)
        if ending not in _JSON_LINES:
            mend = "give plain text with a turn a line, or a file that ends in .jsonl, a conversation a line"
            warn_of_markup([file], self._encoding, mend)
        found = _of_json(file, lines) if ending in _JSON_LINES else _of_text(lines)
        for line, turns in found:
            if len(turns) < 2:
                mend = "give each conversation two turns or more, and a blank line before the next one"
                raise InputError(f"{file}:{line}: a conversation of {len(turns)} turns; {mend}")
        return [turns for _, turns in found]


def _of_text(lines: Sequence[str]) -> list[tuple[int, Turns]]:
    """The conversations of lines, each with the number of its first one."""
    found: list[tuple[int, list[str]]] = []
    inside = False
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            inside = False
            continue
        if not inside:
            found.append((number, []))
            inside = True
        found[-1][1].append(" ".join(line.split()))
    return [(number, tuple(turns)) for number, turns in found]


def _of_json(file: Path, lines: Sequence[str]) -> list[tuple[int, Turns]]:
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record, repeated = json_value(line)
            turns = record["turns"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            expected = 'an object with "turns", such as {"turns": ["Hello", "Hi there"]}'
            raise InputError(f"{file}:{number}: expected {expected}") from error
        if "turns" in repeated:
            raise InputError(f'{file}:{number}: two values of "turns"; keep one of them, or write a line for each')
        if not isinstance(turns, list) or not all(isinstance(turn, str) and turn.strip() for turn in turns):
            raise InputError(f'{file}:{number}: "turns" must be a list of texts, none of them empty')
        found.append((number, tuple(" ".join(turn.split()) for turn in turns)))
    return found


def _turn(messages: Any) -> str:
    """The messages of one sender as one line."""
    return " ".join(" ".join(str(message["text"]).split()) for message in messages).strip()


def _split_of(name: str, shares: Sequence[float]) -> str:
    """The split of a conversation, by a digest of what names it: the same on every machine."""
    place = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") / 2**64
    return SPLITS[0] if place < shares[0] else SPLITS[1] if place < shares[0] + shares[1] else SPLITS[2]
