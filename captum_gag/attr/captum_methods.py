"""Any class of ``captum.attr`` as a method of a suite, with its own options, called as Captum documents it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, ClassVar

import captum.attr
import torch
from captum.attr import LRP, LayerLRP, NoiseTunnel
from torch import Tensor, nn

from captum_gag.attr.captum_calls import (
    ONE_PASS,
    ROW_BY_ROW,
    adds_up,
    call,
    captum_errors,
    captum_target,
    in_batches,
    mean_over_references,
    reference_images,
    require_copies,
    seeded,
)
from captum_gag.attr.contract import Fraction
from captum_gag.attr.entries import NOT_OPTIONS, AttributionMethod
from captum_gag.attr.feature_grids import Activations
from captum_gag.attr.grad_cam import named_layer, read_layer, turned
from captum_gag.attr.sampled_gradients import gradients_per_batch
from captum_gag.errors import InputError
from captum_gag.options import option, unknown
from captum_gag.signatures import declared_as, first_sentence, options_in, passed
from captum_gag.tensors import interpolated, positions

BATCH_OPTIONS = ("internal_batch_size", "perturbations_per_eval", "nt_samples_batch_size")

# Those that draw random numbers; their noise is of the whole batch, so that they explain an image at a time.
_RANDOM = {"KernelShap", "Lime", "NoiseTunnel", "ShapleyValueSampling"}
_RANDOM |= {"GradientShap", "LayerGradientShap", "NeuronGradientShap"}
# Those whose batches of perturbed images Captum gives the wrong targets, unless there is one image.
_ONE_TARGET = {"LayerFeatureAblation"}
# Those that exchange features among the images of a batch.
_PERMUTING = {"FeaturePermutation", "LayerFeaturePermutation"}

# Options that a spec gives as text or numbers, as it cannot hold modules and tensors.
_BATCH = "Number at once; None picks one, and a smaller one when memory runs out."
_OPTIONS: dict[str, tuple[Any, Any]] = {
    "layer": (str, option(help="Name of a module of the model, as in model.get_submodule, such as layer4.1.")),
    "attribution_method": (str, option(help="Class of captum.attr that explains the noisy images, such as Saliency.")),
    "feature_mask": (
        int | Tensor | None,
        option(None, "Side in pixels of square regions that count as one; None: each value."),
    ),
    "sliding_window_shapes": (
        Fraction | tuple[int, ...],
        option(help="Shape of patch (the window), such as [3, 15, 15]; or its share of each side, over all channels."),
    ),
    "strides": (
        Fraction | int | tuple[int, ...] | None,
        option(None, "Steps of the window along each axis, such as [3, 8, 8]; or their share of each side; None: 1."),
    ),
    **{name: (int | None, option(None, _BATCH, ge=1)) for name in BATCH_OPTIONS},
}
_START = (float | Tensor | None, option(None, "Replacement of the image: a number, in model space; None is 0."))
_REFERENCES: dict[str, tuple[Any, Any]] = {
    "baselines": (
        float | str | Tensor,
        option(help='References: a number, "random" (colours), "train", or a folder of images.'),
    ),
    "n_references": (int, option(20, "Number of references, where they are random or images.", ge=1)),
}


class CaptumMethod(AttributionMethod):
    """A class of ``captum.attr``, or NoiseTunnel around the one that is ``wrapped``."""

    class_name: ClassVar[str]
    wrapped: ClassVar[str]

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Explain with Captum, as many images at a time as its class allows and memory holds."""
        if self.class_name in _PERMUTING and len(inputs) == 1:
            raise InputError(
                f"captum:{self.class_name} exchanges features among the images of a batch; this one has one"
            )
        if self.wrapped or not issubclass(self.attribution, ONE_PASS):
            require_copies(f"captum:{self.class_name}", model, inputs)
        at_once = gradients_per_batch(inputs, len(inputs))
        if self.class_name in _PERMUTING:
            at_once = len(inputs)
        elif self.class_name in _RANDOM | _ONE_TARGET or hasattr(self, "n_references"):
            at_once = 1
        noise_seed = seed if self.class_name in _RANDOM | _PERMUTING else None
        maps = []
        for images, labels in zip(inputs.split(at_once), targets.split(at_once), strict=True):
            with seeded(inputs.device, noise_seed), captum_errors(f"captum:{self.class_name}", model, images):
                maps.append(as_maps(self._attributions(model, images, labels, seed), images, self.class_name))
        return torch.cat(maps)

    def _attributions(self, model: nn.Module, images: Tensor, labels: Tensor, seed: int | None) -> Any:
        cls, name = captum_class(self.wrapped or self.class_name), f"captum:{self.class_name}"
        if issubclass(cls, LRP | LayerLRP):
            # It changes weights and attaches rules for a while, and leaves them so where it fails.
            model = copy.deepcopy(model)
        arguments = self._arguments(cls, images)
        if "target" in inspect.signature(cls.attribute).parameters:
            arguments["target"] = captum_target(labels)
        with self._layer(model, images[:1]) as layer:
            if hasattr(self, "n_references"):
                references = reference_images(arguments.pop("baselines"), self.n_references, images[0], seed)
                if self.class_name.endswith("DeepLiftShap"):
                    single = captum_class(self.class_name.removesuffix("Shap"))
                    explainers = self._built(single, model, layer), self._built(cls, model, layer)
                    return mean_over_references(name, explainers, images, references, **arguments)
                arguments["baselines"] = references
            explainer = in_batches(self._built(cls, model, layer))
            if not self.wrapped:
                return call(name, explainer, images, **arguments)
            tunnel = self._arguments(NoiseTunnel, images)
            if isinstance(explainer, ROW_BY_ROW):
                # Its gradients are taken in batches: the noise need not be, and does not depend on memory then.
                tunnel["nt_samples_batch_size"] = self.nt_samples_batch_size  # type: ignore[attr-defined]
            attributions = NoiseTunnel(explainer).attribute(images, **{**arguments, **tunnel})
            if adds_up(explainer):
                # For its warning, as the tunnel asks for no sums.
                call(name, explainer, images, **arguments)
            return attributions

    @contextmanager
    def _layer(self, model: nn.Module, image: Tensor) -> Iterator[nn.Module | None]:
        """Yield the layer, with channels first if its attributions are a map of it; None of a class without."""
        module = named_layer(model, self.layer) if hasattr(self, "layer") else None
        is_map = self.class_name.startswith(("Layer", "GuidedGradCam")) and image.ndim > 2
        layer = None
        if module is not None and is_map and not getattr(self, "attribute_to_layer_input", False):
            layer = read_layer(Activations(model, image), module)
        if layer is None or (layer.grid.channel_axis == 1 and layer.grid.tokens is None):
            yield module
            return
        with turned(layer) as channels_first:
            yield channels_first

    def _built(self, cls: type, model: nn.Module, layer: nn.Module | None) -> Any:
        options = passed(cls, self.arguments())
        if "layer" in options:
            options["layer"] = layer
        return cls(model, **options)

    def _arguments(self, cls: type, images: Tensor) -> dict[str, Any]:
        """Return the arguments of a class's ``attribute``, with batch sizes and the feature mask filled in."""
        arguments = passed(cls.attribute, self.arguments())  # type: ignore[attr-defined]
        n, samples = len(images), arguments.get("nt_samples", arguments.get("n_samples", arguments.get("n_steps")))
        for name in BATCH_OPTIONS:
            if name in arguments and arguments[name] is None:
                size = gradients_per_batch(images, samples * n) if samples else gradients_per_batch(images, 256)
                arguments[name] = max(n, size) if name == "internal_batch_size" else max(1, size // n)
        for name in ("sliding_window_shapes", "strides"):
            if isinstance(share := arguments.get(name), float):
                sides = tuple(max(1, round(share * side)) for side in positions(images))
                arguments[name] = (*images.shape[1 : images.ndim - len(sides)], *sides)
        mask = arguments.get("feature_mask")
        if mask is not None:
            mask = square_regions(mask, images) if isinstance(mask, int) else mask.to(images.device)
            arguments["feature_mask"] = mask
        return arguments


@cache
def class_names() -> list[str]:
    """Return the names of the classes of ``captum.attr`` that explain images."""
    names = []
    for name, cls in sorted(vars(captum.attr).items()):
        if isinstance(cls, type) and hasattr(cls, "attribute") and name != "LimeBase":
            first = list(inspect.signature(cls.__init__).parameters)[1]  # type: ignore[misc]
            names += [name] if first in ("model", "forward_func", "attribution_method") else []
    return names


def captum_class(name: str) -> Any:
    """Return a class of ``captum.attr`` that explains images; raise InputError if there is none of that name."""
    if name not in class_names():
        raise unknown("class of captum.attr", name, class_names())
    return getattr(captum.attr, name)


@cache
def captum_method(name: str, wrapped: str = "") -> type[CaptumMethod]:
    """Return the method that a class of Captum is, with the options of its constructor and of its ``attribute``.

    Args:
        name: Of a class of ``captum.attr`` that explains images.
        wrapped: For NoiseTunnel the class that it runs, whose options are taken too.
    """
    cls = captum_class(name)
    options = _captum_options(cls)
    if wrapped:
        if wrapped == name:
            raise InputError(f"captum:{name} cannot explain with itself; expected attribution_method such as Saliency")
        options = {**_captum_options(captum_class(wrapped)), **options}
    return declared_as(
        f"captum:{name}",
        CaptumMethod,
        options,
        first_sentence(inspect.getdoc(cls) or name),
        attribution=cls,
        class_name=name,
        wrapped=wrapped,
        batch_dependent=name in _PERMUTING,
    )


def _captum_options(cls: Any) -> dict[str, tuple[Any, Any]]:
    options = options_in(cls, cls.attribute, without=NOT_OPTIONS - set(BATCH_OPTIONS))
    options |= {name: _OPTIONS[name] for name in options.keys() & _OPTIONS.keys()}
    if "baselines" in options:
        options |= _REFERENCES if options["baselines"][1].is_required() else {"baselines": _START}
    return options


def as_maps(attributions: Any, images: Tensor, name: str) -> Tensor:
    """Return attributions like the inputs as they are, those of a layer summed and interpolated to (N, 1, *positions).

    Raises:
        InputError: They are no map; the message has the name of the method.
    """
    [maps] = attributions if isinstance(attributions, tuple | list) and len(attributions) == 1 else [attributions]
    if isinstance(maps, Tensor) and maps.shape == images.shape:
        return maps
    fits = isinstance(maps, Tensor) and 2 < maps.ndim == images.ndim < 6 and len(maps) == len(images)
    scales = [size / length for size, length in zip(maps.shape[2:], images.shape[2:], strict=True)] if fits else []
    # A map may be coarser along one axis than along another.
    if not fits or max(scales) > 4 * min(scales):
        shape = tuple(maps.shape) if isinstance(maps, Tensor) else f"of a {type(maps).__name__}"
        expected = "height, width" if images.ndim == 4 else "*positions"
        raise InputError(
            f"{name} gives attributions {shape}, expected (N, channels, {expected}), in proportion to inputs "
            f"{tuple(images.shape)}: another layer?"
        )
    return interpolated(maps.sum(1, keepdim=True), positions(images))


def square_regions(side: int, images: Tensor) -> Tensor:
    """Return a feature mask (1, C, *positions) of square regions over all channels, numbered from 0 in reading order.

    Those of signals are stretches, of volumes cubes, of tables (N, F) columns side by side.
    """
    if side < 1:
        raise InputError(f"feature_mask is {side!r}, expected the side of square regions in pixels, at least 1")
    numbers = torch.zeros((), dtype=torch.long, device=images.device)
    for length in positions(images):
        along = torch.arange(length, device=images.device) // side
        numbers = numbers.unsqueeze(-1) * (int(along[-1]) + 1) + along
    mask = numbers.unsqueeze(0)
    return mask if images.ndim == 2 else mask.expand(1, images.shape[1], *numbers.shape).contiguous()
