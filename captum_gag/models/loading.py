"""A network with its preprocessing, on a device."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

import torch
from PIL import Image
from torch import nn
from torchvision.transforms import InterpolationMode

from captum_gag.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, Size
from captum_gag.outputs import Output
from captum_gag.tensors import require_device


class Classifier(Preprocessing):
    """A classification network with everything needed to feed it a photograph.

    Attributes:
        name: What to call it in messages.
        model: (N, 3, crop, crop) to what ``output`` says of (N, classes); in eval mode once it is loaded.
        device: Where the model is.
        output: What the model returns: "logits", "probabilities", "logit" (one column), "sigmoid" (a score per label),
            "log_probabilities", a callable from that to probabilities (N, classes), or "auto".
    """

    def __init__(
        self,
        name: str,
        model: nn.Module,
        mean: tuple[float, ...] = IMAGENET_MEAN,
        std: tuple[float, ...] = IMAGENET_STD,
        resize: Size = 256,
        crop: Size = 224,
        labels: list[str] | None = None,
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        device: str = "cpu",
        *,
        channels: int = 3,
        transform: Callable[[Image.Image], Any] | None = None,
        output: Output = "auto",
    ) -> None:
        """Put a network and its preprocessing together: for the arguments see the attributes, and ``Preprocessing``.

        Raises:
            InputError: A number has no meaning, such as a std of 0.
        """
        super().__init__(mean, std, resize, crop, labels, interpolation, channels, transform)
        self.name, self.model, self.device, self.output = name, model, device, output

    def on(self, device: str) -> Classifier:
        """Return it on a device, in eval mode; the network itself is moved.

        Raises:
            InputError: The device is not available.
        """
        require_device(device)
        model = _evaluating(self.model.to(device))
        moved = copy(self)
        moved.model, moved.device = model, device
        return moved


def _evaluating(model: nn.Module) -> nn.Module:
    try:
        return model.eval()
    # What torch.export made is of one mode for good, and refuses to be asked.
    except NotImplementedError:
        for module in model.modules():
            module.training = False
        return model


def best_device() -> str:
    """Return the name of the GPU's device if there is one, else ``cpu``."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def name_of(output: Any) -> str:
    """Return the declaration of a model's outputs as text: its name, or ``package.module:callable``."""
    if isinstance(output, str):
        return output
    return f"{getattr(output, '__module__', '')}:{getattr(output, '__qualname__', type(output).__name__)}"
