"""The paper's methods by name: each a row of parts, a host's own method, or a control."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from captum_gag.attr import captum_methods as hosts
from captum_gag.attr.aggregations import Aggregation, GuidedMean, Mean, Variance
from captum_gag.attr.captum_methods import Explain
from captum_gag.attr.control_maps import constant_map, edge_map, random_map, seeded_random_map
from captum_gag.attr.grad_cam import grad_cam
from captum_gag.attr.gradient_sources import guided_backpropagation
from captum_gag.attr.interpretations import Interpretation, absolute, negative, positive, signed
from captum_gag.attr.map_transforms import MADE_OVER
from captum_gag.attr.modifications import GaussianNoise, Modification
from captum_gag.attr.paths import BlurPath, GuidedPath, StraightPath
from captum_gag.attr.saliency import saliency_map
from captum_gag.attr.sampled_gradients import GradientSource, SampledGradients

NOISE_LEVEL = 0.15


class Recipe(NamedTuple):
    """Where gradients are taken, how each is read, and how they become one attribution."""

    family: str
    interpretation: Interpretation
    aggregation: Aggregation


@dataclass(frozen=True)
class Method:
    """One way to explain an image classifier.

    Attributes:
        name: As in the paper's tables.
        summary: What it is, in one line.
        parts: Its modification, interpretation and aggregation, or the host's class.
        source: Where it was published.
        explain: The method itself; call ``attribute`` instead.
        original: The method whose map this one makes over, if it does.
        make_over: What it does: (the original's attributions, seed) -> attributions.
        recipe: Its parts, where it is put together from parts.
    """

    name: str
    summary: str
    parts: str
    source: str
    explain: Explain
    original: Method | None = None
    make_over: Callable[[Tensor, int | None], Tensor] | None = None
    recipe: Recipe | None = None

    def attribute(
        self,
        model: nn.Module,
        inputs: Tensor,
        target: int | list[int] | Tensor,
        n_samples: int = 20,
        seed: int | None = 0,
    ) -> Tensor:
        """Explain a batch of images.

        Args:
            model: Classifier, images (N, C, H, W) to scores (N, classes).
            inputs: Images (N, C, H, W).
            target: Class of all images, or of each.
            n_samples: Gradients per image, for methods that sample: noisy versions, or steps of a path.
            seed: Fixes noise and random maps; None draws from torch's global generator.

        Returns:
            Attributions (N, C, H, W), or (N, 1, H, W) from methods that give one value per pixel.
        """
        targets = torch.as_tensor(target, device=inputs.device).long().reshape(-1).expand(len(inputs))
        return self.explain(model, inputs, targets, n_samples, seed).detach()


class Family(NamedTuple):
    """What the variants of one method have in common: where its gradients are taken, and by what."""

    modification: Callable[[int, int | None], Modification]
    gradient_source: GradientSource | None
    summary: str
    source: str


class Variant(NamedTuple):
    """How a variant reads and aggregates gradients; aggregation takes the guide's percentile."""

    interpretation: Interpretation
    aggregation: Callable[[float], Aggregation]
    summary: str


FAMILIES: dict[str, Family] = {
    "SG": Family(
        lambda n, seed: GaussianNoise(n, noise_level=NOISE_LEVEL, seed=seed), None, "noisy gradients", "Smilkov 2017"
    ),
    "IG": Family(lambda n, seed: StraightPath(n), None, "gradients on the line from 0", "Sundararajan 2017"),
    "Guided IG": Family(lambda n, seed: GuidedPath(n), None, "gradients on a guided path", "Kapishnikov 2021"),
    "Blur IG": Family(lambda n, seed: BlurPath(n), None, "gradients on a blurring path", "Xu 2020"),
    "GB": Family(
        lambda n, seed: GaussianNoise(n, noise_level=NOISE_LEVEL, seed=seed),
        guided_backpropagation,
        "noisy guided-backpropagation gradients",
        "Springenberg 2015",
    ),
}

VARIANTS: dict[str, Variant] = {
    "": Variant(signed, lambda p: Mean(), "mean of"),
    "+": Variant(positive, lambda p: Mean(), "mean of the positive part of"),
    "-": Variant(negative, lambda p: Mean(), "mean of the negative part of"),
    "A": Variant(absolute, lambda p: Mean(), "mean magnitude of"),
    "G": Variant(signed, GuidedMean, "mean, guided by variance, of"),
    "GA": Variant(absolute, GuidedMean, "mean magnitude, guided by variance, of"),
    "Var": Variant(signed, lambda p: Variance(), "variance of"),
}

HUANG = "Huang & Liu 2024"


class UnknownMethodError(ValueError):
    """There is no method of that name."""


def row(name: str, family: str, variant: str, percentile: float = 85.0, source: str | None = None) -> Method:
    """Put a method together from a row of ``FAMILIES`` and one of ``VARIANTS``."""
    where, how = FAMILIES[family], VARIANTS[variant]
    aggregation = how.aggregation(percentile)

    def explain(model: nn.Module, inputs: Tensor, target: Tensor, n_samples: int, seed: int | None) -> Tensor:
        sampler = SampledGradients(
            model, where.modification(n_samples, seed), how.interpretation, aggregation, where.gradient_source
        )
        attributions: Tensor = sampler.attribute(inputs, target=target)
        return attributions

    parts = [type(where.modification(2, 0)).__name__, how.interpretation.__name__, repr(aggregation)]
    if where.gradient_source:
        parts.append(where.gradient_source.__name__)
    summary = f"{how.summary} {where.summary}"
    recipe = Recipe(family, how.interpretation, aggregation)
    return Method(name, summary, " x ".join(parts), source or where.source, explain, recipe=recipe)


def _guided_backprop(model: nn.Module, inputs: Tensor, target: Tensor, n_samples: int, seed: int | None) -> Tensor:
    itself = GaussianNoise(1, stdevs=0.0, seed=0)
    gradients: Tensor = SampledGradients(model, itself, gradient_source=guided_backpropagation).attribute(
        inputs, target=target
    )
    return gradients


ENTRIES: dict[str, Method] = {
    method.name: method
    for method in (
        *(row(f"GAG-{p}", "SG", "GA", p, HUANG) for p in (0, 15, 25, 45, 65, 85)),
        Method("VG", "the gradient", "captum.attr.Saliency", "Simonyan 2014", hosts.saliency(magnitude=False)),
        row("SG", "SG", ""),
        row("VarGrad", "SG", "Var", source="Adebayo 2018"),
        row("IG", "IG", ""),
        Method("GB", "guided backpropagation", "captum.attr.GuidedBackprop", "Springenberg 2015", _guided_backprop),
        row("Guided IG", "Guided IG", ""),
        row("Blur IG", "Blur IG", ""),
        Method("Grad-CAM", "weighted feature maps", "captum.attr.LayerGradCam", "Selvaraju 2017", grad_cam()),
        *(
            row(f"{family}{mark}" if mark in "+-" else f"{family}-{mark}", family, mark, source=HUANG)
            for family in FAMILIES
            for mark in ("+", "-", "A", "G", "GA")
        ),
        Method(
            "Saliency",
            "magnitude of the gradient",
            "captum.attr.Saliency",
            "Simonyan 2014",
            hosts.saliency(magnitude=True),
        ),
        Method(
            "SmoothGrad",
            "mean of noisy gradients",
            "captum.attr.NoiseTunnel",
            "Smilkov 2017",
            hosts.noise_tunnel("smoothgrad", NOISE_LEVEL),
        ),
        Method(
            "VarGrad (Captum)",
            "variance of noisy gradients",
            "captum.attr.NoiseTunnel",
            "Adebayo 2018",
            hosts.noise_tunnel("vargrad", NOISE_LEVEL),
        ),
        Method(
            "Sensitivity",
            "largest magnitude of the gradient over the channels",
            "captum.attr.Saliency",
            "Simonyan 2014",
            hosts.sensitivity,
        ),
        Method(
            "Gradient x Input",
            "gradient times input",
            "captum.attr.InputXGradient",
            "Shrikumar 2016",
            hosts.gradient_x_input,
        ),
        Method(
            "DeepSHAP",
            "DeepLIFT against random colours",
            "captum.attr.DeepLiftShap",
            "Lundberg 2017",
            hosts.deep_shap,
        ),
        Method("Deep Taylor", "LRP with the z+ rule", "captum.attr.LRP", "Montavon 2017", hosts.deep_taylor),
        Method("Random", "control: uniform random values", "-", "control", random_map),
        Method("Sobel", "control: edges of the image", "-", "control", edge_map),
        Method("Constant", "control: the same everywhere", "-", "control", constant_map),
    )
}

_ALIASES = {"vanillagradient": "VG", "gag": "GAG-85", "gradcam": "Grad-CAM", "edge": "Sobel"}
_BY_KEY = {re.sub(r"\s", "", name).lower(): name for name in ENTRIES}
_GUIDED = re.compile(r"(?P<base>gag|.+-ga?)-?(?P<percentile>\d+(\.\d+)?)$")


def method(name: str) -> Method:
    """Look a method up.

    Args:
        name: As in the paper's tables, whatever the case and the spaces: "GAG-85" (with any percentile), "SG+",
            "Guided IG-GA" (or "-GA70" for another percentile), "Grad-CAM" (or "Grad-CAM:layer4.1" for a named layer),
            "Random" (or "Random:7" for the ordering of seed 7), and any of them with "^R" (or "-R") for its reversed
            map (Proposition 1), "^sharp", "^binary" or "^pixel" for one that is made over to fool a metric.

    Raises:
        UnknownMethodError: A ValueError, if there is no such method; the message names close ones.
    """
    changed = re.fullmatch(rf"(?P<base>.+)(\^(?P<change>{'|'.join(MADE_OVER)})|-R)", name.strip(), re.IGNORECASE)
    if changed:
        return _make_over(method(changed["base"]), changed["change"] or "R")
    key, _, detail = name.strip().partition(":")
    key = re.sub(r"\s", "", key).lower()
    found = _ALIASES.get(key) or _BY_KEY.get(key)
    if detail and found == "Grad-CAM":
        return Method(f"Grad-CAM:{detail}", *_fields(ENTRIES["Grad-CAM"]), grad_cam(detail))
    if detail.isdecimal() and found == "Random":
        return Method(f"Random:{int(detail)}", *_fields(ENTRIES["Random"]), partial(seeded_random_map, int(detail)))
    if found and not detail:
        return ENTRIES[found]
    guided = _GUIDED.fullmatch(key)
    percentile = float(guided["percentile"]) if guided else -1.0
    if guided and 0 <= percentile <= 100 and not detail:
        if guided["base"] == "gag":
            return row(f"GAG-{percentile:g}", "SG", "GA", percentile, HUANG)
        if guided["base"] in _BY_KEY:
            base = _BY_KEY[guided["base"]]
            family, _, mark = base.rpartition("-")
            return row(f"{base}{percentile:g}", family, mark, percentile, HUANG)
    close = difflib.get_close_matches(name, [*ENTRIES, *_BY_KEY], cutoff=0.4) or list(ENTRIES)[:8]
    known = ", ".join(dict.fromkeys(_BY_KEY.get(each, each) for each in close))
    raise UnknownMethodError(f"There is no method {name!r}; expected a name such as {known}.")


def _fields(entry: Method) -> tuple[str, str, str]:
    return entry.summary, entry.parts, entry.source


def _make_over(original: Method, change: str) -> Method:
    """Give the method whose maps are another's, made over as ``MADE_OVER`` says."""
    name = next(name for name in MADE_OVER if name.lower() == change.lower())
    alter, what = MADE_OVER[name]

    def make_over(attributions: Tensor, seed: int | None) -> Tensor:
        return alter(saliency_map(attributions), seed).unsqueeze(1)

    def explain(model: nn.Module, inputs: Tensor, target: Tensor, n_samples: int, seed: int | None) -> Tensor:
        return make_over(original.attribute(model, inputs, target, n_samples, seed), seed)

    summary, parts, _ = _fields(original)
    return Method(f"{original.name}^{name}", f"{what} of: {summary}", parts, HUANG, explain, original, make_over)


def rows() -> list[dict[str, str]]:
    """List all entries: name, summary, parts, source."""
    return [
        dict(zip(("name", "summary", "parts", "source"), (n, *_fields(m)), strict=True)) for n, m in ENTRIES.items()
    ]
