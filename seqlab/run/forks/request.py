"""The request for a forked process: what a client sends to the server, and the server receives.

A request is the length of a JSON text, the text, and the descriptors that the process gets, as ancillary data.
"""

import array
import errno
import json
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

MAX_DESCRIPTORS: Final = 64
"""The most descriptors in one request."""

_LENGTH: Final = struct.Struct("!I")
_RECEIVE_SECONDS: Final = 10.0  # for a whole request to arrive


@dataclass
class Request:
    """A process to fork.

    Attributes:
        argv: the arguments of the process.
        environment: its environment.
        folder: its working folder.
        descriptors: its open files: the number that each must have in the process, and its number in the server.
    """

    argv: list[str]
    environment: dict[str, str]
    folder: str
    descriptors: dict[int, int] = field(default_factory=dict)

    @classmethod
    def receive(cls, connection: socket.socket) -> "Request":
        """Reads a request from its connection.

        Raises:
            OSError, ValueError: the request does not arrive whole.
        """
        connection.settimeout(_RECEIVE_SECONDS)
        received = array.array("i")
        head, ancillary, *_ = connection.recvmsg(_LENGTH.size, socket.CMSG_SPACE(MAX_DESCRIPTORS * received.itemsize))
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                received.frombytes(data[: len(data) - len(data) % received.itemsize])
        try:
            head += _receive_exactly(connection, _LENGTH.size - len(head))
            fields = json.loads(_receive_exactly(connection, *_LENGTH.unpack(head)))
            numbers = fields.pop("descriptors")
            if len(numbers) != len(received):
                raise ValueError(f"expected {len(numbers)} descriptors, received {len(received)}")
            connection.settimeout(None)
            return cls(**fields, descriptors=dict(zip(numbers, received, strict=True)))
        except BaseException:
            for descriptor in received:
                os.close(descriptor)
            raise

    def close(self) -> None:
        """Closes the descriptors."""
        for descriptor in self.descriptors.values():
            os.close(descriptor)


def send_request(
    connection: socket.socket, argv: Sequence[str], environment: Mapping[str, str], descriptors: Mapping[int, int]
) -> None:
    """Sends a request for a process with these arguments in this process's working folder.

    Args:
        connection: a connection to the server.
        argv: the arguments of the process.
        environment: its environment.
        descriptors: its open files: the number that each must have in the process, and its number here.

    Raises:
        OSError: the server is gone.
    """
    fields = {"argv": argv, "environment": dict(environment), "folder": os.getcwd(), "descriptors": [*descriptors]}
    content = json.dumps(fields).encode()
    rights = array.array("i", descriptors.values())
    connection.sendmsg([_LENGTH.pack(len(content))], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    connection.sendall(content)


def _receive_exactly(connection: socket.socket, length: int) -> bytes:
    parts = []
    while length:
        part = connection.recv(min(length, 1 << 16))
        if not part:
            raise OSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
