"""The errors by which an engine declines a call."""

from torch import fx


class UnsupportedError(Exception):
    """A fast engine can't run exactly what a cell does; the message says what.

    Attributes:
        node: the operation of the traced step that the message is about, or None.
    """

    node: fx.Node | None = None


class FinalError(UnsupportedError):
    """An :class:`UnsupportedError` for good: the layer stays on ``loop``, whatever the cell does later."""
