"""What an engine raises where it steps aside."""


class UnsupportedError(Exception):
    """A fast engine has no way to run what a cell does, exactly; the message says what, and where."""


class FinalError(UnsupportedError):
    """It is so from now on, whatever the cell does later."""
