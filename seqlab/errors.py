"""The exceptions for wrong input of the user."""


class InputError(ValueError):
    """Wrong input of the user: a configuration, data, a checkpoint or a prompt.

    The message is one line that says what is wrong and how to mend it. The ``seqlab`` command prints that line without
    a traceback, and exits with code 2.
    """


class ChangedError(InputError):
    """A run can't go on, because its data or its code has changed since it began. The run stays as it was."""
