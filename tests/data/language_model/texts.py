"""What tests of text files share: a text, its file, and what a source reads of it."""

import gzip
from pathlib import Path

LINES = "".join(f"Line {i} of the text has words in it.\n" for i in range(200))


def text_of(source, split: str) -> str:
    return "".join(text for text, _ in source.read(split))


def write(path: Path, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path
