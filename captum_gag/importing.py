"""What a name of a user's own stands for, and places where nobody's code is run."""

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
    """Refuse to import by a name in this context, since it comes from a file that anybody may have written.

    Args:
        trust: Whether its author is trusted, so that all is as outside.
    """
    token = _TRUSTED.set(trust)
    try:
        yield
    finally:
        _TRUSTED.reset(token)


def imported(name: str, what: str) -> Any:
    """Return what a name of a user's own stands for.

    Args:
        name: ``package.module:attribute``.
        what: What it is to be, for the message: "model".

    Raises:
        InputError: There is no such module or attribute, importing it fails, or nothing is imported here.
    """
    module, _, attribute = name.partition(":")
    # The variants of the papers' published code are this package's own, and have no effect but their scores.
    own = module.startswith("captum_gag.papers.published_")
    if not own and not _TRUSTED.get():
        raise InputError(
            f"{what} {name!r} is code that the run names, and looking at a run does not run it; --trust if it is yours"
        )
    try:
        value = getattr(importlib.import_module(module), attribute)
        if own and getattr(value, "__module__", "") != module:
            raise AttributeError(f"{module} does not define {attribute}")
    # A module of the user's can fail in any way as it is imported.
    except Exception as error:
        raise InputError(f"{what} {name!r} cannot be imported: {first_line(error)}") from error
    return value
