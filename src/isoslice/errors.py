"""Errors that a user can fix: one line that says what was got, what was expected, what to do."""

import sys
import warnings

#: Where to report bugs, as worded in messages.
WHERE_TO_REPORT = "on the project's page"


class IsosliceError(Exception):
    """Base of every error isoslice raises on purpose; the command line prints it as one line."""

    def __init__(self, message: str = "") -> None:
        # Messages quote files, whose control characters could change a terminal.
        shown = (c if c.isprintable() else " " if c.isspace() else "?" for c in message)
        super().__init__("".join(shown))


class DataError(IsosliceError):
    """An input image or volume that cannot be used as it is."""


class ModelError(IsosliceError):
    """A model folder that cannot be used, or that does not fit the data."""


class OutputError(IsosliceError):
    """A result that cannot be written where it was asked for."""


class SettingsError(IsosliceError):
    """An option or argument out of its range, or one that contradicts another."""


class UnhandledError(IsosliceError):
    """A fault of isoslice or of an installed library, not of the user's data."""


class IsosliceWarning(UserWarning):
    """Something the user should know that does not stop the work."""


class DoubtWarning(IsosliceWarning):
    """A reason not to trust a model's restoration of a stack."""


def warn(message: str, category: type[IsosliceWarning] = IsosliceWarning) -> None:
    """Warn of `message` at the line that called isoslice."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("isoslice."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
