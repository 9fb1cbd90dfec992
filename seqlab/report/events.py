"""TensorBoard's event files, read and written."""

import io
import os
import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from seqlab.errors import InputError
from seqlab.files import write_atomically

_HEADER: Final = struct.Struct("<QI")  # a record's length and the checksum of it; its content and a checksum follow


def read_events(path: Path) -> Iterator[Any]:
    """The ``Event`` messages in a file, up to the last whole one: its writer may be at work, or have been killed.

    Only the checksums of the lengths are verified, as in TensorBoard's data server. In Python, the checksums of the
    content would take 15 times as long as the rest.

    Raises:
        InputError: The file cannot be read.
    """
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    checksum_of = lru_cache(maxsize=1000)(masked_crc32c)  # events of one kind have few different lengths
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    place = 0
    while place + _HEADER.size <= len(content):
        length, checksum = _HEADER.unpack_from(content, place)
        begin = place + _HEADER.size
        place = begin + length + 4
        if place > len(content) or checksum_of(content[begin - _HEADER.size : begin - 4]) != checksum:
            return
        try:
            yield Event.FromString(content[begin : begin + length])
        except DecodeError:
            return


def write_events(path: Path, events: Iterable[Any]) -> None:
    """Replaces (or creates) a file of ``Event`` messages in one step; a file that has them already stays.

    Raises:
        OSError: With the name of this file, and not of a temporary one.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    out = io.BytesIO()
    writer = RecordWriter(out)
    for event in (Event(file_version="brain.Event:2"), *events):
        writer.write(event.SerializeToString(deterministic=True))
    try:
        if not path.exists() or path.read_bytes() != out.getvalue():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, out.getvalue())
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None
