"""A user's own code by its name, and contexts in which no such code runs."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from captum_gag.errors import InputError, first_line

_TRUSTED = ContextVar("trusted", default=True)


@contextmanager
def nothing_imported(trust: bool = False) -> Iterator[None]:
    """Refuse imports by name in this context, because the names come from a file that anybody may have written.

    Args:
        trust: Whether its author is trusted, so that imports are allowed.
    """
    token = _TRUSTED.set(trust)
    try:
        yield
    finally:
        _TRUSTED.reset(token)


def imported(name: str, what: str) -> Any:
    """Import ``package.module:attribute``.

    Args:
        name: Of the attribute.
        what: What it is to be, for the message: "model".

    Raises:
        InputError: There is no such module or attribute, importing it fails, or imports are refused here.
    """
    if not _TRUSTED.get():
        raise InputError(
            f"{what} {name!r} is code that the run names, and looking at a run does not run it; --trust if it is yours"
        )
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    # A module of the user's can fail in any way as it is imported.
    except Exception as error:
        raise InputError(f"{what} {name!r} cannot be imported: {first_line(error)}") from error
