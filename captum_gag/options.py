"""What is wanted, as data: how methods, metrics, data sets and models declare their options, each once."""

from __future__ import annotations

import difflib
import inspect
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache, wraps
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticUndefined
from typing_extensions import dataclass_transform

from captum_gag.errors import InputError, shown
from captum_gag.files import tomllib

T = TypeVar("T")
C = TypeVar("C", bound=type)
F = TypeVar("F", bound=Callable[..., Any])

_CONFIG = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)
_ARGUMENTS = ConfigDict(strict=True, arbitrary_types_allowed=True, allow_inf_nan=False)
_LIMITS = (Ge, Gt, Le, Lt)
_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


class Specified:
    """What ``declared`` classes share whose objects are written down again as specs."""

    type: ClassVar[str]
    """Its name in a spec."""

    def options(self) -> dict[str, Any]:
        """Return the options that it was built with, by name."""
        return {each.name: getattr(self, each.name) for each in options_of(self.__class__)}

    def spec(self) -> dict[str, Any]:
        """Return what it is built from: type and options, as JSON holds them."""
        given = {name: value for name, value in self.options().items() if value is not None}
        plain = {name: str(each) if isinstance(each, Path) else each for name, each in given.items()}
        return {"type": self.type, **plain}


class Option(NamedTuple):
    """One option of a type, as it was declared.

    Attributes:
        name: Of the argument, the TOML key, and of ``--set``.
        type: Its Python type, as text.
        default: What it is if not given; None may be a default too, so see ``required``.
        required: Whether it must be given.
        range: What limits it, such as ">= 0, <= 100"; "" if nothing does.
        help: What it means, in a line.
        annotation: Its Python type.
        limits: Bounds of a number, by their names in ``pydantic.Field``.
        metavar: How the command line's help writes its value; "" for the type's name.
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
        default: What it is if not given; without one the option is required.
        help: What it means, in a line: units, shapes, what None does.
        limits: ``ge``, ``gt``, ``le``, ``lt``, ``kw_only`` and the like, as ``pydantic.Field`` has them; ``metavar``
            and ``unset``, see ``Option``.
    """
    extra: dict[str, Any] = {name: limits.pop(name) for name in ("metavar", "unset") if name in limits}
    return Field(default, description=help, json_schema_extra=extra, **limits)


@dataclass_transform(field_specifiers=(option,))
def declared(cls: C) -> C:
    """Make a class whose annotated options are its constructor's arguments, checked, with errors in one line.

    Lists are taken for tuples and NumPy's scalars for Python's; a bool is no number, and text is none. The docstring
    gets an ``Args`` section out of the options.

    Raises:
        InputError: By the constructor, if an option is unknown, missing, or has no meaning; the message names it.
    """
    made: Any = dataclass(config=_CONFIG, eq=False)(cls)
    construct = made.__init__

    @wraps(construct)
    def checked(self: Any, *args: Any, **options: Any) -> None:
        try:
            construct(self, *map(_plain, args), **{name: _plain(value) for name, value in options.items()})
        except ValidationError as error:
            raise _explained(type(self), error) from None

    made.__init__ = checked
    if "Args:" not in (cls.__doc__ or ""):
        lines = [f"    {each.name}: {each.help}" for each in options_of(made)]
        made.__doc__ = "\n".join([inspect.cleandoc(cls.__doc__ or ""), "", "Args:", *lines]) if lines else cls.__doc__
    return made  # type: ignore[no-any-return]


def checked(thing: F) -> F:
    """Let a function, or the constructor of a class, check its arguments by their annotations, with errors in one line.

    NumPy's scalars are taken for Python's; a bool is no number, and text is none. What has no annotation, or Any, is
    taken as it is.

    Raises:
        InputError: By the function, if an argument has no meaning; the message names it.
    """
    if isinstance(thing, type):
        thing.__init__ = checked(thing.__init__)  # type: ignore[misc]
        return thing
    name = thing.__qualname__.removesuffix(".__init__")
    signature = inspect.signature(thing)

    @cache
    def adapters() -> dict[str, TypeAdapter[Any]]:
        hints = get_type_hints(thing, include_extras=True)
        return {
            each: TypeAdapter(hint, config=_ARGUMENTS)
            for each, hint in hints.items()
            if hint is not Any and each != "return"
        }

    @wraps(thing)
    def call(*args: Any, **options: Any) -> Any:
        given = signature.bind(*args, **options)
        for each, value in given.arguments.items():
            if each in adapters():
                try:
                    given.arguments[each] = adapters()[each].validate_python(_scalar(value))
                # A tensor of several numbers is asked for its number, and refuses in a way of its own.
                except ValueError as error:
                    wanted = _wanted(error.errors()) if isinstance(error, ValidationError) else "one number"
                    raise InputError(f"{name}: {each} is {shown(value)}, expected {wanted}") from None
        return thing(*given.args, **given.kwargs)

    return call  # type: ignore[return-value]


