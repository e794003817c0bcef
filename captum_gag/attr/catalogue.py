"""The papers' methods by name, and how a spec becomes a method."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

# Each of these enters its types into METHODS.
from captum_gag.attr import captum_papers, control_maps, grad_cam, known_maps, path_gradients  # noqa: F401
from captum_gag.attr.captum_methods import captum_type
from captum_gag.attr.captum_options import class_names
from captum_gag.attr.gradient_methods import shared_gradients
from captum_gag.attr.map_transforms import TRANSFORMS, Transform
from captum_gag.attr.methods import METHODS, Method
from captum_gag.attr.own_methods import own_type
from captum_gag.errors import InputError, shown
from captum_gag.options import options_of, unknown

__all__ = [
    "ENTRIES",
    "FAMILIES",
    "METHODS",
    "TRANSFORMS",
    "VARIANTS",
    "Entry",
    "Method",
    "method",
    "method_type",
    "options_of_spec",
    "parse",
    "rows",
    "shared_gradients",
    "transforms",
    "types",
]

Spec = dict[str, Any]


class Entry(NamedTuple):
    """A method that has a name.

    Attributes:
        spec: Its type and options.
        summary: What it is, in one line.
        source: Where it was published.
    """

    spec: Spec
    summary: str
    source: str


HUANG = "Huang & Liu 2024"

FAMILIES: dict[str, Entry] = {
    "SG": Entry({"type": "SG"}, "noisy gradients", "Smilkov 2017"),
    "IG": Entry({"type": "IG"}, "gradients on the line from 0", "Sundararajan 2017"),
    "Guided IG": Entry({"type": "Guided IG"}, "gradients on a guided path", "Kapishnikov 2021"),
    "Blur IG": Entry({"type": "Blur IG"}, "gradients on a blurring path", "Xu 2020"),
    "GB": Entry({"type": "SG", "backpropagation": "guided"}, "noisy guided-backpropagation gradients", HUANG),
}
"""What the variants of one method have in common: where gradients are taken, and by what."""

VARIANTS: dict[str, tuple[Spec, str]] = {
    "+": ({"interpretation": "positive"}, "mean of the positive part of"),
    "-": ({"interpretation": "negative"}, "mean of the negative part of"),
    "-A": ({"interpretation": "absolute"}, "mean magnitude of"),
    "-G": ({"aggregation": "guided"}, "mean, guided by variance, of"),
    "-GA": ({"interpretation": "absolute", "aggregation": "guided"}, "mean magnitude, guided by variance, of"),
}
"""How a variant reads and aggregates gradients, by what is added to the name."""

_NOISY = FAMILIES["SG"].summary

ENTRIES: dict[str, Entry] = {
    **{
        f"GAG-{p}": Entry(
            {"type": "GAG", "percentile": float(p)}, f"mean magnitude, guided by variance, of {_NOISY}", HUANG
        )
        for p in (0, 15, 25, 45, 65, 85)
    },
    "GAG-85 fast": Entry(
        {"type": "GAG", "percentile": 85.0, "n_samples": 6, "guide_window": 9},
        f"mean magnitude, guided by pooled variance, of 6 {_NOISY}",
        "captum-gag",
    ),
    "VG": Entry({"type": "captum:Saliency", "abs": False}, "the gradient", "Simonyan 2014"),
    "SG": Entry({"type": "SG"}, f"mean of {_NOISY}", "Smilkov 2017"),
    "VarGrad": Entry({"type": "SG", "aggregation": "variance"}, f"variance of {_NOISY}", "Adebayo 2018"),
    "IG": Entry({"type": "IG"}, "mean of gradients on the line from 0", "Sundararajan 2017"),
    "GB": Entry({"type": "GB"}, "guided backpropagation", "Springenberg 2015"),
    "Guided IG": Entry({"type": "Guided IG"}, "mean of gradients on a guided path", "Kapishnikov 2021"),
    "Blur IG": Entry({"type": "Blur IG"}, "mean of gradients on a blurring path", "Xu 2020"),
    "Grad-CAM": Entry({"type": "Grad-CAM"}, "weighted feature maps", "Selvaraju 2017"),
    **{
        family + mark: Entry({**where.spec, **how}, f"{what} {where.summary}", HUANG)
        for family, where in FAMILIES.items()
        for mark, (how, what) in VARIANTS.items()
    },
    "Saliency": Entry({"type": "captum:Saliency"}, "magnitude of the gradient", "Simonyan 2014"),
    "SmoothGrad": Entry({"type": "SmoothGrad"}, "mean of noisy gradients", "Smilkov 2017"),
    "VarGrad (Captum)": Entry(
        {"type": "SmoothGrad", "nt_type": "vargrad"}, "variance of noisy gradients", "Adebayo 2018"
    ),
    "Sensitivity": Entry(
        {"type": "Sensitivity"}, "largest magnitude of the gradient over the channels", "Simonyan 2014"
    ),
    "Gradient x Input": Entry({"type": "captum:InputXGradient"}, "gradient times input", "Shrikumar 2016"),
    "DeepSHAP": Entry({"type": "DeepSHAP"}, "DeepLIFT against random colours", "Lundberg 2017"),
    "Deep Taylor": Entry({"type": "Deep Taylor"}, "LRP with the z+ rule", "Montavon 2017"),
    "Random": Entry({"type": "Random"}, "control: uniform random values", "control"),
    "Sobel": Entry({"type": "Sobel"}, "control: edges of the image", "control"),
    "Constant": Entry({"type": "Constant"}, "control: the same everywhere", "control"),
}
"""The papers' methods, by the names in their tables."""


