"""Suites: which methods are judged by which metrics, as data. The papers' tables, or a user's own TOML file."""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from quantus.helpers.enums import EvaluationCategory

from captum_gag.attr.catalogue import Method, UnknownMethodError, method
from captum_gag.baselines import Normalization
from captum_gag.errors import InputError
from captum_gag.metrics.base import TorchMetric
from captum_gag.metrics.register import METRICS
from captum_gag.specs import imported

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # Python 3.10

KEYS = {"title", "methods", "metrics", "n_samples", "confidence", "random_orderings", "published"}
OURS: dict[str, type[Any]] = {metric.__name__: metric for metric in METRICS}


@dataclass(frozen=True, eq=False)
class MethodSpec:
    """A method of a suite.

    Attributes:
        label (str): What its rows say.
        method (Method): From the catalogue, or of the user's own.
        n_samples (int): Gradients per image.
    """

    label: str
    method: Method
    n_samples: int

    @property
    def parameters(self) -> dict[str, Any]:
        """What decides its maps, besides model, image and seed."""
        return {"method": self.method.name, "n_samples": self.n_samples}


@dataclass(frozen=True, eq=False)
class MetricSpec:
    """A metric of a suite.

    Attributes:
        label (str): What its rows say.
        type (str): Its class: ``RCAP``, ``quantus:Sparseness``, or ``package.module:Class`` of the user's own.
        options (dict): Arguments of its class.
        lengths (tuple of int): For AOPC: a row for each number of steps L, called ``LABEL L=20``.
    """

    label: str
    type: str
    options: dict[str, Any]
    lengths: tuple[int, ...] = ()

    @property
    def labels(self) -> list[str]:
        """What its rows say: one label, or one for each length."""
        return [f"{self.label} L={length}" for length in self.lengths] or [self.label]

    @property
    def parameters(self) -> dict[str, Any]:
        """What decides its scores, besides the map and the model."""
        return {"metric": self.type, **self.options}

    def build(self, normalization: Normalization) -> Any:
        """Makes the metric.

        Raises:
            InputError: There is no such class, or it refuses the options.
        """
        made = OURS.get(self.type) or imported(self.type, "metric")
        try:
            takes = "normalization" in inspect.signature(made).parameters
            known = {"normalization": normalization} if takes else {}
            longest = {"n_steps": max(self.lengths)} if self.lengths else {}
            return made(disable_warnings=True, display_progressbar=False, **known, **longest, **self.options)
        except Exception as error:
            raise InputError(f"metric {self.label!r}: {' '.join(str(error).split())}") from error


@dataclass(frozen=True)
class Suite:
    """What is run for every image.

    Attributes:
        title (str): In words.
        methods (tuple of MethodSpec): In the order of the table.
        metrics (tuple of MetricSpec): In the order of the table.
        confidence (float): Images with less than that in their true class are left out.
        published (dict): Per metric, published values by method; and ``source``.
        data (dict): What the TOML file says.
    """

    title: str
    methods: tuple[MethodSpec, ...]
    metrics: tuple[MetricSpec, ...]
    confidence: float = 0.0
    published: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)


def suite_names() -> list[str]:
    """Lists the suites that come with the package."""
    folder = files("captum_gag.runs").joinpath("suites")
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def load_suite(name: str) -> Suite:
    """Reads a suite.

    Args:
        name (str): One of `suite_names`, or the path of a TOML file: ``title``; ``methods``, a list of names, or
            tables with ``name``, ``n_samples`` and ``label``; ``[metrics.LABEL]``, each with ``type`` and its
            arguments (AOPC also takes ``lengths``);
            ``n_samples`` (20), ``confidence`` (0), ``random_orderings`` (0), ``published``.

    A method's name is one of the catalogue's, or ``package.module:callable``, which is called with (model, inputs,
    targets, n_samples, seed) and returns attributions. A metric's type is a class of this package, or
    ``package.module:Class``: Quantus's own (``quantus:Sparseness``), or the user's, built and called as these are.

    Raises:
        InputError: There is no such suite, or it says something that has no meaning.
    """
    if name in suite_names():
        text = files("captum_gag.runs").joinpath("suites").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    elif Path(name).is_file():
        text = Path(name).read_text(encoding="utf-8")
    else:
        raise InputError(f"there is no suite {name!r}; expected {', '.join(suite_names())} or a TOML file")
    try:
        return make_suite(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, InputError) as error:
        raise InputError(f"suite {name}: {error}") from error


def make_suite(data: Mapping[str, Any]) -> Suite:
    """Makes a suite of what a TOML file says.

    Raises:
        InputError: It says something that has no meaning.
    """
    unknown = set(data) - KEYS
    if unknown:
        raise InputError(f"unknown key {sorted(unknown)[0]!r}; expected {', '.join(sorted(KEYS))}")
    if not data.get("methods") or not data.get("metrics"):
        raise InputError("expected at least one entry under methods, and one table [metrics.LABEL]")
    given = [each if isinstance(each, dict) else {"name": each} for each in data["methods"]]
    given += [{"name": f"Random:{seed}"} for seed in range(data.get("random_orderings", 0))]
    methods = [_method_spec(each, data.get("n_samples", 20)) for each in given]
    labels = [each.label for each in methods]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice:
        raise InputError(f"method {twice!r} comes twice; give one of them a label of its own")
    metrics = [_metric_spec(label, dict(options)) for label, options in data["metrics"].items()]
    return Suite(
        data.get("title", "own suite"),
        tuple(methods),
        tuple(metrics),
        float(data.get("confidence", 0.0)),
        dict(data.get("published", {})),
        dict(data),
    )


def digest(parameters: Mapping[str, Any]) -> str:
    """Gives a short hash of parameters, the same on every machine."""
    return hashlib.sha256(json.dumps(parameters, sort_keys=True, default=str).encode()).hexdigest()[:12]


def is_curve(metric: object) -> bool:
    """Tells whether a metric perturbs images, so that several are read in one pass."""
    return isinstance(metric, TorchMetric) and type(metric).plan is not TorchMetric.plan


def needs_segmentation(metric: object) -> bool:
    """Tells whether a metric looks where the saliency is, so that it needs a segmentation."""
    return getattr(metric, "evaluation_category", None) == EvaluationCategory.LOCALISATION


def _method_spec(given: dict[str, Any], n_samples: int) -> MethodSpec:
    name = given["name"]
    try:
        found = method(name)
    except UnknownMethodError as error:
        if ":" not in name:
            raise InputError(str(error)) from error
        found = Method(name, "of the user's own", name, "own", imported(name, "method"))
    return MethodSpec(given.get("label", found.name), found, given.get("n_samples", n_samples))


def _metric_spec(label: str, options: dict[str, Any]) -> MetricSpec:
    kind = options.pop("type", label)
    if kind not in OURS and ":" not in kind:
        expected = f"{', '.join(OURS)}, quantus:Class or package.module:Class"
        raise InputError(f"metric {label!r} has type {kind!r}; expected {expected}")
    spec = MetricSpec(label, kind, options, tuple(options.pop("lengths", ())))
    spec.build(((0.0,), (1.0,)))
    return spec
