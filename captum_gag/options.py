"""Options, each declared once: their types, ranges, help, errors, and text on a command line."""

from __future__ import annotations

import difflib
import inspect
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache, wraps
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from typing_extensions import dataclass_transform

from captum_gag.errors import InputError, shown
from captum_gag.files import tomllib

C = TypeVar("C", bound=type)
F = TypeVar("F", bound=Callable[..., Any])

_CONFIG = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)
_ARGUMENTS = ConfigDict(strict=True, arbitrary_types_allowed=True, allow_inf_nan=False)
_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


class Specified:
    """Base of ``declared`` classes whose objects are written as specs."""

    type: ClassVar[str]
    """Its name in a spec."""

    def options(self) -> dict[str, Any]:
        """Return the options of the object, by name."""
        return {option.name: getattr(self, option.name) for option in options_of(self.__class__)}

    def spec(self) -> dict[str, Any]:
        """Return type and options as JSON holds them, without those that are None."""
        values = {name: str(value) if isinstance(value, Path) else value for name, value in self.options().items()}
        return {"type": self.type, **{name: value for name, value in values.items() if value is not None}}


class Option(NamedTuple):
    """One option of a type.

    Attributes:
        name: Of the argument, the TOML key, and of ``--set``.
        type: Its Python type, as text.
        default: Its default; None may be one too, so see ``required``.
        required: Whether it has none.
        range: Its limits, such as ">= 0, <= 100"; "" for none.
        help: Its meaning, in a line.
        annotation: Its Python type.
        limits: Bounds of a number, by their names in ``pydantic.Field``.
        metavar: Its value in the help of the command line; "" for the name of the type.
        unset: Default of the command line, in words, where that is computed from other options.
    """

    name: str
    type: str
    default: Any
    required: bool
    range: str
    help: str
    annotation: Any = Any
    limits: Mapping[str, Any] = {}
    metavar: str = ""
    unset: str = ""

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return f"--{self.name.replace('_', '-')}"


def option(default: Any = ..., help: str = "", **limits: Any) -> Any:
    """Declare an option of a ``declared`` class.

    Args:
        default: Its default; an option without one is required.
        help: Its meaning, in a line: units, shapes, what None does.
        limits: ``ge``, ``gt``, ``le``, ``lt``, ``kw_only`` and the like, as ``pydantic.Field`` has them; ``metavar``
            and ``unset``, see ``Option``.
    """
    extra: dict[str, Any] = {name: limits.pop(name) for name in ("metavar", "unset") if name in limits}
    return Field(default, description=help, json_schema_extra=extra, **limits)


@dataclass_transform(field_specifiers=(option,))
def declared(cls: C) -> C:
    """Make annotated options the checked arguments of a class's constructor, with errors in one line.

    Lists are taken for tuples and NumPy's scalars for Python's; a bool is no number, and text is none. The docstring
    gets an ``Args`` section out of the options.

    Raises:
        InputError: By the constructor, if an option is unknown, missing, or out of range; the message names it.
    """
    decorated: Any = dataclass(config=_CONFIG, eq=False)(cls)
    construct = decorated.__init__

    @wraps(construct)
    def checked_init(self: Any, *args: Any, **options: Any) -> None:
        try:
            lists = {name for name, hint in self.__pydantic_fields__.items() if _takes_list(hint.annotation)}
            plain = {name: value if name in lists else _plain(value) for name, value in options.items()}
            construct(self, *map(_plain, args), **plain)
        except ValidationError as error:
            raise _in_words(type(self), error) from None

    decorated.__init__ = checked_init
    lines = [f"    {option.name}: {option.help}" for option in options_of(decorated)]
    if lines and "Args:" not in (cls.__doc__ or ""):
        decorated.__doc__ = "\n".join([inspect.cleandoc(cls.__doc__ or ""), "", "Args:", *lines])
    return decorated  # type: ignore[no-any-return]


def checked(function: F) -> F:
    """Check the arguments of a function, or of a class's constructor, by their annotations, with errors in one line.

    NumPy's scalars are taken for Python's; a bool is no number, and text is none. An argument without annotation, or
    with Any, is not checked.

    Raises:
        InputError: By the function, if an argument does not fit; the message names it.
    """
    if isinstance(function, type):
        function.__init__ = checked(function.__init__)  # type: ignore[misc]
        return function
    label = function.__qualname__.removesuffix(".__init__")
    signature = inspect.signature(function)

    @cache
    def adapters() -> dict[str, TypeAdapter[Any]]:
        hints = get_type_hints(function, include_extras=True)
        hints = {name: hint for name, hint in hints.items() if hint is not Any and name != "return"}
        return {name: TypeAdapter(hint, config=_ARGUMENTS) for name, hint in hints.items()}

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        bound = signature.bind(*args, **options)
        for name, value in bound.arguments.items():
            if name in adapters():
                try:
                    bound.arguments[name] = adapters()[name].validate_python(_scalar(value))
                # A tensor of several numbers that is asked for its number refuses with an error of its own.
                except ValueError as error:
                    expected = _expected(error.errors()) if isinstance(error, ValidationError) else "one number"
                    raise InputError(f"{label}: {name} is {shown(value)}, expected {expected}") from None
        return function(*bound.args, **bound.kwargs)

    return call  # type: ignore[return-value]