def _key(name: str) -> str:
    return re.sub(r"\s", "", name).lower()


# A name of the papers comes before a type of the same name.
_SPECS: dict[str, Spec] = {
    **{_key(name): {"type": name} for name in METHODS},
    **{_key(name): entry.spec for name, entry in ENTRIES.items()},
}
_SPECS |= {"vanillagradient": _SPECS["vg"], "gradcam": _SPECS["grad-cam"], "edge": _SPECS["sobel"]}
_SPELLED = {_key(name): name for name in [*METHODS, *ENTRIES]}
_SUFFIXES = {"R": "reverse", "sharp": "sharpen", "binary": "binarise", "pixel": "one_pixel"}
_TRANSFORMED = re.compile(rf"(?P<of>.+)(\^(?P<suffix>{'|'.join(_SUFFIXES)})|-R)", re.IGNORECASE)
_GUIDED = re.compile(r"(?P<base>gag|.+-ga?)-?(?P<percentile>\d+(\.\d+)?)")
_OWN = re.compile(r"[^\W\d][\w.]*:[^\W\d]\w*")


def parse(name: str) -> Spec:
    """Return the type and the options that a name stands for.

    Args:
        name: As in the paper's tables, whatever the case and the spaces: "GAG-85" (with any percentile), "SG+",
            "Guided IG-GA" (or "-GA70" for another percentile), "Grad-CAM" (or "Grad-CAM:layer4.1" for a named layer),
            "Random" (or "Random:7" for the ordering of seed 7), and any of them with "^R" (or "-R") for its reversed
            map (Proposition 1), "^sharp", "^binary" or "^pixel" for one that is manipulated to fool a metric. Or a
            type: "GAG", "captum:Occlusion", "package.module:callable".

    Returns:
        Such as {"type": "GAG", "percentile": 85.0}, or {"of": "GAG-85", "transform": "reverse"}.

    Raises:
        InputError: If there is no such method; the message names close ones.
    """
    text = name.strip()
    changed = _TRANSFORMED.fullmatch(text)
    if changed:
        parse(changed["of"])
        suffix = next(each for each in _SUFFIXES if each.lower() == (changed["suffix"] or "R").lower())
        return {"of": _SPELLED.get(_key(changed["of"]), changed["of"].strip()), "transform": _SUFFIXES[suffix]}
    key = _key(text)
    if key in _SPECS:
        return dict(_SPECS[key])
    head, _, detail = text.partition(":")
    if _key(head) in ("grad-cam", "gradcam") and detail:
        return {"type": "Grad-CAM", "layer": detail.strip()}
    if _key(head) == "random" and detail.strip().isdecimal():
        return {"type": "Random", "seed": int(detail)}
    guided = _GUIDED.fullmatch(key)
    if guided and guided["base"] in _SPECS and 0 <= float(guided["percentile"]) <= 100:
        return {**_SPECS[guided["base"]], "percentile": float(guided["percentile"])}
    if _OWN.fullmatch(text) and _key(head) not in _SPECS:
        return {"type": text}
    raise unknown("method", name, dict.fromkeys([*ENTRIES, *METHODS, "captum:CLASS", "package.module:callable"]))


