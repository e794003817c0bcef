"""The cases of Huang & Liu (2024): data set, model and image size of each column of its tables."""

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


@declared
class Case:
    """A column of the paper's tables; each setting can be replaced by itself."""

    name: str = option(help="Name, as the option --case and the published values have it.")
    title: str = option(help="Data set and model.")
    data: str = option(help="Type of the data set.")
    model: str = option(help="Name of the model.")
    image_size: int | tuple[int, int] = option(help="Size of the model's input, in pixels.")
    classes: tuple[int, ...] = option(help="How many classes the model may have.")
    weights: str | None = option(default=None, help="Name of published weights; None where nobody publishes them.")
    confidence: float = option(default=0.9, help="Images with less in their true class are left out.", ge=0, le=1)
    n_samples: int = option(default=20, help="Gradients per image.", ge=1)
    assumed: dict[str, str] = option(default={}, help="What the paper leaves open, by the option that decides it.")

    def data_spec(self, text: str | None) -> dict[str, Any]:
        """Return the spec of a folder, of the case's type, or of a name; InputError for None."""
        if text is None:
            raise InputError(f"case {self.name} needs its photographs; give --data DIR, a data set of type {self.data}")
        return {"type": self.data, "root": text} if Path(text).is_dir() else parse_data(text)

    def model_spec(self, name: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the spec of a model by name, or of the case's for None, with the case's image size.

        An option for the size, or the transform of a user's own model, replaces the image size.
        """
        weights = {"weights": self.weights} if name is None and self.weights is not None else {}
        spec = {**parse_model(name or self.model), **weights, **options}
        source = model(spec)
        transforms = isinstance(source, OwnModel) and source.own_preprocessing().transform is not None
        sized = transforms or {"image_size", "crop", "preprocess"} & set(options)
        return spec if sized else {**spec, "image_size": self.image_size}

    def suite(self, suite: Mapping[str, Any]) -> dict[str, Any]:
        """Return a suite compared with the case's column, with the case's settings where it has none."""
        return {"n_samples": self.n_samples, "confidence": self.confidence, **suite, "case": self.name}

    def require_fitting(self, spec: Mapping[str, Any]) -> None:
        """Raise InputError if a torchvision model has no weights, or another number of classes than the case."""
        source = model(spec)
        if not isinstance(source, Torchvision):
            return
        expected = " or ".join(map(str, self.classes))
        if source.weights is None and self.weights is None:
            raise InputError(
                f"case {self.name} needs weights of {source.name} for its {expected} classes, and torchvision "
                "publishes none; give --weights FILE, a state dict, or another --model"
            )
        if source.n_classes() not in self.classes:
            raise InputError(
                f"case {self.name} has {expected} classes, and the weights of {source.name} have "
                f"{source.n_classes()}; give --weights of a network for these classes"
            )

    def assumptions(self, options: Mapping[str, Any]) -> list[str]:
        """Return the assumptions made where the paper is silent: one for each option that is None or absent."""
        return [text for name, text in self.assumed.items() if options.get(name) is None]


def case_names() -> list[str]:
    """Return the names of the cases, in the paper's order."""
    return list(_cases())


def case(name: str) -> Case:
    """Return a case by name; InputError if there is no such case."""
    if name not in _cases():
        raise unknown("case", name, _cases())
    return _cases()[name]


@cache
def _cases() -> dict[str, Case]:
    text = files("captum_gag.papers").joinpath("cases.toml").read_text(encoding="utf-8")
    return {name: Case(name=name, **settings) for name, settings in tomllib.loads(text).items()}