def options_of(cls: type, *names: str) -> list[Option]:
    """Return the options of a ``declared`` class in their order; all of them, or those of the names."""
    options = []
    for name, info in cls.__pydantic_fields__.items():  # type: ignore[attr-defined]
        if info.init is False or (names and name not in names):
            continue
        limits = {key: getattr(limit, key) for limit in info.metadata for key in _SIGNS if hasattr(limit, key)}
        options.append(
            Option(
                name,
                _type_name(info.annotation),
                None if info.is_required() else info.default,
                info.is_required(),
                ", ".join(f"{_SIGNS[key]} {limit}" for key, limit in limits.items()),
                info.description or "",
                info.annotation,
                limits,
                **(info.json_schema_extra or {}),
            )
        )
    return options


def unknown(kind: str, name: object, names: Iterable[str]) -> InputError:
    """Return the error for an unknown name, which lists the names that exist, closest first."""
    names = list(names)
    close = difflib.get_close_matches(str(name), names, n=4, cutoff=0.5)
    rest = [entry for entry in names if entry not in close][: max(0, 12 - len(close))]
    more = ", ..." if len(close) + len(rest) < len(names) else "."
    choices = f"{', '.join([*close, *rest]) or 'none'}{more}"
    if close:
        return InputError(f"unknown {kind} {name!r}; did you mean {close[0]}? Expected {choices}")
    return InputError(f"unknown {kind} {name!r}; expected {choices}")


def assignments(texts: Iterable[str]) -> dict[str, Any]:
    """Return the options in texts of the form ``key=value``, with the value as in TOML, where text needs no quotes.

    Raises:
        InputError: There is no "=", or nothing on one side of it.
    """
    options = {}
    for text in texts:
        key, _, value = text.partition("=")
        if not key.strip() or not value.strip():
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


def _scalar(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > 64:
        # No tensor has so many of anything, and none holds it.
        return math.inf if value > 0 else -math.inf
    # The command line does without NumPy: where nobody has imported it, there is no scalar of its.
    numpy = sys.modules.get("numpy")
    return value.item() if numpy is not None and isinstance(value, numpy.generic) else value


def _takes_list(annotation: Any) -> bool:
    return list in (annotation, get_origin(annotation)) or any(map(_takes_list, get_args(annotation)))


def _plain(value: Any) -> Any:
    return tuple(map(_plain, value)) if isinstance(value, list) else _scalar(value)


def _expected(errors: Iterable[Any]) -> str:
    messages = [error["msg"].removeprefix("Value error, ").replace("Input should be ", "") for error in errors]
    return " or ".join(dict.fromkeys(messages))


def _in_words(cls: type, error: ValidationError) -> InputError:
    """Return the first error of a validation as one line."""
    first = error.errors()[0]
    raised = first.get("ctx", {}).get("error")
    if isinstance(raised, InputError):
        return raised
    name, label = "".join(map(str, first["loc"][:1])), cls.__name__
    helps = {option.name: option.help for option in options_of(cls)}
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return InputError(f"{label}: {unknown('option', name, helps)}")
    if first["type"] in ("missing", "missing_argument"):
        return InputError(f"{label} needs {name}: {helps.get(name, '')}")
    expected = _expected(detail for detail in error.errors() if detail["loc"][:1] == first["loc"][:1])
    return InputError(f"{label}: {name} is {shown(first['input'])}, expected {expected}")


def _type_name(annotation: Any) -> str:
    """Return a type as text, without its limits."""
    arguments, origin = get_args(annotation), get_origin(annotation)
    if origin is Annotated:
        return _type_name(arguments[0])
    if origin in (Union, UnionType):
        return " | ".join(map(_type_name, arguments))
    if origin in (tuple, list, dict):
        return f"{origin.__name__}[{', '.join(map(_type_name, arguments))}]"
    texts = {type(None): "None", Ellipsis: "..."}
    return texts.get(annotation) or re.sub(r"\b[A-Za-z_]\w*\.", "", inspect.formatannotation(annotation))
