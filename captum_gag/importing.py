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
    """Refuse imports by name in this context, unless the author of the file with the names is trusted."""
    token = _TRUSTED.set(trust)
    try:
        yield
    finally:
        _TRUSTED.reset(token)


def imported(name: str, role: str) -> Any:
    """Return the attribute that ``package.module:attribute`` names; ``role``, such as "model", is for the message.

    Raises:
        InputError: There is no such module or attribute, importing it fails, or imports are refused here.
    """
    if not _TRUSTED.get() and not name.startswith("captum_gag."):
        raise InputError(
            f"{role} {name!r} is code that the run names, and looking at a run does not run it; --trust if it is yours"
        )
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    # A module of the user's can fail in any way as it is imported.
    except Exception as error:
        raise InputError(f"{role} {name!r} cannot be imported: {first_line(error)}") from error
