"""Captum's Grad-CAM at the size of the image, with a layer found by itself or named."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from captum.attr import LayerAttribution, LayerGradCam
from torch import Tensor, nn

from captum_gag.attr.methods import Method, named
from captum_gag.attr.sampled_gradients import gradients_per_batch
from captum_gag.errors import InputError
from captum_gag.specs import declared, option


@named("Grad-CAM")
@declared
class GradCam(Method):
    """Weighted feature maps of a layer: positive part, at the size of the image by bilinear interpolation."""

    built_from = "captum.attr.LayerGradCam"

    layer: str | None = option(
        default=None, help="Name of a module, as in model.get_submodule; None: the last feature map."
    )

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Return maps (N, 1, H, W)."""
        module = last_feature_map(model, inputs[:1]) if self.layer is None else named_layer(model, self.layer)
        size = gradients_per_batch(inputs, len(inputs))
        cam = LayerGradCam(model, module)
        found = [
            cam.attribute(images, target=labels, relu_attributions=True).detach()
            for images, labels in zip(inputs.split(size), targets.split(size), strict=True)
        ]
        upsampled: Tensor = LayerAttribution.interpolate(torch.cat(found), tuple(inputs.shape[-2:]), "bilinear")
        return upsampled


def named_layer(model: nn.Module, layer: str) -> nn.Module:
    """Return a module of a model by its name.

    Raises:
        InputError: There is none of that name.
    """
    try:
        return model.get_submodule(layer)
    except AttributeError:
        names = ", ".join(name for name, _ in model.named_children())
        raise InputError(f"The model has no layer {layer!r}; its outermost ones are {names}.") from None


@torch.no_grad()
def last_feature_map(model: nn.Module, image: Tensor) -> nn.Module:
    """Find the last module, in the order of a forward pass, whose output is a map (1, channels, H > 1, W > 1).

    For torchvision's convolutional classifiers this is what the papers use: ``layer4`` of a ResNet, ``features`` of a
    DenseNet, EfficientNet or VGG. A module that runs more than once in a pass has no single output and is not taken.

    Raises:
        InputError: If there is none, or the model attends (a transformer): name a layer then.
    """
    finished: list[nn.Module] = []

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and min(output.shape[-2:]) > 1:
            finished.append(module)

    handles = [module.register_forward_hook(note) for module in model.modules() if module is not model]
    try:
        model(image)
    finally:
        for handle in handles:
            handle.remove()
    times = Counter(map(id, finished))
    once = [module for module in finished if times[id(module)] == 1]
    if not once or any(isinstance(module, nn.MultiheadAttention) for module in model.modules()):
        raise InputError("Grad-CAM finds no convolutional feature map in this model; name a layer: 'Grad-CAM:LAYER'.")
    return once[-1]
