"""Tables of labelled texts, and what is read of them."""

import json
from pathlib import Path

import pytest

from seqlab.data import from_options, labelled_data
from seqlab.data.classification.sources import LabelledTables
from seqlab.data.core.batch import SPLITS
from seqlab.errors import InputError

ROWS = [(f"the film number {i} was {'good' if i % 2 else 'bad'}", "pos" if i % 2 else "neg") for i in range(1, 41)]
PLAIN = "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS)


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows_of(path: Path, **options) -> dict[str, tuple[str, str]]:
    """Text and label of all splits, by the place of the row."""
    source = from_options(LabelledTables, path, **options)
    return {row.place: (row.text, row.label) for split in SPLITS for row in source.read(split)}


def read(path: Path, **options) -> list[tuple[str, str]]:
    return sorted(rows_of(path, **options).values())


def refusal(path: Path, **options) -> str:
    with pytest.raises(InputError) as caught:
        labelled_data(path, **options).prepare_data()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def jsonl(*labels) -> str:
    return "".join(json.dumps({"text": f"text {i}", "label": label}) + "\n" for i, label in enumerate(labels))