def options_of(cls: type, *names: str) -> list[Option]:
    """Return the options of a ``declared`` class in their order; all of them, or those of the names."""
    found = []
    for name, info in cls.__pydantic_fields__.items():  # type: ignore[attr-defined]
        if info.init is False or (names and name not in names):
            continue
        default = None if info.default in (PydanticUndefined, ...) else info.default
        limits = {type(limit).__name__.lower(): limit for limit in info.metadata if type(limit) in _LIMITS}
        limits = {key: getattr(limit, key) for key, limit in limits.items()}
        found.append(
            Option(
                name,
                _type_name(info.annotation),
                default,
                info.is_required(),
                ", ".join(f"{_SIGNS[key]} {limit}" for key, limit in limits.items()),
                info.description or "",
                info.annotation,
                limits,
                **(info.json_schema_extra or {}),
            )
        )
    return found


def build(types: Mapping[str, Callable[..., T]], type: str, options: Mapping[str, Any], what: str) -> T:
    """Build what a spec says.

    Args:
        types: By name, the classes (or functions) that there are.
        type: Which of them.
        options: Its options.
        what: What it is to be, for the message: "method".

    Raises:
        InputError: There is no such type, or it refuses the options.
    """
    if type not in types:
        raise unknown(what, type, types)
    return types[type](**options)


def unknown(what: str, name: object, known: Iterable[str]) -> InputError:
    """Return the error for a name that is not known: it says what is, closest first."""
    names = list(known)
    close = difflib.get_close_matches(str(name), names, n=4, cutoff=0.5)
    rest = [each for each in names if each not in close][: max(0, 12 - len(close))]
    more = ", ..." if len(close) + len(rest) < len(names) else ""
    listed = f"{', '.join([*close, *rest])}{more}"
    if close:
        return InputError(f"unknown {what} {name!r}; did you mean {close[0]}? Expected {listed}.")
    return InputError(f"unknown {what} {name!r}; expected {listed}.")


def assignments(texts: Iterable[str]) -> dict[str, Any]:
    """Read options from the command line: ``key=value`` with the value as in TOML, where text needs no quotes.

    Raises:
        InputError: There is no "=".
    """
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise InputError(f"option {text!r} has no meaning; expected KEY=VALUE, such as percentile=70")
        try:
            found[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        # Thousands of brackets, or of digits, are text too.
        except (ValueError, RecursionError):
            found[key.strip()] = value.strip()
    return found


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
    for each in options:
        value = values.get(each.name)
        if value is None or (value == each.default and not each.unset):
            continue
        if value is True:
            words.append(each.flag)
        else:
            words += [
                part for item in (value if isinstance(value, tuple) else [value]) for part in (each.flag, str(item))
            ]
    return words


def _scalar(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > 64:
        # No tensor has so many of anything, and none holds it.
        return math.inf if value > 0 else -math.inf
    # The command line does without NumPy: where nobody has imported it, there is no scalar of its.
    numpy = sys.modules.get("numpy")
    return value.item() if numpy is not None and isinstance(value, numpy.generic) else value


def _plain(value: Any) -> Any:
    return tuple(map(_plain, value)) if isinstance(value, list) else _scalar(value)


def _wanted(complaints: Iterable[Any]) -> str:
    """Return what would have done, out of the complaints of a validation."""
    said = [each["msg"].removeprefix("Value error, ").replace("Input should be ", "") for each in complaints]
    return " or ".join(dict.fromkeys(said))


def _explained(cls: type, error: ValidationError) -> InputError:
    """Return the first complaint of a validation as one line."""
    first = error.errors()[0]
    given = first.get("ctx", {}).get("error")
    if isinstance(given, InputError):
        return given
    name = ".".join(str(part) for part in first["loc"][:1])
    label = getattr(cls, "__name__", str(cls))
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        found = unknown("option", name, [each.name for each in options_of(cls)])
        return InputError(f"{label}: {found}")
    if first["type"] in ("missing", "missing_argument"):
        needed = next((each.help for each in options_of(cls) if each.name == name), "")
        return InputError(f"{label} needs {name}: {needed}")
    wanted = _wanted(each for each in error.errors() if each["loc"][:1] == first["loc"][:1])
    return InputError(f"{label}: {name} is {first['input']!r}, expected {wanted}")


def _type_name(annotation: Any) -> str:
    """Return a type as text, without what checks its values."""
    arguments, origin = get_args(annotation), get_origin(annotation)
    if annotation is None or annotation is type(None):
        return "None"
    if annotation is Ellipsis:
        return "..."
    if origin is Annotated:
        return _type_name(arguments[0])
    if origin in (Union, UnionType):
        return " | ".join(map(_type_name, arguments))
    if origin in (tuple, list, dict):
        return f"{origin.__name__}[{', '.join(map(_type_name, arguments))}]"
    if isinstance(annotation, type) and not arguments:
        return annotation.__name__
    return str(annotation).replace("typing.", "").replace("collections.abc.", "").replace("torch.", "")
