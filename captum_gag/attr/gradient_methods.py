"""Methods put together from parts: where gradients are taken, how each is read, how they are aggregated."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from pydantic import SkipValidation, model_validator
from pydantic_core import ArgsKwargs
from torch import Tensor, nn

from captum_gag.attr.aggregations import Aggregation, GuidedMean, Mean, Variance
from captum_gag.attr.captum_calls import captum_target
from captum_gag.attr.contract import Seed, like_inputs
from captum_gag.attr.gradient_sources import guided_backpropagation
from captum_gag.attr.interpretations import Interpretation, absolute, negative, positive, signed, squared
from captum_gag.attr.methods import Method, behind_the_door, named
from captum_gag.attr.modifications import GaussianNoise, Modification
from captum_gag.attr.pooling import BoxPooling, Window
from captum_gag.attr.sampled_gradients import GradientSource, SampledGradients
from captum_gag.attr.stopping import FIRST_LOOK, Tolerance
from captum_gag.errors import InputError
from captum_gag.options import checked, declared, option
from captum_gag.outputs import Output
from captum_gag.tensors import Target


class Reading(NamedTuple):
    """How the gradients of a method become its attribution."""

    interpretation: Interpretation
    aggregation: Aggregation


INTERPRETATIONS: dict[str, Interpretation] = {
    "signed": signed,
    "positive": positive,
    "negative": negative,
    "absolute": absolute,
    "squared": squared,
}


@declared
class SampledMethod(Method):
    """A gradient method of parts; a subclass says where gradients are taken."""

    n_samples: int = option(default=20, help="Gradients per image: noisy versions, or steps of a path.", ge=1)
    interpretation: Literal["signed", "positive", "negative", "absolute", "squared"] = option(
        default="signed", help="What of each gradient counts."
    )
    aggregation: Literal["mean", "variance", "guided"] = option(
        default="mean", help="How gradients become one attribution; guided is the mean times the guide of equation 4."
    )
    percentile: float = option(default=85.0, help="Of the guide: the percentile p of the variance.", ge=0, le=100)
    guide: Literal["paper", "strict", "relative"] = option(
        default="paper",
        help="Below the percentile: multiply by the variance (strict: at the percentile too, as the published code), "
        "or by the variance relative to its percentile.",
    )
    guide_window: Window = option(
        default=1,
        help="Of the guide: average the variance over so many positions along each axis, an odd number; or a tuple "
        "with one for each axis after the first.",
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_what_has_no_effect(cls, given: ArgsKwargs) -> ArgsKwargs:
        for name, reason in cls.without_effect(given.kwargs or {}).items():
            if name in (given.kwargs or {}):
                raise InputError(f"{cls.__name__}: {name} has no effect {reason}; leave it out")
        return given

    def __post_init__(self) -> None:
        """Refuse a variance of one sample."""
        varies = self.aggregation == "variance" or (self.aggregation == "guided" and self.percentile > 0)
        if varies and self.n_samples < 2:
            raise InputError(f'{type(self).__name__}: aggregation "{self.aggregation}" needs n_samples of at least 2')

    @classmethod
    def without_effect(cls, given: Mapping[str, Any]) -> dict[str, str]:
        """Return the options that the given ones make void, each with the reason."""
        aggregation = given.get("aggregation", cls.__pydantic_fields__["aggregation"].default)  # type: ignore[attr-defined]
        void = "" if aggregation == "guided" else f'with aggregation "{aggregation}"'
        return dict.fromkeys(("percentile", "guide", "guide_window"), void) if void else {}

    def modification(self, seed: int | None) -> Modification:
        """Return where gradients are taken."""
        raise NotImplementedError

    @property
    def gradient_source(self) -> GradientSource | None:
        """What gives gradients; None for plain backpropagation."""
        return None

    @property
    def reading(self) -> Reading:
        """How gradients are read and aggregated."""
        aggregations: dict[str, Aggregation] = {
            "mean": Mean(),
            "variance": Variance(),
            "guided": GuidedMean(self.percentile, self.guide, BoxPooling(self.guide_window)),
        }
        return Reading(INTERPRETATIONS[self.interpretation], aggregations[self.aggregation])

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Sample, read and aggregate gradients."""
        sampler = SampledGradients(
            model, self.modification(seed), *self.reading, self.gradient_source, freeze_statistics=True
        )
        attributions: Tensor = sampler.attribute(inputs, target=captum_target(targets), tolerance=self.stops_at)
        return attributions

    @property
    def stops_at(self) -> float | None:
        """Tolerance at which each example stops; None takes all samples."""
        return None

    @property
    def parts(self) -> str:
        """Modification x interpretation x aggregation, and the source of the gradients if it is another."""
        parts = [type(self.modification(0)).__name__, self.interpretation, repr(self.reading.aggregation)]
        return " x ".join([*parts, *([self.gradient_source.__name__] if self.gradient_source else [])])

    @property
    def shared(self) -> Hashable | None:
        """Where gradients are taken, and by what; None where each method stops when its own map has settled."""
        return (self.modification(0), self.gradient_source) if self.stops_at is None else None


