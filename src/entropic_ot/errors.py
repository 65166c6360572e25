"""Errors that are meant for the person who runs the project.

Each message answers four questions: which file or key, what was found, what was expected, what to
do next. :meth:`EntropicOTError.about` puts the four together, so that they read alike everywhere.
Broken invariants of the code itself are ``assert``, not one of these.
"""

from __future__ import annotations

from typing import Self


class EntropicOTError(Exception):
    """Base of every error that this package raises on purpose."""

    @classmethod
    def about(cls, where: object, *, found: str, expected: str, action: str) -> Self:
        """Compose the message from its four parts.

        Args:
            where: the file, folder or configuration key that the error is about.
            found: what is there.
            expected: what should have been there.
            action: what the reader can do, as a full sentence.
        """
        return cls(f"{where}: found {found}; expected {expected}. {action}")


class DataError(EntropicOTError):
    """A data file is missing, damaged, of the wrong kind, or cannot be obtained."""


class ConfigError(EntropicOTError):
    """A parameter is unknown, of the wrong type, or outside its range."""
