"""Captum's own methods, called alike: any class by name, and those of the papers that need more than their class."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar, Literal

import torch
from captum.attr import LRP, DeepLift, DeepLiftShap, LayerLRP, NoiseTunnel, Saliency
from torch import Tensor, nn

from captum_gag.attr.captum_calls import (
    ROW_BY_ROW,
    as_input,
    as_maps,
    in_batches,
    mean_over_references,
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
from captum_gag.attr.grad_cam import named_layer
from captum_gag.attr.methods import Images, Method, named
from captum_gag.attr.references import fetched, reference_images
from captum_gag.attr.sampled_gradients import gradients_per_batch
from captum_gag.errors import InputError, first_line
from captum_gag.specs import declared, option

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
            with seeded(inputs.device, seed if random else None):
                try:
                    found.append(as_maps(self._attributions(model, images, labels, seed), images, self.parts))
                # Captum's ways to say that options do not fit the images, or a layer has no rule.
                except (AssertionError, TypeError) as error:
                    raise InputError(f"captum:{self.name}: {first_line(error)}") from error
        return torch.cat(found)

    def _attributions(self, model: nn.Module, images: Tensor, labels: Tensor, seed: int | None) -> Any:
        cls = captum_class(self.wrapped or self.name)
        if issubclass(cls, LRP | LayerLRP):
            # It changes weights and attaches rules for a while, and leaves them so where it fails.
            model = copy.deepcopy(model)
        arguments = self._arguments(cls, images)
        if "target" in inspect.signature(cls.attribute).parameters:
            arguments["target"] = labels
        if hasattr(self, "n_references"):
            references = reference_images(arguments["baselines"], self.n_references, self._references, images[0], seed)
            if self.name.endswith("DeepLiftShap"):
                return self._over_references(model, images, arguments, references)
            arguments["baselines"] = references
        explainer = in_batches(self._built(cls, model))
        if not self.wrapped:
            return explainer.attribute(as_input(explainer, images), **arguments)
        tunnel = self._arguments(NoiseTunnel, images)
        if isinstance(explainer, ROW_BY_ROW):
            # Its gradients are taken in batches: the noise need not be, and does not depend on memory then.
            tunnel["nt_samples_batch_size"] = self.nt_samples_batch_size  # type: ignore[attr-defined]
        return NoiseTunnel(explainer).attribute(images, **{**arguments, **tunnel})

    def _over_references(self, model: nn.Module, images: Tensor, arguments: dict[str, Any], references: Tensor) -> Any:
        single = captum_class(self.name.removesuffix("Shap"))

        def attribute(some: Tensor) -> Tensor:
            explainer = self._built(captum_class(self.name) if len(some) > 1 else single, model)
            found: Tensor = explainer.attribute(as_input(explainer, images), **{**arguments, "baselines": some})
            return found

        return mean_over_references(attribute, references)

    def _given(self, function: Callable[..., Any]) -> dict[str, Any]:
        """Return those options that a constructor or an ``attribute`` method takes, without what is Captum's own."""
        taken = {name: each.default for name, each in own_parameters(function).items() if hasattr(self, name)}
        values = {name: (getattr(self, name), default) for name, default in taken.items()}
        return {name: value for name, (value, default) in values.items() if value is not None or not callable(default)}

    def _built(self, cls: type, model: nn.Module) -> Any:
        """Return an object of a class of Captum, around the model."""
        options = self._given(cls.__init__)  # type: ignore[misc]
        if "layer" in options:
            options["layer"] = named_layer(model, options["layer"])
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


