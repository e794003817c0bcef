"""What the user's own modules hold, named as package.module:attribute."""

from __future__ import annotations

import importlib
from typing import Any

from captum_gag.experiments.images import InputError


def imported(name: str, what: str) -> Any:
    """Gives what a name stands for.

    Args:
        name (str): ``package.module:attribute``.
        what (str): What it is to be, for the message: "model".

    Returns:
        The attribute of the module.

    Raises:
        InputError: There is no such module or attribute, or importing it fails.
    """
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    # A module of the user's can fail in any way as it is imported.
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"{what} {name!r} cannot be imported: {lines[0]}") from error
