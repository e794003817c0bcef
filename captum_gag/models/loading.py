"""A network with its preprocessing, on a device."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

import torch
from PIL import Image
from torch import nn
from torchvision.transforms import InterpolationMode

from captum_gag.errors import InputError, first_line
from captum_gag.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, Size
from captum_gag.outputs import Output


class Classifier(Preprocessing):
    """A classification network with everything needed to feed it a photograph.

    Attributes:
        name: What to call it in messages.
        model: (N, 3, crop, crop) to what ``output`` says of (N, classes); in eval mode once it is loaded.
        device: Where the model is.
        output: What the model returns; see ``captum_gag.outputs.OUTPUT_HELP``.
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
        """Put a network and its preprocessing together.

        Args:
            name: What to call it in messages.
            model: (N, 3, crop, crop) to scores (N, classes).
            mean: Of the input's normalisation, for pixels in [0, 1], a number per channel.
            std: Like mean.
            resize: Length in pixels that the shorter side of a photograph is resized to, before the crop; or (height,
                width).
            crop: Side in pixels of the central square that the network sees; or (height, width).
            labels: The name of each class; None if they are not known.
            interpolation: How the photograph is resized.
            device: Where the model is.
            channels: 3, or 1 for photographs in grey.
            transform: Instead of resize, crop and normalisation: from a PIL image of mode RGB to a tensor (C, H, W);
                mean and std say how it normalises.
            output: What the model returns: "logits", "probabilities", "logit" (one column), "sigmoid" (a score per
                label), "log_probabilities", a callable from that to probabilities (N, classes), or "auto".

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
        try:
            if torch.device(device).type == "meta":
                raise RuntimeError("it holds no numbers")
            model = _evaluating(self.model.to(device))
        # Torch answers an unknown or missing device with any of these, depending on how it was built.
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise InputError(f"device {device!r} cannot be used here: {first_line(error)}") from error
        moved = copy(self)
        moved.model, moved.device = model, device
        return moved


def _evaluating(model: nn.Module) -> nn.Module:
    """Return a network in eval mode."""
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
    """Return what a model returns as text: a name of its own, or ``package.module:callable``."""
    if isinstance(output, str):
        return output
    return f"{getattr(output, '__module__', '')}:{getattr(output, '__qualname__', type(output).__name__)}"
