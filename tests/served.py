"""What a warm server of the tests forks: the ``seqlab`` command, and the runs that it starts.

A command imports for a second and each run for four; here both find what they need imported. The server is the one
that sweeps use (``seqlab.run.forks.server``). What depends on how a command starts is tested with ``alone=True``.
"""

import signal
import sys
from types import SimpleNamespace

from seqlab import cli
from seqlab.run import process

COMMAND = "command"


def preload() -> None:
    process.preload()
    from seqlab.commands import resume, train  # noqa: F401
    from seqlab.config.compose import compose_config
    from tests.quick import be_quick

    be_quick()
    compose_config(["experiment=hello"])


def main(argv: list[str]) -> int:
    if argv[0] != COMMAND:
        sys.modules["__main__"], sys.argv[0] = process, str(process.__file__)  # by which Lightning starts others
        return process.main(argv)
    _, address, *arguments = argv
    from seqlab.commands import train
    from seqlab.run.start import Start

    start = Start._run
    Start._run = lambda self, server, *given, **named: start(self, server or address, *given, **named)
    train.start_server = lambda _: SimpleNamespace(address=address, close=lambda: None)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return cli.main(arguments)
