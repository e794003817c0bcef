"""Captum attributions, parts and functions as methods of a suite: options are read from their signatures."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Literal

from captum.attr import Attribution
from torch import Tensor, nn

from captum_gag.attr.aggregations import Aggregation, GuidedMean, Mean, Variance
from captum_gag.attr.captum_calls import captum_target
from captum_gag.attr.gradient_sources import guided_backpropagation
from captum_gag.attr.interpretations import absolute, negative, positive, signed, squared
from captum_gag.attr.methods import Images, Method, seeded_elsewhere
from captum_gag.attr.modifications import Modification
from captum_gag.attr.sampled_gradients import ModelGradients, Parts, SampledGradients
from captum_gag.errors import InputError, first_line
from captum_gag.options import declared, option, options_of
from captum_gag.signatures import declared_as, first_sentence, options_in, passed
from captum_gag.tensors import as_tensor

NOT_OPTIONS = {
    *("self", "model", "forward_func", "device_ids", "inputs", "target", "additional_forward_args", "show_progress"),
    *("return_convergence_delta", "return_standard_error", "return_input_shape", "verbose", "rows"),
    *("internal_batch_size", "nt_samples_batch_size"),
}
"""Parameters of attributions that a method sets by itself, or that change the form of the result."""

INTERPRETATIONS = {function.__name__: function for function in (signed, positive, negative, absolute, squared)}


class NamedMethod(Method):
    """A method whose class is made by the name of its type, which is therefore pickled as that name."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the name of the type, and the state."""
        return _unpickled, (type(self).__name__, getattr(self, "attribution_method", "")), vars(self)


def _unpickled(name: str, wrapped: str) -> Method:
    # The catalogue imports this module.
    from captum_gag.attr.catalogue import method_class

    return object.__new__(method_class(name, {"attribution_method": wrapped}))


class AttributionMethod(NamedMethod):
    """A class of Captum's interface with the options of its ``attribute``.

    Its ``baselines`` may be the name of images of a data set: "train", or a folder.
    """

    attribution: ClassVar[type[Attribution]]
    _images: Tensor | None = None

    def prepare(self, images: Images) -> None:
        """Fetch the baselines, where they are images of a data set."""
        baselines = getattr(self, "baselines", None)
        if isinstance(baselines, str) and baselines != "random":
            self._images = images(baselines, getattr(self, "n_references", 1))

    def arguments(self) -> dict[str, Any]:
        """Return the options, with baselines fetched."""
        arguments = self.options()
        if self._images is not None:
            arguments["baselines"] = self._images
        elif isinstance(arguments.get("baselines"), Tensor):
            as_tensor("baselines", arguments["baselines"])
        return arguments

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Call ``attribute`` with the options; a seed among them counts more than that of all methods."""
        arguments = with_seed(passed(self.attribution.attribute, self.arguments()), seed)
        with seeded_elsewhere(self, inputs, seed):
            attributions = self.attribution(model).attribute(inputs, target=captum_target(targets), **arguments)
        return attributions_of(inputs, attributions, type(self).__name__)

    def seeded_parts(self, seed: int | None) -> Parts | None:
        """Return the parts that the attribution states, if it does."""
        # A subclass may have another ``attribute``, which the statement is not about.
        owner = next(cls for cls in self.attribution.__mro__ if not vars(cls).keys().isdisjoint(("attribute", "parts")))
        parts = vars(owner).get("parts")
        return parts.__func__(**with_seed(self.options(), seed)) if isinstance(parts, staticmethod) else None


@declared
class PartsMethod(NamedMethod):
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

    def seeded_parts(self, seed: int | None) -> Parts:
        """Return the parts that the options name."""
        options = with_seed(self.options(), seed)
        aggregation: Aggregation = Mean() if self.aggregation == "mean" else Variance()
        if self.aggregation == "guided":
            aggregation = GuidedMean(**{name: options[name] for name in GuidedMean.__dataclass_fields__})
        return Parts(
            type(self).modification(**passed(type(self).modification, options)),
            INTERPRETATIONS[self.interpretation],
            aggregation,
            guided_backpropagation if self.backpropagation == "guided" else None,
        )

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Sample, interpret and aggregate gradients."""
        sampler = SampledGradients(model, **self.seeded_parts(seed)._asdict())
        with seeded_elsewhere(self, inputs, seed):
            attributions: Tensor = sampler.attribute(inputs, target=captum_target(targets))
        return attributions


