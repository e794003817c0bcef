"""Captum attributions, parts and functions as methods of a suite: options are read from their signatures."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import torch
from captum.attr import Attribution
from pydantic import SkipValidation
from torch import Tensor, nn

from captum_gag.attr.aggregations import Aggregation, GuidedMean, Mean, Variance
from captum_gag.attr.captum_calls import captum_target
from captum_gag.attr.contract import Seed, like_inputs
from captum_gag.attr.gradient_sources import guided_backpropagation
from captum_gag.attr.interpretations import absolute, negative, positive, signed, squared
from captum_gag.attr.methods import Images, Method, explain_checked
from captum_gag.attr.modifications import Modification
from captum_gag.attr.sampled_gradients import ModelGradients, Parts, SampledGradients
from captum_gag.errors import InputError
from captum_gag.options import checked, declared, option
from captum_gag.outputs import Output
from captum_gag.signatures import declared_as, first_sentence, options_in
from captum_gag.tensors import Target

NOT_OPTIONS = {
    *("self", "model", "forward_func", "device_ids", "inputs", "target", "additional_forward_args", "show_progress"),
    *("return_convergence_delta", "return_standard_error", "return_input_shape", "verbose", "freeze_statistics"),
    *("internal_batch_size", "nt_samples_batch_size", "segmentation", "distractor"),
}
"""Parameters of attributions that a method sets by itself, or that change the form of the result."""

REFERENCES = ("references", "baselines")
"""Options that may name images of a data set: "train", or a folder."""

INTERPRETATIONS = {function.__name__: function for function in (signed, positive, negative, absolute, squared)}


class AttributionMethod(Method):
    """A class of Captum's interface with the options of its ``attribute``; see ``attribution_method``."""

    attribution: ClassVar[type[Attribution]]
    _references: Tensor | None = None

    def __post_init__(self) -> None:
        if hasattr(self.attribution, "check"):
            self.attribution.check(**self.options())

    def prepare(self, images: Images) -> None:
        """Fetch the references, where they are images of a data set."""
        for name in REFERENCES:
            references = getattr(self, name, None)
            if isinstance(references, str) and references != "random":
                self._references = images(references, getattr(self, "n_references", 1))

    def arguments(self) -> dict[str, Any]:
        """Return the options, with references fetched."""
        arguments = self.options()
        if self._references is not None:
            arguments |= {name: self._references for name in REFERENCES if isinstance(arguments.get(name), str)}
        return arguments

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Call ``attribute`` with the options; a seed among them counts more than that of all methods."""
        frozen = {"freeze_statistics": True} if issubclass(self.attribution, ModelGradients) else {}
        arguments = {"target": captum_target(targets), **self.arguments()}
        if "seed" in arguments and arguments["seed"] is None:
            arguments["seed"] = seed
        attributions: Tensor = self.attribution(model, **frozen).attribute(inputs, **arguments)
        return attributions

    def of_segmentation(self, segmentation: Tensor, distractor: Tensor | None, seed: int | None) -> Tensor:
        """Return the map (1, 1, H, W) of a truth control, which is made of the segmentation alone."""
        options = {**self.options(), "segmentation": segmentation, "distractor": distractor, "seed": seed}
        saliency: Tensor = self.attribution(lambda inputs: inputs).attribute(segmentation, **options)
        return saliency

    @property
    def parts(self) -> Parts | None:
        """Parts of an attribution that states them."""
        parts = getattr(self.attribution, "parts", None)
        return parts(**self.options()) if parts else None


@declared
class PartsMethod(Method):
    """A gradient method of parts: a modification, with the interpretation and the aggregation of its gradients."""

    modification: ClassVar[Callable[..., Modification]]

    n_samples: int = option(default=20, help="Gradients per image: noisy versions, or steps of a path.", ge=1)
    interpretation: Literal["signed", "positive", "negative", "absolute", "squared"] = option(
        default="signed", help="What of each gradient counts."
    )
    aggregation: Literal["mean", "variance", "guided"] = option(
        default="mean", help="How gradients become one attribution; guided is the mean times the guide of equation 4."
    )
    backpropagation: Literal["plain", "guided"] = option(
        default="plain", help="Guided: only positive gradients pass a ReLU."
    )

    def __post_init__(self) -> None:
        varies = self.aggregation == "variance" or (self.aggregation == "guided" and self.options()["percentile"] > 0)
        if varies and self.n_samples < 2:
            raise InputError(f'{type(self).__name__}: aggregation "{self.aggregation}" needs n_samples of at least 2')
        _ = self.parts

    @property
    def parts(self) -> Parts:
        """Parts that the options name."""
        options = self.options()
        aggregation: Aggregation = Mean() if self.aggregation == "mean" else Variance()
        if self.aggregation == "guided":
            aggregation = GuidedMean(**{name: options[name] for name in GuidedMean.__dataclass_fields__})
        taken = inspect.signature(self.modification).parameters
        return Parts(
            type(self).modification(**{name: value for name, value in options.items() if name in taken}),
            INTERPRETATIONS[self.interpretation],
            aggregation,
            guided_backpropagation if self.backpropagation == "guided" else None,
        )

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Sample, interpret and aggregate gradients."""
        sampler = SampledGradients(model, **with_seed(self.parts, seed)._asdict(), freeze_statistics=True)
        attributions: Tensor = sampler.attribute(inputs, target=captum_target(targets))
        return attributions


