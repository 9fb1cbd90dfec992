"""Copies of a file, for a file may stand in one split alone."""

from pathlib import Path


def thrice(file: Path) -> dict[str, Path]:
    """The file as the training split, and a copy of it for each of the others."""
    found = {"train": file}
    for split in ("validation", "test"):
        found[split] = file.parent / split / file.name
        found[split].parent.mkdir(exist_ok=True)
        found[split].write_bytes(file.read_bytes())
    return found
