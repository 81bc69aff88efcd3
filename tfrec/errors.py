"""What tfrec raises."""


class InputError(ValueError):
    """The input, not the code, is at fault. The message says what was expected, what was received and what to do.

    The command lines print the message without a traceback and exit with status 2.
    """


class TrainingError(RuntimeError):
    """Training can't go on: the loss is no number any more."""


class ExportError(RuntimeError):
    """An exported version would not work. Nothing was placed; the versions already there are untouched."""