class FunctionMethod(NamedMethod):
    """A user's function with its options."""

    function: ClassVar[Callable[..., Any]]
    n_samples: int

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Call the function, and check its result."""
        options = {name: value for name, value in self.options().items() if name != "n_samples"}
        function = type(self).function
        result = function(model, inputs, targets, self.n_samples, seed, **passed(function, options))
        return attributions_of(inputs, result, type(self).__name__)


def with_seed(options: dict[str, Any], seed: int | None) -> dict[str, Any]:
    """Return options with the seed, where there is such an option and it is None."""
    return {**options, "seed": seed} if options.get("seed", 0) is None else options


def attributions_of(inputs: Tensor, result: Any, name: str) -> Tensor:
    """Check that the result of a user's attribution or function has the inputs' shape, and return it."""
    [result] = result if isinstance(result, tuple) and len(result) == 1 else [result]
    expected = [tuple(inputs.shape), tuple(inputs[:, :1].shape)] if inputs.ndim > 2 else [tuple(inputs.shape)]
    if not isinstance(result, Tensor) or tuple(result.shape) not in expected:
        got = f"shape {tuple(result.shape)}" if isinstance(result, Tensor) else f"a {type(result).__name__}"
        fits = " or ".join(map(str, expected))
        raise InputError(f"{name} returned {got}, expected a tensor (N, C, *positions), here {fits}")
    if not result.is_floating_point():
        raise InputError(f"{name} returned {result.dtype}, expected floating-point attributions")
    return result


def attribution_method(name: str, attribution: type[Attribution]) -> type[Method]:
    """Return the method that a Captum attribution is, with the options of its ``attribute``."""
    signature = inspect.signature(attribution.attribute)
    try:
        inspect.signature(attribution).bind(None)
        signature.bind_partial(None, None, target=None)
    except TypeError as error:
        raise InputError(
            f"method {name!r} must be constructed with the model alone, and have attribute(inputs, target=..., ...): "
            f"{first_line(error)}"
        ) from None
    # Methods take the layout of their inputs, but for the layer of Grad-CAM.
    layout = {"channel_axis"} if issubclass(attribution, ModelGradients) else set()
    options = options_in(attribution.attribute, without={*NOT_OPTIONS, *layout, *list(signature.parameters)[:2]})
    require_free(name, AttributionMethod, options if _elsewhere(attribution) else ())
    return declared_as(
        name,
        AttributionMethod,
        options,
        _summary(name, attribution),
        attribution=attribution,
        batch_dependent=_elsewhere(attribution),
    )


def parts_method(name: str, modification: type[Modification]) -> type[Method]:
    """Return the method of parts whose gradients are sampled where a modification says."""
    own = options_in(modification, without=NOT_OPTIONS)
    if "n_samples" not in own:
        raise InputError(f"method {name!r} must take n_samples, the number of sample points of each example")
    default = own.pop("n_samples")[1].default
    require_free(name, PartsMethod, own)
    options = {**own, **options_in(GuidedMean)}
    # The papers compare all of this package's methods at the same number.
    if type(default) is int and not modification.__module__.startswith("captum_gag."):
        [declaration] = options_of(PartsMethod, "n_samples")
        options["n_samples"] = (int, option(default, declaration.help, **declaration.limits))
    attributes = {"modification": modification, "batch_dependent": _elsewhere(modification)}
    return declared_as(name, PartsMethod, options, _summary(name, modification), **attributes)


def function_method(name: str, function: Callable[..., Any]) -> type[Method]:
    """Return the method that a user's function is.

    Called with (model, inputs, targets, n_samples, seed), it returns attributions (N, C, *positions) or
    (N, 1, *positions), of tables (N, F); its further parameters are options.
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
    require_free(name, FunctionMethod, options)
    options["n_samples"] = (int, option(20, "Gradients per image.", ge=1))
    doc = first_sentence(inspect.getdoc(function) or "A method of the user's own.")
    return declared_as(name, FunctionMethod, options, doc, function=staticmethod(function))


def _summary(name: str, cls: type) -> str:
    # A dataclass without docstring has its signature there.
    doc = inspect.cleandoc(vars(cls).get("__doc__") or "")
    return first_sentence(name if not doc or doc.startswith(f"{cls.__name__}(") else doc)


def require_free(name: str, base: type[Method], options: Iterable[str]) -> None:
    """Raise InputError if an option has a name that every method of a base has already."""
    guide = GuidedMean.__dataclass_fields__ if base is PartsMethod else ()
    others = ("type", "of", *guide, *getattr(base, "__annotations__", {}))
    for key in options:
        if hasattr(base, key) or key in others:
            raise InputError(f"method {name!r} has a parameter {key}, which every method has already; rename it")


def _elsewhere(cls: type) -> bool:
    # Such a class may look at the batch.
    return not cls.__module__.startswith("captum_gag.attr.")
