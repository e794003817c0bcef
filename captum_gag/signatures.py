"""Options read from the signatures of functions and the ``Args`` of their docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, ForwardRef, Literal, TypeVar, get_args, get_origin

from captum_gag.options import declared, option


def declared_as(
    name: str, base: type, options: Mapping[str, tuple[Any, Any]], doc: str = "", **attributes: Any
) -> type[Any]:
    """Return a ``declared`` subclass with further options, the required ones first.

    Args:
        name: Of the class, as errors show it.
        base: A ``declared`` class, or one without options.
        options: By name, annotation and declaration; see ``options_in``.
        doc: Its docstring.
        attributes: Further attributes of the class.
    """
    ordered = dict(sorted(options.items(), key=lambda item: not item[1][1].is_required()))
    namespace: dict[str, Any] = {"__doc__": doc, "__module__": base.__module__, **attributes}
    namespace["__annotations__"] = {key: annotation for key, (annotation, _) in ordered.items()}
    return declared(type(name, (base,), {**namespace, **{key: field for key, (_, field) in ordered.items()}}))


def options_in(*functions: Callable[..., Any], without: Collection[str] = ()) -> dict[str, tuple[Any, Any]]:
    """Return the parameters of functions as options: annotation and declaration by name.

    Ranges are those of ``Annotated`` types, help is the first sentence of their entry under ``Args``. An annotation
    that cannot be checked, such as a generic one, is Any.

    Args:
        functions: Functions, or classes whose constructors are meant; of two parameters of one name the first counts.
        without: Names of parameters that are no options.
    """
    options: dict[str, tuple[Any, Any]] = {}
    for function in functions:
        help_of = arguments_help(function)
        try:
            signature = inspect.signature(function, eval_str=True)
        # A user's annotations can fail in any way; then nothing is checked.
        except Exception:
            signature = inspect.signature(function)
        for name, parameter in signature.parameters.items():
            no_option = (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY)
            if name in {*without, *options} or parameter.kind in no_option:
                continue
            field = getattr(function, "__dataclass_fields__", {}).get(name)
            if field is not None and callable(field.default_factory):
                default = field.default_factory()
            else:
                # A default that is a function is left to its owner; see ``passed``.
                default = None if callable(parameter.default) else parameter.default
                default = ... if parameter.default is parameter.empty else default
            options[name] = (
                Any if _is_unclear(parameter.annotation) else parameter.annotation,
                option(default, help_of.get(name, "See the docstring."), kw_only=True),
            )
    return options


def passed(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a function takes, without a None in place of a default that is a function."""
    defaults = {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}
    return {
        name: value
        for name, value in options.items()
        if name in defaults and (value is not None or not callable(defaults[name]))
    }


def arguments_help(function: Callable[..., Any]) -> dict[str, str]:
    """Return the first sentence of each entry of ``Args`` in the docstring of a function or a class, by name."""
    docs = [function.__init__, *function.__mro__[::-1]] if inspect.isclass(function) else [function]
    help_of: dict[str, str] = {}
    for doc in (inspect.getdoc(owner) or "" for owner in docs):
        for section in re.findall(r"^Args:\n(.*?)(?=^\S|\Z)", f"{doc}\n", re.MULTILINE | re.DOTALL):
            name = r"^(\w+)\s*(?:\((?:[^()]|\([^()]*\))*\))?\s*:"
            entries = re.split(name, inspect.cleandoc(f"\n{section}"), flags=re.MULTILINE)
            help_of |= zip(entries[1::2], map(first_sentence, entries[2::2]), strict=True)
    return help_of


def first_sentence(text: str) -> str:
    """Return the first sentence of a paragraph, with at most about 160 characters."""
    words = " ".join(text.strip().split("\n\n")[0].replace("``", "").split())
    sentence = re.split(r"(?<!e\.g)(?<!i\.e)(?<!et)(?<!al)\. | Default:", words)[0].rstrip(".:")
    return f"{sentence}." if len(sentence) <= 160 else sentence[:157].rsplit(" ", 1)[0].rstrip(",") + " ..."


def _is_unclear(annotation: Any) -> bool:
    """Return whether an annotation cannot be checked: it is generic, missing, or was not evaluated."""
    if isinstance(annotation, TypeVar | ForwardRef | str) or annotation is inspect.Parameter.empty:
        return True
    return get_origin(annotation) is not Literal and any(map(_is_unclear, get_args(annotation)))
