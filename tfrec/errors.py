"""What tfrec raises when the input, not the code, is at fault."""


class InputError(ValueError):
    """Bad input. The message says what was expected, what was received and what to do about it.

    The command lines print the message without a traceback and exit with status 2.
    """
