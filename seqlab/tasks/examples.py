"""A model's answers to a few inputs, as text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Examples:
    """A model's answers to a few inputs.

    Attributes:
        name: the tag in TensorBoard.
        text: all of them, in Markdown; see :func:`table` and :func:`block`.
        lines: each of them as text for a terminal, of one or more lines.
    """

    name: str
    text: str
    lines: tuple[str, ...]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""Writes a table in Markdown. A vertical bar inside a cell is escaped.

    Example:
        >>> print(table(["text", "true"], [["a | b", "good"]]))
        | text | true |
        | --- | --- |
        | a \| b | good |
    """
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def block(text: str) -> str:
    """Writes a text in Markdown so that line breaks, spaces and asterisks stay as they are.

    Example:
        >>> block("*a*\\n  b")
        '    *a*\\n      b'
    """
    return "\n".join("    " + line for line in text.splitlines())
