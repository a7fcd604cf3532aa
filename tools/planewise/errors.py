"""Errors that a person can act on."""


class InputError(ValueError):
    """Something about the input, not about the program: says what was given, what is needed, and what to do.

    Commands and bundle runs print its message alone; any other exception keeps its traceback.
    """
