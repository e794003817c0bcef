"""Captum's own methods, called alike: any class by name."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any, ClassVar

import torch
from captum.attr import LRP, DeepLift, DeepLiftShap, LayerLRP, NoiseTunnel
from torch import Tensor, nn

from captum_gag.attr.captum_calls import (
    ROW_BY_ROW,
    as_input,
    as_maps,
    captum_target,
    deep_lift,
    in_batches,
    mean_over_references,
    refusing_captums_errors,
    seeded,
    square_regions,
)
from captum_gag.attr.captum_options import (
    BATCH_OPTIONS,
    captum_class,
    captum_options,
    check_wraps,
    own_parameters,
    summary,
)
from captum_gag.attr.grad_cam import named_layer, read_layer, turned
from captum_gag.attr.methods import Images, Method
from captum_gag.attr.references import fetched, reference_images
from captum_gag.attr.sampled_gradients import gradients_per_batch
from captum_gag.errors import InputError
from captum_gag.options import declared

# Those that draw random numbers; their noise is of the whole batch, so that they explain an image at a time.
_RANDOM = {"GradientShap", "KernelShap", "LayerGradientShap", "Lime", "NeuronGradientShap", "NoiseTunnel"}
_RANDOM |= {"ShapleyValueSampling"}
# Whose batches of perturbed images Captum gives the wrong targets, unless there is one image.
_ONE_TARGET = {"LayerFeatureAblation"}
# Those that exchange features among the images of a batch.
_PERMUTING = {"FeaturePermutation", "LayerFeaturePermutation"}


class CaptumMethod(Method):
    """A class of ``captum.attr`` with its options; see ``captum_type``."""

    name: ClassVar[str]
    wrapped: ClassVar[str]
    _references: Tensor | None = None

    @property
    def parts(self) -> str:
        """The class of Captum."""
        return f"captum.attr.{self.name}"

    def prepare(self, images: Images) -> None:
        """Fetch the references, where they are images of a data set."""
        if hasattr(self, "n_references"):
            self._references = fetched(self.baselines, self.n_references, images)  # type: ignore[attr-defined]

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Explain with Captum, as many images at a time as its class allows and memory holds."""
        if self.name in _PERMUTING and len(inputs) == 1:
            raise InputError(f"captum:{self.name} exchanges features among the images of a batch; this one has one")
        at_once = gradients_per_batch(inputs, len(inputs))
        if self.name in _PERMUTING:
            at_once = len(inputs)
        elif self.name in _RANDOM | _ONE_TARGET or hasattr(self, "n_references"):
            at_once = 1
        random = self.name in _RANDOM | _PERMUTING
        found = []
        for images, labels in zip(inputs.split(at_once), targets.split(at_once), strict=True):
            with (
                seeded(inputs.device, seed if random else None),
                refusing_captums_errors(f"captum:{self.name}", model, images),
            ):
                found.append(as_maps(self._attributions(model, images, labels, seed), images, self.parts))
        return torch.cat(found)

    def _attributions(self, model: nn.Module, images: Tensor, labels: Tensor, seed: int | None) -> Any:
        cls = captum_class(self.wrapped or self.name)
        if issubclass(cls, LRP | LayerLRP):
            # It changes weights and attaches rules for a while, and leaves them so where it fails.
            model = copy.deepcopy(model)
        arguments = self._arguments(cls, images)
        if "target" in inspect.signature(cls.attribute).parameters:
            arguments["target"] = captum_target(labels)
        with self._layer(model, images[:1]) as layer:
            return self._with_layer(layer, cls, model, images, arguments, seed)

    @contextmanager
    def _layer(self, model: nn.Module, image: Tensor) -> Iterator[nn.Module | None]:
        """Yield the layer, with channels first if its attributions are a map of it; None of a class without."""
        name = getattr(self, "layer", None)
        at_input = getattr(self, "attribute_to_layer_input", False)
        if name is None or at_input or not self.name.startswith(("Layer", "GuidedGradCam")) or image.ndim < 3:
            yield None if name is None else named_layer(model, name)
            return
        found = read_layer(model, name, image)
        with (
            nullcontext(named_layer(model, name))
            if found is None or found.as_captum_reads_it
            else turned(found) as layer
        ):
            yield layer

    def _with_layer(
        self,
        layer: nn.Module | None,
        cls: Any,
        model: nn.Module,
        images: Tensor,
        arguments: dict[str, Any],
        seed: int | None,
    ) -> Any:
        if hasattr(self, "n_references"):
            references = reference_images(arguments["baselines"], self.n_references, self._references, images[0], seed)
            if self.name.endswith("DeepLiftShap"):
                return self._over_references(layer, model, images, arguments, references)
            arguments["baselines"] = references
        explainer = in_batches(self._built(cls, model, layer))
        if not self.wrapped:
            given = as_input(explainer, images)
            if type(explainer) is DeepLift:
                return deep_lift(f"captum:{self.name}", explainer, given, **arguments)
            return explainer.attribute(given, **arguments)
        tunnel = self._arguments(NoiseTunnel, images)
        if isinstance(explainer, ROW_BY_ROW):
            # Its gradients are taken in batches: the noise need not be, and does not depend on memory then.
            tunnel["nt_samples_batch_size"] = self.nt_samples_batch_size  # type: ignore[attr-defined]
        return NoiseTunnel(explainer).attribute(images, **{**arguments, **tunnel})

    def _over_references(
        self,
        layer: nn.Module | None,
        model: nn.Module,
        images: Tensor,
        arguments: dict[str, Any],
        references: Tensor,
    ) -> Any:
        single = captum_class(self.name.removesuffix("Shap"))

        def attribute(some: Tensor) -> Tensor:
            explainer = self._built(captum_class(self.name) if len(some) > 1 else single, model, layer)
            given, against = as_input(explainer, images), {**arguments, "baselines": some}
            if type(explainer) in (DeepLift, DeepLiftShap):
                return deep_lift(f"captum:{self.name}", explainer, given, **against)
            found: Tensor = explainer.attribute(given, **against)
            return found

        return mean_over_references(attribute, references)

    def _given(self, function: Callable[..., Any]) -> dict[str, Any]:
        """Return those options that a constructor or an ``attribute`` method takes, without what is Captum's own."""
        taken = {name: each.default for name, each in own_parameters(function).items() if hasattr(self, name)}
        values = {name: (getattr(self, name), default) for name, default in taken.items()}
        return {name: value for name, (value, default) in values.items() if value is not None or not callable(default)}

    def _built(self, cls: type, model: nn.Module, layer: nn.Module | None) -> Any:
        """Return an object of a class of Captum, around the model."""
        options = self._given(cls.__init__)  # type: ignore[misc]
        if "layer" in options:
            options["layer"] = layer
        return cls(model, **options)

    def _arguments(self, cls: type, images: Tensor) -> dict[str, Any]:
        """Return the arguments of a class's ``attribute``, with what a spec cannot hold put in."""
        arguments = self._given(cls.attribute)  # type: ignore[attr-defined]
        n, samples = len(images), arguments.get("nt_samples", arguments.get("n_samples", arguments.get("n_steps")))
        for name in BATCH_OPTIONS:
            if name in arguments and arguments[name] is None:
                size = gradients_per_batch(images, samples * n) if samples else gradients_per_batch(images, 256)
                arguments[name] = max(n, size) if name == "internal_batch_size" else max(1, size // n)
        if isinstance(arguments.get("feature_mask"), int):
            arguments["feature_mask"] = square_regions(arguments["feature_mask"], images)
        if isinstance(arguments.get("feature_mask"), Tensor):
            arguments["feature_mask"] = arguments["feature_mask"].to(images.device)
        return arguments


@cache
def captum_type(name: str, wrapped: str = "") -> type[CaptumMethod]:
    """Return the type of method that a class of Captum is, declared with the class's own options.

    Args:
        name: Of a class of ``captum.attr`` that explains images.
        wrapped: For NoiseTunnel the class that it runs, whose options are taken too.

    Raises:
        InputError: There is no such class.
    """
    cls = captum_class(name)
    options = captum_options(cls)
    if wrapped:
        check_wraps(name, wrapped)
        options = {**captum_options(captum_class(wrapped)), **options}
        options = dict(sorted(options.items(), key=lambda item: not item[1].required))
    made = type(
        f"captum:{name}",
        (CaptumMethod,),
        {
            "__doc__": summary(cls),
            "__module__": __name__,
            "__annotations__": {each: found.type for each, found in options.items()},
            "name": name,
            "wrapped": wrapped,
            **{each: found.declared for each, found in options.items()},
        },
    )
    return declared(made)
