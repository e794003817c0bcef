"""Which options a class of Captum has: read from its signatures, with the help of its docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, get_args

import captum.attr
from torch import Tensor

from captum_gag.errors import InputError
from captum_gag.options import option, unknown

BATCH_OPTIONS = ("internal_batch_size", "perturbations_per_eval", "nt_samples_batch_size")

# What a method gives by itself, or what changes the form of the result.
_NOT_OPTIONS = {"self", "model", "forward_func", "device_ids", "inputs", "target", "additional_forward_args"}
_NOT_OPTIONS |= {"return_convergence_delta", "return_input_shape", "show_progress", "verbose"}

# What a spec says in its own words, as it cannot hold modules and tensors.
_OWN_WORDS: dict[str, tuple[Any, str]] = {
    "layer": (str, "Name of a module of the model, as in model.get_submodule, such as layer4.1."),
    "attribution_method": (str, "Class of captum.attr that explains the noisy images, such as Saliency."),
    "feature_mask": (int | Tensor | None, "Side in pixels of square regions that count as one; None: each value."),
}
_REFERENCES = (float | str | Tensor, 'What is compared with: a number, "random" (colours), "train", or a folder.')
_START = (float | Tensor | None, "What replaces the image: a number, in model space; None is 0.")
_N_REFERENCES = "How many references, where they are random or images."


class CaptumOption(NamedTuple):
    """One option of a class of Captum.

    Attributes:
        type: Its Python type.
        declared: Its declaration, see ``options.option``.
        required: Whether it must be given.
    """

    type: Any
    declared: Any
    required: bool


def class_names() -> list[str]:
    """Return the names of the classes of ``captum.attr`` that explain images."""
    return [name for name in sorted(dir(captum.attr)) if _explains_images(name)]


def captum_class(name: str) -> Any:
    """Return a class of ``captum.attr``.

    Raises:
        InputError: There is none of that name that explains images.
    """
    if not _explains_images(name):
        raise unknown("class of captum.attr", name, class_names())
    return getattr(captum.attr, name)


def own_parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters of a constructor or an ``attribute`` method that are options."""
    parameters = inspect.signature(function).parameters
    return {
        name: each
        for name, each in parameters.items()
        if name not in _NOT_OPTIONS and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
    }


def captum_options(cls: type) -> dict[str, CaptumOption]:
    """Return the options of a class of Captum, of its constructor and of its ``attribute``, the required ones first."""
    help_of = _described(cls)
    functions: list[Any] = [cls.__init__, cls.attribute]  # type: ignore[misc, attr-defined]
    found: dict[str, CaptumOption] = {}
    for function in functions:
        for name, each in own_parameters(function).items():
            required = each.default is each.empty
            kind, said = _OWN_WORDS.get(name, (_kind(each.annotation), help_of.get(name, "See Captum.")))
            default, limits = ... if required else each.default, {}
            # A function of Captum's own is its business: None leaves it in place.
            default = None if callable(default) else default
            if name == "baselines":
                kind, said = _REFERENCES if required else _START
            elif name in BATCH_OPTIONS:
                kind, default, limits = int | None, None, {"ge": 1}
                said = "How many at once; None picks a number, and a smaller one when memory runs out."
            found[name] = CaptumOption(kind, option(default, said, **limits), required)
            if name == "baselines" and required:
                found["n_references"] = CaptumOption(int, option(20, _N_REFERENCES, ge=1), False)
    return dict(sorted(found.items(), key=lambda item: not item[1].required))


def summary(cls: type) -> str:
    """Return the first sentence of a class's docstring."""
    return _first_sentence(inspect.getdoc(cls) or cls.__name__)


def check_wraps(name: str, wrapped: str) -> None:
    """Refuse a noise tunnel around a noise tunnel.

    Raises:
        InputError: ``wrapped`` is the class itself.
    """
    if wrapped == name:
        raise InputError(f"captum:{name} cannot explain with itself; expected attribution_method such as Saliency")


def _explains_images(name: str) -> bool:
    found = getattr(captum.attr, name, None)
    if not isinstance(found, type) or not hasattr(found, "attribute") or name == "LimeBase":
        return False
    first = list(inspect.signature(found.__init__).parameters)[1]  # type: ignore[misc]
    return first in ("model", "forward_func", "attribution_method")


def _kind(annotation: Any) -> Any:
    """Return an annotation that can be checked; Any for those of Captum's own generic types."""

    def unclear(each: Any) -> bool:
        return isinstance(each, TypeVar | str) or each is inspect.Parameter.empty or any(map(unclear, get_args(each)))

    return Any if unclear(annotation) else annotation


def _described(cls: Any) -> dict[str, str]:
    """Return what the docstrings say of each parameter, in a sentence."""
    found: dict[str, str] = {}
    parameter = re.compile(r"^ *(\w+) *\((?:[^()]|\([^()]*\))*\) *: *", re.MULTILINE)
    for text in (inspect.getdoc(each) or "" for each in (cls, cls.__init__, cls.attribute)):
        starts = list(parameter.finditer(text))
        for place, start in enumerate(starts):
            end = starts[place + 1].start() if place + 1 < len(starts) else len(text)
            found.setdefault(start[1], _first_sentence(text[start.end() : end].split("\n\n")[0]))
    return found


def _first_sentence(text: str) -> str:
    words = " ".join(text.split("\n\n")[0].split())
    sentence = re.split(r"(?<!e\.g)(?<!i\.e)(?<!et)(?<!al)\. | Default:", words)[0].rstrip(".:")
    return f"{sentence}." if len(sentence) <= 160 else sentence[:157].rsplit(" ", 1)[0].rstrip(",") + " ..."
