"""The cases of Huang & Liu (2024): data set, model, image size, as the paper fixes them, each replaceable by itself."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from captum_gag.errors import InputError
from captum_gag.files import tomllib
from captum_gag.models.catalogue import model
from captum_gag.models.sources import OwnModel, Torchvision
from captum_gag.names import parse_data, parse_model
from captum_gag.options import declared, option, unknown

SIZES = ("image_size", "crop", "preprocess")
"""Options of a model that say what it sees."""


@declared
class Case:
    """A column of the paper's tables, as data."""

    name: str = option(help="What the option --case and the published values call it.")
    title: str = option(help="Data set and model.")
    data: str = option(help="Type of the data set.")
    model: str = option(help="Name of the model.")
    image_size: int | tuple[int, int] = option(help="What the model sees, in pixels.")
    classes: tuple[int, ...] = option(help="How many classes the model may have.")
    weights: str | None = option(default=None, help="Name of published weights; None where nobody publishes them.")
    confidence: float = option(default=0.9, help="Images with less in their true class are left out.", ge=0, le=1)
    n_samples: int = option(default=20, help="Gradients per image.", ge=1)
    assumed: dict[str, str] = option(default={}, help="What the paper does not say, by the option that says otherwise.")

    def data_spec(self, text: str | None) -> dict[str, Any]:
        """Return the spec of the data set: a folder is of the case's type, and what names a type is of that.

        Raises:
            InputError: There is none.
        """
        if text is None:
            raise InputError(f"case {self.name} needs its photographs; give --data DIR, a data set of type {self.data}")
        return {"type": self.data, "root": text} if Path(text).is_dir() else parse_data(text)

    def model_spec(self, name: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the spec of the model, of the case's image size.

        Args:
            name: Of a model instead of the case's; None for that, with its weights.
            options: Of the model. One that says what the model sees counts more than the case's image size, and so does
                a transform that a model of the user's comes with.
        """
        published = {"weights": self.weights} if name is None and self.weights is not None else {}
        spec = {**parse_model(name or self.model), **published, **options}
        made = model(spec)
        own = isinstance(made, OwnModel) and made.own_preprocessing().transform is not None
        return spec if own or set(SIZES) & set(options) else {**spec, "image_size": self.image_size}

    def suite(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a suite says, with what the case fixes where it does not say, compared with the case's column."""
        return {"n_samples": self.n_samples, "confidence": self.confidence, **said, "case": self.name}

    def require_fitting(self, spec: Mapping[str, Any]) -> None:
        """Refuse a model of torchvision that has other classes than the data set of the case.

        Args:
            spec: Type and options of the model.

        Raises:
            InputError: It has, or it has no weights.
        """
        asked = model(spec)
        if not isinstance(asked, Torchvision):
            return
        wanted = " or ".join(map(str, self.classes))
        if asked.weights is None and self.weights is None:
            raise InputError(
                f"case {self.name} needs weights of {asked.name} for its {wanted} classes, and torchvision publishes "
                "none; give --weights FILE, a state dict, or another --model"
            )
        found = asked.n_classes()
        if found not in self.classes:
            raise InputError(
                f"case {self.name} has {wanted} classes, and the weights of {asked.name} have {found}; give --weights "
                "of a network for these classes"
            )

    def assumptions(self, given: Mapping[str, Any]) -> list[str]:
        """Return what is assumed where the paper says nothing.

        Args:
            given: Options by name, None for those that are not given, for which nothing has to be assumed.
        """
        return [said for name, said in self.assumed.items() if given.get(name) is None]


def case_names() -> list[str]:
    """Return the names of the cases, in the paper's order."""
    return list(_stored())


def case(name: str) -> Case:
    """Return a case by name.

    Raises:
        InputError: There is no such case.
    """
    stored = _stored()
    if name not in stored:
        raise unknown("case", name, stored)
    return Case(name=name, **stored[name])


@cache
def _stored() -> dict[str, dict[str, Any]]:
    return dict(tomllib.loads(files("captum_gag.papers").joinpath("cases.toml").read_text(encoding="utf-8")))
