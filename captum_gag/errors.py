"""What a user gave cannot be used: one line that says what came, what fits, and what to do."""

from __future__ import annotations


class InputError(ValueError):
    """Something the user gave cannot be used; the message is one line that says what and why."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type where it says nothing."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def in_one_line(error: BaseException) -> str:
    """Return an error's message as one line, with its type where that says more than a wrong value."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"
