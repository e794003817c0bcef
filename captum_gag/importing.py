"""A user's own code by its name, and contexts in which no such code runs."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from captum_gag.errors import InputError, first_line

PACKAGED = "captum_gag.papers.published_"
"""So begin the modules of the papers' published code: they are this package's own, and have no effect but scores."""

_ALLOWED = ContextVar("allowed", default=True)


@contextmanager
def nothing_imported() -> Iterator[None]:
    """Refuse imports by name in this context: who looks at a run of someone else runs no code that it names."""
    token = _ALLOWED.set(False)
    try:
        yield
    finally:
        _ALLOWED.reset(token)


def imported(name: str, role: str) -> Any:
    """Return the attribute that ``package.module:attribute`` names; ``role``, such as "model", is for the message.

    Raises:
        InputError: There is no such module or attribute, importing it fails, or imports are refused here.
    """
    module, _, attribute = name.partition(":")
    own = name.startswith(PACKAGED)
    if not own and not _ALLOWED.get():
        raise InputError(f"{role} {name!r} is code that the run names, and looking at a run does not run it")
    try:
        value = getattr(importlib.import_module(module), attribute)
        if own and getattr(value, "__module__", "") != module:
            raise AttributeError(f"{module} does not define {attribute}")
    # A module of the user's can fail in any way as it is imported.
    except Exception as error:
        raise InputError(f"{role} {name!r} cannot be imported: {first_line(error)}") from error
    return value
