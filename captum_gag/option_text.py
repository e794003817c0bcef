"""Options as text: ``key=value`` of ``--set``, and the arguments of a command line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from captum_gag.errors import InputError
from captum_gag.files import tomllib
from captum_gag.options import Option


def assignments(texts: Iterable[str]) -> dict[str, Any]:
    """Return the options in texts of the form ``key=value``, with the value as in TOML, where text needs no quotes.

    Raises:
        InputError: There is no "=".
    """
    options = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise InputError(f"option {text!r} must be KEY=VALUE, such as model.image_size=224")
        try:
            options[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        # Thousands of brackets, or of digits, are text too.
        except (ValueError, RecursionError):
            options[key.strip()] = value.strip()
    return options


def assignment(key: str, value: Any) -> str:
    """Return an option as ``assignments`` reads it, ``key=value`` with the value as in TOML."""
    return f"{key}={_toml(value)}"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_toml(key)} = {_toml(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        # TOML has JSON's strings, but for DEL.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower()


def arguments(options: Iterable[Option], values: Mapping[str, Any]) -> list[str]:
    """Return the arguments of a command line that set options to values.

    Args:
        options: The options that the command has.
        values: By name. A default is left out, unless the command line would take something else.
    """
    words = []
    for option in options:
        value = values.get(option.name)
        if value is None or (value == option.default and not option.unset):
            continue
        for item in value if isinstance(value, tuple) else [value]:
            words += [option.flag] if item is True else [option.flag, str(item)]
    return words
