"""Networks that are a type each, so that the type is all of their name."""

from __future__ import annotations

from captum_gag.models.base import ModelSpec
from captum_gag.models.cifar10 import Cifar10
from captum_gag.models.efficientnet_lite import Demo, EfficientNetLite0, EfficientNetLite1, EfficientNetLite2
from captum_gag.models.planted import PlantedModel

NETWORKS: dict[str, type[ModelSpec]] = {
    each.type: each for each in (Demo, EfficientNetLite0, EfficientNetLite1, EfficientNetLite2, Cifar10, PlantedModel)
}