@named("Sensitivity")
@declared
class Sensitivity(Method):
    """Largest magnitude of the gradient over the channels."""

    built_from = "captum.attr.Saliency"

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Return magnitudes (N, 1, H, W)."""
        return captum_type("Saliency")().explain(model, inputs, targets, seed).amax(1, keepdim=True)


@named("SmoothGrad")
@declared
class CaptumSmoothGrad(Method):
    """Captum's NoiseTunnel around the gradient, with noise in proportion to each image's range."""

    built_from = "captum.attr.NoiseTunnel"

    n_samples: int = option(default=20, help="Noisy versions of each image.", ge=1)
    noise_level: float = option(
        default=0.15, help="Standard deviation of the noise, as a share of the image's range.", ge=0
    )
    nt_type: Literal["smoothgrad", "smoothgrad_sq", "vargrad"] = option(
        default="smoothgrad", help="What becomes of the gradients."
    )

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Explain an image at a time, because Captum's noise is the whole batch's."""
        found = []
        for image, label in zip(inputs, targets, strict=True):
            with seeded(inputs.device, seed):
                attributions = NoiseTunnel(in_batches(Saliency(model))).attribute(
                    image.unsqueeze(0),
                    nt_type=self.nt_type,
                    nt_samples=self.n_samples,
                    # Fixed, as Captum's noise depends on it; in_batches makes gradients fit into less memory.
                    nt_samples_batch_size=min(self.n_samples, 4),
                    stdevs=self.noise_level * float(image.max() - image.min()),
                    target=label,
                    abs=False,
                )
            found.append(attributions)
        return torch.cat(found)


@named("DeepSHAP")
@declared
class DeepSHAP(Method):
    """DeepLIFT against several references, by default images of random colours."""

    built_from = "captum.attr.DeepLiftShap"

    references: float | str | Tensor = option(
        default="random", help='A number, "random" (colours), "train", or a folder of images.'
    )
    n_references: int = option(default=20, help="How many, where they are random or images.", ge=1)

    def prepare(self, images: Images) -> None:
        """Fetch the references, where they are images of a data set."""
        self._images = fetched(self.references, self.n_references, images)

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Explain an image at a time, as the random references are between its darkest and its brightest value."""
        known: Tensor | None = getattr(self, "_images", None)
        found = []
        for image, label in zip(inputs, targets, strict=True):
            references = reference_images(self.references, self.n_references, known, image, seed)

            def attribute(some: Tensor, image: Tensor = image, label: Tensor = label) -> Tensor:
                explainer = DeepLiftShap(model) if len(some) > 1 else DeepLift(model)
                against: Tensor = explainer.attribute(as_input(explainer, image.unsqueeze(0)), some, target=label)
                return against

            found.append(mean_over_references(attribute, references))
        return torch.cat(found)


@named("Deep Taylor")
@declared
class DeepTaylor(Method):
    """LRP with the z+ rule in every layer with weights.

    For a network of ReLUs this is deep Taylor decomposition (Montavon et al., 2017) with the z+ rule, provided that
    nothing negative comes in: the rule for an input with negative values (z-box) is not Captum's. Batch normalisation
    is folded into the convolutions, in a copy of the model, because a rule of its own would break the decomposition;
    biases get no relevance. Max pooling hands all relevance to the winner.
    """

    built_from = "captum.attr.LRP"

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Return relevances (N, C, H, W).

        Raises:
            InputError: The model cannot be traced, or has a layer for which Captum knows no rule.
        """
        # Captum has no public place for its rules, nor torch for this fusion: should a release move them, only Deep
        # Taylor fails, and not the catalogue.
        from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule
        from torch.fx.experimental.optimization import fuse

        try:
            folded = fuse(model)
        # Tracing runs the model's own code on symbols, which can fail in any way.
        except Exception as error:
            raise InputError(f"Deep Taylor needs a model that torch.fx can trace; this one fails: {error}") from error
        for module in folded.modules():
            # Captum takes the rules away again, but the copy is thrown away in any case.
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.rule = Alpha1_Beta0_Rule(set_bias_to_zero=True)
            elif isinstance(module, nn.Flatten | nn.Identity):
                module.rule = EpsilonRule()
        try:
            relevance: Tensor = LRP(folded).attribute(as_input(None, inputs), target=targets).detach()
        except TypeError as error:
            raise InputError(f"Deep Taylor has no rule for a layer of this model: {error}") from error
        return relevance
