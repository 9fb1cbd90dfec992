"""The record of a run, updated as lines of its ``events.jsonl`` are read. Torch is not needed."""

import json
from pathlib import Path
from typing import Any

from seqlab.errors import InputError
from seqlab.run.events import MEASURED, TransitionError, apply, fold, from_json_values


def read_lines(path: Path) -> bytes:
    """The complete lines of a file. Its writer may be in the middle of one more, or have been killed there.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    return content[: content.rfind(b"\n") + 1]


class History:
    """The record of a run, updated as lines of its events are read.

    Attributes:
        record: the record after the last line.
        previous: the record before the attempt that the last line belongs to.
        num_lines: the number of lines read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record, self.previous = fold([]), fold([])
        self.num_lines = 0

    def take_lines(self, content: bytes) -> list[str | None]:
        """Applies complete lines, in order.

        Returns:
            For each line the token of the claim that wrote it.

        Raises:
            InputError: a line is not an event, or cannot follow the ones before it: the file was damaged or edited.
        """
        claims = []
        for line in content.split(b"\n")[:-1]:
            try:
                event = parse(line)
                self.record, self.previous = apply(self.record, self.previous, event)
            except (ValueError, RecursionError, TransitionError) as error:
                raise InputError(
                    f"{self.path}, line {self.num_lines + 1}: {error}; the file was damaged or edited: restore it "
                    "from a copy, or move the folder away and train again"
                ) from None
            self.num_lines += 1
            claims.append(event.get("claim"))
        return claims


def parse(line: bytes) -> dict[str, Any]:
    """The event in a line.

    Raises:
        ValueError: the line is not an event.
    """
    try:
        event = json.loads(line)
    except ValueError as error:
        raise ValueError(f"not valid JSON ({error})") from None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        raise ValueError("not an event of a run")
    if event["event"] == "begin" and "config" not in event:
        raise ValueError("a run without a configuration")
    for name in ("config", "metrics", "git", "process", "versions"):
        if not isinstance(event.get(name, {}), dict):
            raise ValueError(f"{name}: expected an object, got {event[name]!r:.40}")
    for name in (*MEASURED, "rung"):
        if name in event:
            event[name] = from_json_values(event[name])
    return event
