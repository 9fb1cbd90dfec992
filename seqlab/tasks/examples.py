"""What a task shows of its model at work, as text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Examples:
    """A model's answers to a few inputs.

    Attributes:
        name: their name in TensorBoard.
        text: all of them, in Markdown; see :func:`table` and :func:`block`.
        lines: each of them for a terminal; one may have several lines.
    """

    name: str
    text: str
    lines: tuple[str, ...]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""A table in Markdown; a vertical bar in a cell is no border.

    Example:
        >>> print(table(["text", "true"], [["a | b", "good"]]))
        | text | true |
        | --- | --- |
        | a \| b | good |
    """
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def block(text: str) -> str:
    """A text in Markdown that keeps its line breaks, spaces and asterisks.

    Example:
        >>> block("*a*\\n  b")
        '    *a*\\n      b'
    """
    return "\n".join("    " + line for line in text.splitlines())
