"""The exceptions that mean "the user's input was wrong"."""


class InputError(ValueError):
    """Wrong input from the user: config, data, checkpoint or prompt.

    Its message is a single line that says what was wrong and how to mend it. The ``seqlab`` command prints that line
    without a traceback and exits with 2.
    """


class ChangedError(InputError):
    """A run can't go on, for its data or its code is not what it began with. The run is left as it was."""
