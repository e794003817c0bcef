"""What a user gave cannot be used: one line that says what came, what fits, and what to do."""

from __future__ import annotations

import sys
import warnings
from typing import Any

_NOT_THE_USERS = ("captum_gag", "captum", "quantus", "torch", "contextlib", "functools")


_CONTROLS = {
    code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
"""What steers a terminal, or turns the direction of a line, as Python writes it."""


class InputError(ValueError):
    """Something the user gave cannot be used; the message is one line that says what and why."""

    def __init__(self, message: object = "") -> None:
        """Take a message; what it quotes, such as a tensor, may have several lines."""
        super().__init__(printable(" ".join(each.strip() for each in str(message).splitlines())))


def printable(text: str) -> str:
    """Return a text with what would steer a terminal written out."""
    return text.translate(_CONTROLS)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type where it says nothing."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def in_one_line(error: BaseException) -> str:
    """Return an error's message as one line, with its type where that says more than a wrong value."""
    text = printable(" ".join(str(error).split())) or type(error).__name__
    return text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"


def shown(value: Any, most: int = 60) -> str:
    """Return what a user gave in a few words: tensors and arrays by shape and dtype, all else as Python writes it."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"a {type(value).__name__} {tuple(value.shape)} of {dtype}"
    text = " ".join(repr(value).split())
    return text if len(text) <= most else f"{text[: most - 3]}..."


def warn(message: str) -> None:
    """Warn where a user called: at the first caller outside of this package and what it is built on."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back and str(frame.f_globals.get("__name__", "")).split(".")[0] in _NOT_THE_USERS:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)
