"""Methods by name: how a spec becomes a method."""

from __future__ import annotations

import pkgutil
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from captum.attr import Attribution

from captum_gag.attr.captum_methods import captum_method
from captum_gag.attr.entries import attribution_method, function_method, parts_method
from captum_gag.attr.methods import Method
from captum_gag.attr.transforms import TRANSFORMS, Transform
from captum_gag.errors import InputError, shown
from captum_gag.names import METHOD_TYPES, Spec, imported, parse_method
from captum_gag.options import options_of, unknown

SAMPLES = ("nt_samples", "n_steps")
"""Captum's names for the number of gradients, which ``n_samples`` may stand for."""


def method(spec: str | Mapping[str, Any], /, **options: Any) -> Method:
    """Return a method with its options set.

    Args:
        spec: A name, see ``names.parse_method``; or ``type`` and options, as in {"type": "GAG", "percentile": 70}; or
            ``of`` (a name, a spec or a method), ``transform`` and its options.
        options: Further options, which replace those of the spec. Those of a transformed method go to the original,
            where the transform has none of that name. ``n_samples`` is the number of gradients, whatever a method
            calls it.

    Raises:
        InputError: There is no such method, or an option is unknown, missing, out of range or without effect.
    """
    if not isinstance(spec, str | Mapping):
        raise InputError(f"method is {shown(spec)}, expected the name of a method, or a dict of type and options.")
    spec = _resolved(merged(parse_method(spec) if isinstance(spec, str) else spec, options))
    if "of" in spec:
        return _transform(**spec)
    options = {name: value for name, value in spec.items() if name != "type"}
    cls = method_class(spec["type"], options)
    names = {option.name for option in options_of(cls)}
    if "n_samples" in options and "n_samples" not in names:
        alias = next((name for name in SAMPLES if name in names and name not in options), "n_samples")
        options[alias] = options.pop("n_samples")
    for name, reason in _without_effect(names, options).items():
        if name in options:
            raise InputError(f"{cls.__name__}: {name} has no effect {reason}; leave it out")
    return cls(**options)


def merged(spec: Mapping[str, Any], options: Mapping[str, Any]) -> Spec:
    """Return a spec with options in place of its own; of the number of gradients, whatever either calls it."""
    replaced = "n_samples" if not options.keys().isdisjoint(SAMPLES) else ""
    if "n_samples" in options:
        replaced = next((name for name in SAMPLES if name in spec and name not in options), "")
    return {**{name: value for name, value in spec.items() if name != replaced}, **options}


def method_class(name: str, options: Mapping[str, Any] | None = None) -> type[Method]:
    """Return the class of the methods of a type.

    Options to be set count for ``captum:NoiseTunnel``: the class that it runs has options of its own.
    """
    if name.startswith("captum:"):
        return captum_method(name.removeprefix("captum:"), str((options or {}).get("attribution_method", "")))
    if name in METHOD_TYPES:
        return _class_of(name, pkgutil.resolve_name(METHOD_TYPES[name]))
    if ":" in name:
        return _class_of(name, imported(name, "method"))
    raise unknown("type of method", name, [*METHOD_TYPES, "captum:CLASS", "package.module:callable"])


@cache
def _class_of(name: str, target: Any) -> type[Method]:
    """Return the method that a Captum attribution, a modification, or a function is."""
    if isinstance(target, type) and issubclass(target, Method):
        return target
    if isinstance(target, type) and issubclass(target, Attribution):
        return attribution_method(name, target)
    if isinstance(target, type) and hasattr(target, "samples"):
        return parts_method(name, target)
    return function_method(name, target)


def options_of_spec(spec: Mapping[str, Any]) -> set[str]:
    """Return the names of the options that have an effect on the method of a spec."""
    spec = _resolved(spec)
    if "of" in spec:
        of = spec["of"]
        rest = {key: value for key, value in spec.items() if key not in ("of", "transform")}
        inner = parse_method(of) if isinstance(of, str) else of
        own = {option.name for option in options_of(TRANSFORMS.get(str(spec.get("transform")), Transform))} - {"of"}
        return own | (options_of_spec({**inner, **rest}) if isinstance(inner, Mapping) else set())
    names = {option.name for option in options_of(method_class(spec["type"], spec))}
    alias = names & set(SAMPLES) and spec.keys().isdisjoint(SAMPLES)
    counts = {"n_samples"} if alias and not spec["type"].startswith("captum:") else set()
    return (names | counts) - set(_without_effect(names, spec))


def _resolved(spec: Mapping[str, Any]) -> Spec:
    """Return a spec whose type is no name of the papers'."""
    if "of" in spec:
        return dict(spec)
    options = dict(spec)
    name = options.pop("type", None)
    if not isinstance(name, str):
        raise InputError(f"method {dict(spec)!r} has no type; expected a name, type and options, or of and transform")
    return merged(parse_method(name), options)


def _without_effect(names: Collection[str], options: Mapping[str, Any]) -> dict[str, str]:
    """Return the options of a method that others make void, each with the reason."""
    void: dict[str, str] = {}
    if options.get("stdevs") is not None:
        void["noise_level"] = "where stdevs is given"
    if {"layer", "channel_axis"} <= set(names) and options.get("layer") is None:
        void["channel_axis"] = "without layer"
    aggregation = options.get("aggregation", "mean")
    if "aggregation" in names and isinstance(aggregation, str) and aggregation != "guided":
        reason = f'with aggregation "{aggregation}"'
        void |= dict.fromkeys(("percentile", "guide", "guide_window"), reason)
    return void


def _transform(of: Any, transform: Any = None, **options: Any) -> Transform:
    if not isinstance(transform, str) or transform not in TRANSFORMS:
        raise unknown("transform", transform, TRANSFORMS)
    cls = TRANSFORMS[transform]
    if isinstance(of, str | Mapping):
        own = {option.name for option in options_of(cls)}
        inner = parse_method(of) if isinstance(of, str) else of
        passed = {key: options.pop(key) for key in options_of_spec({**inner, **options}) & set(options) - own}
        of = method(inner, **passed)
    return cls(of=of, **options)