def method(spec: str | Mapping[str, Any], /, **options: Any) -> Method:
    """Build a method.

    Args:
        spec: A name, see ``parse``; or ``type`` and options, as in {"type": "GAG", "percentile": 70}; or ``of`` (a
            name, a spec or a method), ``transform`` and its options.
        options: Further options, which replace those of the spec. Those of a transformed method go to the original,
            where the transform has none of that name.

    Raises:
        InputError: There is no such method, or an option is unknown, missing or has no meaning.
    """
    if not isinstance(spec, str | Mapping):
        raise InputError(f"method is {shown(spec)}, expected a name in the catalogue, or a dict of type and options.")
    said = {**(parse(spec) if isinstance(spec, str) else spec), **options}
    if "of" in said:
        return _transform(said)
    name = said.pop("type", None)
    if not isinstance(name, str):
        raise InputError(f"method {spec!r} has no type; expected a name, type and options, or of and transform")
    parsed = parse(name)
    if "of" in parsed:
        return _transform({**parsed, **said})
    said = {**parsed, **said}
    return method_type(said.pop("type"), said)(**said)


def method_type(name: str, options: Mapping[str, Any] | None = None) -> type[Method]:
    """Return the declared type of a name of a type.

    Args:
        name: As ``parse`` returns it.
        options: Those that will be given: what ``captum:NoiseTunnel`` runs has options of its own.

    Raises:
        InputError: There is no such type.
    """
    if name in METHODS:
        return METHODS[name]
    if name.startswith("captum:"):
        return captum_type(name.removeprefix("captum:"), str((options or {}).get("attribution_method", "")))
    if ":" in name:
        return own_type(name)
    raise unknown("type of method", name, [*METHODS, "captum:CLASS", "package.module:callable"])


def _transform(said: Mapping[str, Any]) -> Transform:
    options = dict(said)
    of, name = options.pop("of"), options.pop("transform", None)
    if not isinstance(name, str) or name not in TRANSFORMS:
        raise unknown("transform", name, TRANSFORMS)
    kind = TRANSFORMS[name]
    if isinstance(of, str | Mapping):
        own = {each.name for each in options_of(kind)}
        spec = parse(of) if isinstance(of, str) else of
        passed = {key: options.pop(key) for key in options_of_spec({**spec, **options}) & set(options) - own}
        of = method(spec, **passed)
    return kind(of=of, **options)


def options_of_spec(spec: Mapping[str, Any]) -> set[str]:
    """Return the names of the options that have an effect on the method of a spec."""
    said = dict(spec)
    if "of" in said:
        of, rest = said["of"], {key: value for key, value in said.items() if key not in ("of", "transform")}
        inner = parse(of) if isinstance(of, str) else of
        own = {each.name for each in options_of(TRANSFORMS.get(str(said.get("transform")), Transform))} - {"of"}
        return own | (options_of_spec({**inner, **rest}) if isinstance(inner, Mapping) else set())
    parsed = parse(str(said.get("type")))
    if "of" in parsed:
        return options_of_spec(parsed)
    kind = method_type(parsed["type"], said)
    return {each.name for each in options_of(kind)} - set(kind.without_effect({**parsed, **said}))


def rows() -> list[dict[str, str]]:
    """Return the catalogue: name, summary, parts and source of each entry."""
    return [
        {"name": name, "summary": each.summary, "parts": method(each.spec).parts, "source": each.source}
        for name, each in ENTRIES.items()
    ]


def types() -> list[dict[str, Any]]:
    """Return the types that a spec may name: type, summary, and options with name, type, default, range and help."""
    captums = {f"captum:{name}": captum_type(name) for name in class_names()}
    return [_described("type", name, each) for name, each in [*METHODS.items(), *captums.items()]]


def transforms() -> list[dict[str, Any]]:
    """Return the transforms that a spec may name: transform, summary, and options as in ``types``."""
    return [_described("transform", name, each) for name, each in TRANSFORMS.items()]


def _described(what: str, name: str, each: type[Method]) -> dict[str, Any]:
    summary = (inspect.getdoc(each) or "").splitlines()[0]
    return {what: name, "summary": summary, "options": [option._asdict() for option in options_of(each)]}
