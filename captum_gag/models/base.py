"""Models as data: their weights, the meaning of their outputs, and their preprocessing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from annotated_types import Ge
from pydantic import AfterValidator
from torch import Tensor
from torchvision.transforms import InterpolationMode
from typing_extensions import Self

from captum_gag.errors import InputError
from captum_gag.models.loading import Classifier, best_device, name_of
from captum_gag.models.optimizing import Optimization, optimized
from captum_gag.models.preprocessing import Preprocessing, Size
from captum_gag.models.weights import read_state
from captum_gag.names import imported
from captum_gag.options import Specified, declared, option
from captum_gag.outputs import OUTPUT_HELP, declarable

P = TypeVar("P", bound=Preprocessing)

Length = Annotated[int, Ge(1)]


@declared
class ModelSpec(Specified):
    """A model, by what is needed to load it; a subclass says how its network is built and fed."""

    weights: str | Path | None = option(
        default=None,
        help="A state dict to load: .safetensors, or .pth, read without running code; for torchvision's models also "
        "the name of weights that it publishes, such as IMAGENET1K_V1. None for the model's own.",
        kw_only=True,
    )
    output: Annotated[str | Callable[[Any], Any], AfterValidator(declarable)] | None = option(
        default=None, help=f"{OUTPUT_HELP} None is auto, or what the Classifier says.", kw_only=True
    )
    image_size: Length | tuple[Length, Length] | None = option(
        default=None,
        help="What the network sees, in pixels: the side of a square, cut out with the model's own margin; or (height, "
        "width), to which the whole photograph is resized. None for the model's own.",
        kw_only=True,
    )
    resize: Length | tuple[Length, Length] | None = option(
        default=None,
        help="Length in pixels that the shorter side is resized to; or (height, width). None for the model's own.",
        kw_only=True,
    )
    crop: Length | tuple[Length, Length] | None = option(
        default=None,
        help="Side in pixels of the central square that is cut out; or (height, width). None for the model's own.",
        kw_only=True,
    )
    mean: tuple[float, ...] | None = option(
        default=None,
        help="Of the normalisation, for pixels in [0, 1], a number per channel; None for the model's own.",
        kw_only=True,
    )
    std: tuple[float, ...] | None = option(default=None, help="Like mean, above 0.", kw_only=True)
    interpolation: Literal["bilinear", "bicubic", "nearest"] | None = option(
        default=None, help="How the photograph is resized; None as the model's own.", kw_only=True
    )
    channels: Literal[1, 3] | None = option(
        default=None, help="3, or 1 for photographs in grey; None for the model's own.", kw_only=True
    )
    preprocess: str | None = option(
        default=None,
        help="package.module:callable, from a PIL image of mode RGB to a tensor (C, H, W), instead of resize, crop, "
        "interpolation and channels; mean and std then say how it normalises.",
        kw_only=True,
    )
    optimize: tuple[Optimization, ...] | None = option(
        default=None,
        help="Compute the same function more cheaply: batch normalisations folded into convolutions; weights frozen; "
        "channels innermost in memory; compiled. Rounding changes, but for frozen.",
        kw_only=True,
    )

    def __post_init__(self) -> None:
        """Refuse options that say the same thing twice."""
        twice = [name for name in ("image_size", "resize", "crop") if getattr(self, name) is not None]
        if self.preprocess is not None and (twice or self.channels is not None or self.interpolation is not None):
            raise InputError(
                "preprocess does all that is done to a photograph; leave out image_size, resize, crop, interpolation "
                "and channels"
            )
        if self.image_size is not None and self.crop is not None:
            raise InputError("image_size and crop are both given, and both say what the network sees; leave one out")

    def preprocessing(self) -> Preprocessing:
        """Return the preprocessing, also where the weights are gone.

        Raises:
            InputError: The model is not known, its package is not installed, or an option does not fit it.
        """
        return self.as_asked(self.own_preprocessing())

    def own_preprocessing(self) -> Preprocessing:
        """Return the preprocessing without the options; errors as for ``preprocessing``."""
        raise NotImplementedError

    def build(self, state: Mapping[str, Tensor] | None) -> Classifier:
        """Build the model with these weights or with its own, and with its own preprocessing.

        Raises:
            InputError: The weights cannot be downloaded, or do not fit.
        """
        raise NotImplementedError

    def weights_file(self) -> Path | None:
        """Return the file that the weights are read from; None for the model's own."""
        return None if self.weights is None else Path(self.weights)

    def load(self, device: str = "auto") -> Classifier:
        """Load the model.

        Args:
            device: Where to put it, as torch names it, or ``auto``: a GPU if there is one.

        Returns:
            The model in eval mode.

        Raises:
            InputError: A package is missing, the weights cannot be read or downloaded or do not fit, an option does
                not fit the model, or the device is not available.
        """
        file = self.weights_file()
        classifier = self.as_asked(self.build(None if file is None else read_state(file)))
        if self.output is not None:
            classifier.output = self.output
        placed = classifier.on(best_device() if device == "auto" else device)
        placed.model = optimized(placed.model, self.optimize or ())
        return placed

    def as_asked(self, fed: P) -> P:
        """Return a preprocessing, or a classifier with its own, changed by the options.

        Raises:
            InputError: They do not fit together.
        """
        options: dict[str, Any] = {
            "mean": self.mean,
            "std": self.std,
            "channels": self.channels,
            "resize": self.resize,
            "crop": self.crop if self.image_size is None else self.image_size,
            "interpolation": None if self.interpolation is None else InterpolationMode(self.interpolation),
            "transform": None if self.preprocess is None else _transform(self.preprocess),
        }
        if self.image_size is not None and self.resize is None:
            options["resize"] = _resized(fed, self.image_size)
        options = {name: value for name, value in options.items() if value is not None}
        if fed.transform is not None and set(options) & {"resize", "crop", "interpolation", "channels"}:
            raise InputError(
                "the model comes with a transform of its own, so image_size, resize, crop, interpolation and channels "
                "say nothing; give another preprocess"
            )
        changed = copy(fed)
        for name, value in options.items():
            # It is frozen for those who use it; this one is not in use yet.
            object.__setattr__(changed, name, value)
        changed.__post_init__()
        return changed

    def spec(self) -> dict[str, Any]:
        """Return type and options as JSON holds them, a callable by its name."""
        spec = super().spec()
        return {**spec, "output": name_of(self.output)} if "output" in spec else spec

    def absolute(self) -> Self:
        """Return the same model with the absolute path of its weights, so that it is found from any directory.

        Raises:
            InputError: They may be a file or a name, and are neither.
        """
        file = self.weights_file()
        return self if file is None else type(self)(**{**self.options(), "weights": file.absolute()})


def _resized(fed: Preprocessing, size: Size) -> Size:
    """Return the size to resize to for a crop, which then cuts off the same share as the model's own does."""
    if not isinstance(size, int):
        return size
    resize = fed.resize if isinstance(fed.resize, int) else min(fed.resize)
    return max(size, round(size * resize / min(fed.seen)))


def _transform(name: str) -> Any:
    function = imported(name, "preprocess")
    if not callable(function):
        raise InputError(
            f"{name} is a {type(function).__name__}; expected a callable from a PIL image to a tensor (C, H, W)"
        )
    return function
