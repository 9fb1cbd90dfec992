"""What an engine raises where it steps aside."""

from torch import fx


class UnsupportedError(Exception):
    """A fast engine has no way to run what a cell does, exactly; the message says what.

    ``node`` is the operation of the traced step that it is about, where it is about one.
    """

    node: fx.Node | None = None


class FinalError(UnsupportedError):
    """It is so from now on, whatever the cell does later."""
