"""A network with its preprocessing, and weights that are read without running code from their file."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from copy import copy
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present
from torchvision.transforms import InterpolationMode

from captum_gag.errors import InputError, first_line
from captum_gag.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing


class Classifier(Preprocessing):
    """A classification network with everything needed to feed it a photograph.

    Attributes:
        name: What to call it in messages.
        model: (N, 3, crop, crop) to logits (N, classes); in eval mode once it is loaded.
        device: Where the model is.
    """

    def __init__(
        self,
        name: str,
        model: nn.Module,
        mean: tuple[float, ...] = IMAGENET_MEAN,
        std: tuple[float, ...] = IMAGENET_STD,
        resize: int = 256,
        crop: int = 224,
        labels: list[str] | None = None,
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        device: str = "cpu",
    ) -> None:
        """Put a network and its preprocessing together.

        Args:
            name: What to call it in messages.
            model: (N, 3, crop, crop) to logits (N, classes).
            mean: Of the input's normalisation, for pixels in [0, 1], a number per channel.
            std: Like mean.
            resize: Length in pixels that the shorter side of a photograph is resized to, before the crop.
            crop: Side in pixels of the central square that the network sees.
            labels: The name of each class; None if they are not known.
            interpolation: How the photograph is resized.
            device: Where the model is.
        """
        super().__init__(mean, std, resize, crop, labels, interpolation)
        self.name, self.model, self.device = name, model, device

    def on(self, device: str) -> Classifier:
        """Return it on a device, in eval mode; the network itself is moved.

        Raises:
            InputError: The device is not available.
        """
        try:
            model = self.model.to(device).eval()
        # Torch answers an unknown or missing device with any of these, depending on how it was built.
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise InputError(f"device {device!r} cannot be used here: {first_line(error)}") from error
        moved = copy(self)
        moved.model, moved.device = model, device
        return moved


def read_state(path: Path) -> dict[str, Tensor]:
    """Read weights from a file.

    Args:
        path: ``.safetensors``, or a file of ``torch.save``, which is read without running any code from it. The
            state dict may be below the keys ``state_dict`` or ``model``, and its names may begin with ``module.``.

    Returns:
        Tensors on the CPU, by the name of the parameter.

    Raises:
        InputError: It cannot be read, or holds something else; in one line.
    """
    import safetensors.torch

    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(f"{path}: refused, as it holds more than tensors and reading it could run code") from error
    # Broken archives raise RuntimeError, EOFError, UnicodeDecodeError, SafetensorError and more.
    except Exception as error:
        raise InputError(f"{path}: cannot be read as weights: {first_line(error)}") from error
    for key in ("state_dict", "model"):
        state = state.get(key, state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(
            f"{path}: expected a state dict, from parameter names to tensors; found another {type(state).__name__}"
        )
    consume_prefix_in_state_dict_if_present(state, "module.")
    return state


def load_state(model: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Load weights into a network.

    Args:
        model: Gets them.
        state: By the name of the parameter.
        name: What to call the network in the message.

    Raises:
        InputError: They do not fit.
    """
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"the weights do not fit {name}: {reason[:300]}") from error


def best_device() -> str:
    """Return the name of the GPU's device if there is one, else ``cpu``."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
