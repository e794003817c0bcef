"""A network with its preprocessing, on a device."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode, functional

from captum_gag.errors import InputError, shown
from captum_gag.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, Size
from captum_gag.outputs import Output
from captum_gag.tensors import require_device

FED_BY = ("mean", "std", "resize", "crop", "interpolation", "channels")
"""What the preprocessing of a photograph is, where it is no transform of the user's."""


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

    def identity(self) -> dict[str, str]:
        """Return what outputs depend on beside weights: preprocessing, and versions of the packages of its modules."""
        names = ("mean", "std", "channels") if self.transform is not None else FED_BY
        fed = {name: str(getattr(self, name)) for name in names}
        if self.transform is not None:
            # Where in memory a function is differs from process to process.
            fed["transform"] = re.sub(r" at 0x[0-9a-f]+", "", repr(self.transform))
        found = {"preprocessing": ", ".join(f"{name} {value}" for name, value in fed.items())}
        for package in sorted({type(module).__module__.partition(".")[0] for module in self.model.modules()}):
            # What is not installed is the user's own, and known by its code.
            with suppress(PackageNotFoundError):
                found[f"version of {package}"] = version(package)
        return found

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


def tensor_classifier(
    model: nn.Module, image: Tensor, normalization: Any, labels: list[str] | None, output: Output
) -> Classifier:
    """Return a model with the preprocessing of one that takes tensors as they are, on its own device.

    Args:
        model: In evaluation mode; it is not changed.
        image: One that it takes, (C, H, W). Photographs, by which a model is probed, are resized to its size.
        normalization: (mean, std) of its values for pixels in [0, 1], each a number or one per channel; None: (0, 1).
        labels: Names of the classes; None if they are not known.
        output: See ``Classifier``.

    Raises:
        InputError: The normalization is another.
    """
    channels, *size = image.shape
    given = (0.0, 1.0) if normalization is None else normalization
    try:
        mean, std = (np.ravel(np.asarray(value, float)).tolist() for value in given)
        mean, std = (tuple(np.broadcast_to(value, channels).tolist()) for value in (mean, std))
    # Not two, not numbers, or of other channels.
    except (TypeError, ValueError) as error:
        raise InputError(
            f"normalization is {shown(normalization)}, must be (mean, std), each a number or one for each of "
            f"{channels} channels"
        ) from error

    def preprocess(photo: Image.Image | Tensor) -> Tensor:
        if isinstance(photo, Tensor):
            return photo
        resized = functional.resize(photo if channels == 3 else photo.convert("L"), size)
        pixels = functional.pil_to_tensor(resized).to(torch.float32).div(255).expand(channels, *size)
        normalised: Tensor = functional.normalize(pixels, list(mean), list(std))
        return normalised

    device = next((str(each.device) for each in (*model.parameters(), *model.buffers())), "cpu")
    fed: Any = {"transform": preprocess, "crop": tuple(size), "labels": labels, "device": device, "output": output}
    return Classifier(type(model).__name__, model, mean, std, **fed)


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