def with_seed(parts: Parts, seed: int | None) -> Parts:
    """Return parts whose modification has the seed, where it takes one and has none of its own."""
    modification: Any = parts.modification
    if getattr(modification, "seed", 0) is not None:
        return parts
    fields = {name: getattr(modification, name) for name in inspect.signature(type(modification)).parameters}
    return parts._replace(modification=type(modification)(**{**fields, "seed": seed}))


class FunctionMethod(Method):
    """A user's function with its options; see ``function_method``."""

    function: ClassVar[Callable[..., Any]]
    n_samples: int

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Call the function, and check its result."""
        options = {name: value for name, value in self.options().items() if name != "n_samples"}
        result = type(self).function(model, inputs, targets, self.n_samples, seed, **options)
        expected = [tuple(inputs.shape), tuple(inputs[:, :1].shape)] if inputs.ndim > 2 else [tuple(inputs.shape)]
        if not isinstance(result, Tensor) or tuple(result.shape) not in expected:
            got = f"shape {tuple(result.shape)}" if isinstance(result, Tensor) else f"a {type(result).__name__}"
            fits = " or ".join(map(str, expected))
            raise InputError(f"{type(self).__name__} returned {got}, expected a tensor (N, C, *positions), here {fits}")
        if not result.is_floating_point():
            raise InputError(f"{type(self).__name__} returned {result.dtype}, expected floating-point attributions")
        return result


def attribution_method(name: str, attribution: type[Attribution]) -> type[Method]:
    """Return the method that a Captum attribution is, with the options of its ``attribute``."""
    return declared_as(
        name,
        AttributionMethod,
        options_in(attribution.attribute, without=NOT_OPTIONS),
        first_sentence(inspect.getdoc(attribution) or name),
        attribution=attribution,
        control=getattr(attribution, "control", ""),
        batch_dependent=_elsewhere(attribution),
    )


def parts_method(name: str, modification: type[Modification]) -> type[Method]:
    """Return the method of parts whose gradients are sampled where a modification says."""
    options = options_in(modification, GuidedMean, without={*NOT_OPTIONS, "n_samples"})
    doc = first_sentence(inspect.getdoc(modification) or name)
    attributes = {"modification": modification, "batch_dependent": _elsewhere(modification)}
    return declared_as(name, PartsMethod, options, doc, **attributes)


def function_method(name: str, function: Callable[..., Any]) -> type[Method]:
    """Return the method that a user's function is.

    Args:
        name: ``package.module:function``.
        function: Called with (model, inputs, targets, n_samples, seed), it returns attributions (N, C, *positions) or
            (N, 1, *positions), of tables (N, F); its further parameters are options.

    Raises:
        InputError: It cannot be called so.
    """
    arguments = ("model", "inputs", "targets", "n_samples", "seed")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise InputError(f"method {name!r} is a {type(function).__name__}, expected a callable") from error
    try:
        taken = signature.bind_partial(*arguments).arguments
    except TypeError as error:
        raise InputError(f"method {name!r} must take ({', '.join(arguments)})") from error
    options = options_in(function, without=taken)
    options["n_samples"] = (int, option(20, "Gradients per image.", ge=1))
    doc = first_sentence(inspect.getdoc(function) or "A method of the user's own.")
    return declared_as(name, FunctionMethod, options, doc, function=staticmethod(function))


def _elsewhere(cls: type) -> bool:
    """Return whether a class is defined outside of ``captum_gag.attr``, so that it may look at the batch."""
    return not cls.__module__.startswith("captum_gag.attr.")


@checked
def shared_gradients(
    methods: Sequence[Method],
    model: SkipValidation[nn.Module],
    inputs: SkipValidation[Tensor],
    target: SkipValidation[Target],
    seed: Seed | None = 0,
    output: SkipValidation[Output] = "auto",
) -> list[Tensor]:
    """Explain a batch of images with several methods that take the same gradients.

    Args:
        methods: Of equal ``shared``, such as GAG-85, SG and VarGrad with the same noise.
        model: As for ``Method.attribute``, like the inputs, the target and the output.
        inputs: See there.
        target: See there.
        seed: Fixes noise. With it the attributions are those that each method gives by itself, bit for bit.
        output: See there.

    Returns:
        Attributions like the inputs, one for each method.

    Raises:
        InputError: The methods do not take the same gradients, or the arguments do not fit together.
    """
    parts = [method.parts for method in methods if isinstance(method.parts, Parts)]
    if len(parts) != len(methods) or len({method.shared for method in methods}) != 1:
        kinds = ", ".join(type(method).__name__ for method in methods)
        raise InputError(f"{kinds or 'no methods'}: not the same gradients; expected such as GAG-85, SG and VarGrad")
    interpretations = list(dict.fromkeys(part.interpretation for part in parts))

    def interpret_all(gradients: Tensor) -> Tensor:
        return torch.stack([interpret(gradients) for interpret in interpretations], 1)

    def explain(model: Any, inputs: Tensor, targets: Tensor) -> list[Tensor]:
        first = with_seed(parts[0], seed)._replace(interpretation=interpret_all)
        [moments] = ModelGradients(model, freeze_statistics=True).moments(first, inputs, captum_target(targets))
        attributions = [
            part.aggregation(moments.of_interpretation(interpretations.index(part.interpretation))) for part in parts
        ]
        return list(like_inputs((inputs,) * len(parts), attributions))

    return explain_checked(explain, model, inputs, target, output)
