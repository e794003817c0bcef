"""Methods put together from parts that take gradients on a path to the image: IG, Guided IG, Blur IG and variants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from captum_gag.attr.gradient_methods import SampledMethod
from captum_gag.attr.gradient_sources import log_probability_gradients
from captum_gag.attr.methods import named
from captum_gag.attr.modifications import Modification
from captum_gag.attr.paths import BlurPath, GuidedPath, StraightPath
from captum_gag.attr.random_starts import RandomStarts
from captum_gag.attr.sampled_gradients import GradientSource
from captum_gag.options import declared, option


@named("IG")
@declared
class LineGradients(SampledMethod):
    """Integrated Gradients and its variants: gradients on the line from a baseline to the image."""

    baselines: float = option(default=0.0, help="Where the line starts: an image of this value, in model space.")
    random_baselines: int = option(
        default=0,
        help="In place of baselines, average over so many lines from random images, uniform in the image's range; "
        "n_samples is divided among them.",
        ge=0,
    )
    method: Literal[
        "gausslegendre", "riemann_left", "riemann_middle", "riemann_right", "riemann_trapezoid", "equal_weights"
    ] = option(
        default="gausslegendre",
        help="Quadrature rule, under Captum's names; equal_weights is the plain mean over points from end to end.",
    )
    explains: Literal["score", "log_probability"] = option(
        default="score", help="Of what gradients are taken: the class's score, or the log of its softmax probability."
    )

    @classmethod
    def without_effect(cls, given: Mapping[str, Any]) -> dict[str, str]:
        """Return the options that the given ones make void, each with the reason."""
        drawn = given.get("random_baselines")
        void = {"baselines": "with random_baselines"} if isinstance(drawn, int) and drawn else {}
        return super().without_effect(given) | void

    def __post_init__(self) -> None:
        """Refuse gradients that the lines cannot share equally."""
        super().__post_init__()
        self.modification(None)

    def modification(self, seed: int | None) -> Modification:
        """Return the straight path, or several."""
        if self.random_baselines:
            return RandomStarts(self.n_samples, self.random_baselines, self.method, seed)
        return StraightPath(self.n_samples, self.baselines, self.method)

    @property
    def gradient_source(self) -> GradientSource | None:
        """What gives gradients; None for plain backpropagation."""
        return log_probability_gradients if self.explains == "log_probability" else None


@named("Guided IG")
@declared
class GuidedPathGradients(SampledMethod):
    """Guided Integrated Gradients and its variants: a path that moves first what the model reacts least to."""

    baselines: float = option(default=0.0, help="Where the path starts: an image of this value, in model space.")
    fraction: float = option(default=0.25, help="Share of the features that is moved at a time.", gt=0, le=1)
    max_dist: float = option(
        default=0.02, help="How far a feature may be from the line, as a share of its whole way.", ge=0, le=1
    )

    def modification(self, seed: int | None) -> Modification:
        """Return the guided path."""
        return GuidedPath(self.n_samples, self.baselines, self.fraction, self.max_dist)


@named("Blur IG")
@declared
class BlurPathGradients(SampledMethod):
    """Blur Integrated Gradients and its variants: from the blurred image to the image."""

    max_sigma: float = option(default=50.0, help="The strongest blur, in pixels.", gt=0)
    grad_step: float = option(
        default=0.01, help="Difference of sigma by which the image's change is taken, in pixels.", gt=0
    )
    sqrt: bool = option(default=False, help="Space the blurs by the square root, denser towards the strongest.")
    radius: int | None = option(
        default=None, help="Where the blur's kernel is cut, in pixels; 4 sigma by default.", ge=1, le=10_000_000
    )
    border: Literal["zeros", "reflect"] = option(default="zeros", help="What the blur meets beyond the border.")

    def modification(self, seed: int | None) -> Modification:
        """Return the path of blurs."""
        return BlurPath(self.n_samples, self.max_sigma, self.grad_step, self.sqrt, self.radius, self.border)
