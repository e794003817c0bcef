"""Errors and warnings about what a user passed: one line that says what came, what is expected and what to do."""

from __future__ import annotations

import re
import sys
import warnings
from types import FrameType
from typing import Any

_LIBRARIES = ("captum_gag", "captum", "quantus", "torch", "contextlib", "functools")

# Characters that steer a terminal or turn the direction of a line, as Python writes them.
_CONTROLS = {
    code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}


class InputError(ValueError, AssertionError):
    """Something that the user passed cannot be used; the message is one line, whatever it quotes.

    Captum and Quantus refuse by AssertionError, so code written around them catches that.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(" ".join(line.strip() for line in str(message).splitlines())))


def printable(text: str) -> str:
    """Return a text with control characters escaped."""
    return text.translate(_CONTROLS)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type if the message is empty."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def in_one_line(error: BaseException) -> str:
    """Return an error's message as one line, after its type unless that is a ValueError."""
    text = printable(" ".join(str(error).split())) or type(error).__name__
    return text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"


def shown(value: Any) -> str:
    """Return a value in a few words: tensors and arrays by shape and dtype, all else as Python writes it."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"a {type(value).__name__} {tuple(value.shape)} of {dtype}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def caller() -> str:
    """Return the name of the module that called this package; decorators, such as Captum's, do not count."""
    frame: FrameType | None = sys._getframe(1)
    while frame and re.match(r"(captum_gag|captum\.log|contextlib|functools)\b", frame.f_globals.get("__name__", "")):
        frame = frame.f_back
    return str(frame and frame.f_globals.get("__name__", ""))


def warn(message: str) -> None:
    """Warn at the first caller outside of this package and the libraries it is built on."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back and str(frame.f_globals.get("__name__", "")).split(".")[0] in _LIBRARIES:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)