@named("SG")
@declared
class NoisyGradients(SampledMethod):
    """Gradients at noisy versions of the image: SmoothGrad, VarGrad and their variants."""

    noise_level: float = option(default=0.15, help="Standard deviation of the noise, as a share of a range.", ge=0)
    stdevs: float | None = option(
        default=None, help="Standard deviation in units of the input, in place of noise_level.", ge=0
    )
    backpropagation: Literal["plain", "guided"] = option(
        default="plain", help="Guided: only positive gradients pass a ReLU."
    )
    noise_range: Literal["example", "batch"] = option(
        default="example", help="Whose range (max - min): the image's own, or that of the whole batch."
    )
    tolerance: Tolerance | None = option(
        default=None,
        help="Let each image stop before n_samples, as soon as the estimated rank correlation of its map with that of "
        "infinitely many samples is at least 1 - tolerance.",
    )

    def __post_init__(self) -> None:
        """Refuse a tolerance that nothing comes of."""
        super().__post_init__()
        if self.tolerance is not None and self.n_samples <= FIRST_LOOK:
            raise InputError(
                f"{type(self).__name__}: tolerance needs n_samples of more than {FIRST_LOOK}, where maps are first "
                "looked at"
            )

    @classmethod
    def without_effect(cls, given: Mapping[str, Any]) -> dict[str, str]:
        """Return the options that the given ones make void, each with the reason."""
        names = () if given.get("stdevs") is None else ("noise_level", "noise_range")
        void = dict.fromkeys(names, "where stdevs is given")
        return super().without_effect(given) | void

    def modification(self, seed: int | None) -> Modification:
        """Return noise around the image."""
        return GaussianNoise(self.n_samples, self.stdevs, self.noise_level, seed, self.noise_range)

    @property
    def stops_at(self) -> float | None:
        """Tolerance at which each example stops; None takes all samples."""
        return self.tolerance

    @property
    def gradient_source(self) -> GradientSource | None:
        """What gives gradients; None for plain backpropagation."""
        return guided_backpropagation if self.backpropagation == "guided" else None


@named("GAG")
@declared
class GuidedAbsoluteGradients(NoisyGradients):
    """Guided AbsoluteGrad: mean magnitude of noisy gradients, guided by their variance."""

    interpretation: Literal["absolute"] = option("absolute", init=False)
    aggregation: Literal["guided"] = option("guided", init=False)
    backpropagation: Literal["plain"] = option("plain", init=False)


@named("GB")
@declared
class GuidedBackpropagation(Method):
    """Guided backpropagation of the image itself (its noisy variants are SG with backpropagation = "guided")."""

    built_from = "captum.attr.GuidedBackprop"

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Take one gradient, at the image."""
        itself = GaussianNoise(1, stdevs=0.0, seed=0)
        sampler = SampledGradients(model, itself, gradient_source=guided_backpropagation, freeze_statistics=True)
        gradients: Tensor = sampler.attribute(inputs, target=captum_target(targets))
        return gradients


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
        model: As for ``Method.attribute``, as are the inputs and the target.
        inputs: Images (N, C, H, W), or any (N, C, *positions); tables (N, F); token embeddings (N, T, E).
        target: Class of all examples, or of each.
        seed: Fixes noise. With it the attributions are those that each method gives by itself, bit for bit.
        output: What the model returns; see ``captum_gag.outputs``.

    Returns:
        Attributions like the inputs, one for each method; see ``Method.attribute``.

    Raises:
        InputError: The methods do not take the same gradients, or what is given does not fit together.
    """
    sampled = [method for method in methods if isinstance(method, SampledMethod)]
    gradients_of = {method.shared for method in sampled}
    if len(sampled) != len(methods) or len(gradients_of) != 1 or None in gradients_of:
        kinds = ", ".join(type(method).__name__ for method in methods)
        raise InputError(f"{kinds or 'no methods'}: not the same gradients; expected such as GAG-85, SG and VarGrad")
    first = sampled[0]
    readings = [method.reading for method in sampled]
    interpretations = list(dict.fromkeys(reading.interpretation for reading in readings))

    def all_of_them(gradients: Tensor) -> Tensor:
        return torch.stack([interpret(gradients) for interpret in interpretations], 1)

    def explain(model: Any, inputs: Tensor, targets: Tensor) -> list[Tensor]:
        sampler = SampledGradients(
            model,
            first.modification(seed),
            all_of_them,
            gradient_source=first.gradient_source,
            freeze_statistics=True,
        )
        [moments] = sampler.moments(inputs, target=captum_target(targets))
        found = [
            reading.aggregation(moments.reading(interpretations.index(reading.interpretation))) for reading in readings
        ]
        return list(like_inputs((inputs,) * len(found), found))

    return behind_the_door(explain, model, inputs, target, output)
