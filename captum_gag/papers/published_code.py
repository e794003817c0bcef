"""Attributions as the published code of Huang & Liu (2024) computes them, where that differs from the paper.

The code takes the range of the whole batch for its noise, guides with V > V_p, explains the log-probability by IG from
random images with equal weights, and blurs by a kernel of fixed radius with reflected borders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from captum.attr import GradientAttribution
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from captum_gag.attr.aggregations import GuidedMean
from captum_gag.attr.contract import Count, Inputs, Seed, TensorOrTuple
from captum_gag.attr.guided_absolute_grad import GuidedAbsoluteGrad
from captum_gag.attr.interpretations import signed
from captum_gag.attr.modifications import GaussianNoise, Samples, lowest_and_highest
from captum_gag.attr.paths import BlurPath, Floats, StraightPath
from captum_gag.attr.sampled_gradients import GradientSource, ModelGradients, Parts
from captum_gag.errors import InputError
from captum_gag.options import checked
from captum_gag.outputs import sum_to_one
from captum_gag.tensors import at_least_single, double_where_there, seeded_generator


@dataclass(frozen=True)
class BatchNoise(GaussianNoise):
    """Gaussian noise in proportion to the range of the whole batch, so that a map depends on its neighbours."""

    def range(self, tensor: Tensor) -> Tensor:
        """Return the range (max - min) of all examples together."""
        lowest, highest = tensor.to(at_least_single(tensor.dtype)).aminmax()
        return highest - lowest


@dataclass(frozen=True)
class StrictGuidedMean(GuidedMean):
    """Guided mean whose guide is 1 where the variance is above its percentile; at the percentile it is the variance."""

    def reached(self, variance: Tensor, threshold: Tensor) -> Tensor:
        """Return the mask of where the guide is 1."""
        return variance > threshold


class PublishedGAG(GuidedAbsoluteGrad):
    """Guided AbsoluteGrad with ``BatchNoise`` and ``StrictGuidedMean``."""

    @staticmethod
    def parts(**options: Any) -> Parts:
        """Return the parts of the method; see ``GuidedAbsoluteGrad.parts``."""
        parts = GuidedAbsoluteGrad.parts(**options)
        noise, guide = BatchNoise(**vars(parts.modification)), StrictGuidedMean(**vars(parts.aggregation))
        return parts._replace(modification=noise, aggregation=guide)


class PublishedGuidedSG(PublishedGAG):
    """The same of the signed gradients: SmoothGrad, guided."""

    @staticmethod
    def parts(**options: Any) -> Parts:
        """Return the parts of the method; see ``GuidedAbsoluteGrad.parts``."""
        return PublishedGAG.parts(**options)._replace(interpretation=signed)


@dataclass(frozen=True)
class EqualWeights(StraightPath):
    """The straight line with the plain mean over points from end to end, ends included, as PAIR's library takes it."""

    def quadrature(self) -> tuple[Floats, Floats]:
        """Return equally spaced positions and equal weights."""
        positions = torch.linspace(0, 1, self.n_samples, dtype=torch.float64).numpy()
        return positions, np.full(self.n_samples, 1 / self.n_samples)


@checked
@dataclass(frozen=True)
class RandomStarts:
    """Straight lines from random images to the input, equally many points on each, with equal weights.

    The values of a random image are independent and uniform between the lowest and the highest of the example. The mean
    over the points is the mean of the lines' Integrated Gradients. For the options see ``PublishedIG.attribute``.
    """

    n_samples: Count = 20
    random_baselines: Count = 2
    seed: Seed | None = None

    def __post_init__(self) -> None:
        """Refuse points that the lines cannot share equally."""
        if self.n_samples % self.random_baselines:
            raise InputError(
                f"n_samples is {self.n_samples} for {self.random_baselines} random baselines, expected a multiple: "
                "equally many points on the line from each."
            )

    def samples(self, inputs: tuple[Tensor, ...], chunk: int) -> Iterator[Samples]:
        """Yield the points of one line after the other; see ``Modification.samples``."""
        generators = {tensor.device: seeded_generator(self.seed, tensor.device) for tensor in inputs}
        for _ in range(self.random_baselines):
            starts = []
            for tensor in inputs:
                lowest, highest = lowest_and_highest(tensor)
                shape = tensor.shape if self.seed is None else tensor.shape[1:]
                share = torch.rand(shape, generator=generators[tensor.device], dtype=lowest.dtype, device=tensor.device)
                starts.append((lowest + share * (highest - lowest)).to(tensor.dtype))
            line = EqualWeights(self.n_samples // self.random_baselines, tuple(starts))
            yield from line.samples(inputs, chunk)


def log_probability_gradients(
    forward_func: Callable[..., Tensor],
    inputs: tuple[Tensor, ...],
    target: Any = None,
    additional_forward_args: Any = None,
) -> tuple[Tensor, ...]:
    """Return gradients of the logarithm of the softmax probability; arguments as for Captum's ``gradient_func``.

    Raises:
        InputError: The outputs are not logits (N, classes, ...) of several classes.
    """

    def log_probabilities(*arguments: Any) -> Tensor:
        scores = forward_func(*arguments)
        # One logit z is read as the scores -z and z, whose softmax is not its probability.
        one_logit = scores.ndim > 1 and scores.shape[1] == 2 and bool((scores[:, 0] == -scores[:, 1]).all())
        if scores.ndim < 2 or scores.shape[1] < 2 or one_logit or sum_to_one(scores.detach()):
            raise InputError(
                f"Gradients of a log-probability got scores {tuple(scores.shape)}, expected logits of several classes, "
                'of which the softmax is taken; explain the "score".'
            )
        return scores.log_softmax(1)

    gradient_func: GradientSource = GradientAttribution(log_probabilities).gradient_func
    return gradient_func(log_probabilities, inputs, target, additional_forward_args)


class PublishedIG(ModelGradients):
    """Integrated Gradients of the log-probability, from random images with equal weights."""

    @checked
    def attribute(
        self,
        inputs: Inputs,
        target: Any = None,
        additional_forward_args: Any = None,
        *,
        n_samples: Count = 20,
        random_baselines: Count = 2,
        seed: Seed | None = None,
    ) -> TensorOrTuple:
        """Explain ``inputs``.

        Args:
            inputs: Floating-point tensor of shape (N, ...), or a tuple of them with the same N.
            target: The class to explain, in any form that Captum takes.
            additional_forward_args: Further arguments of ``forward_func``.
            n_samples: Number of points on all lines together, a multiple of ``random_baselines``.
            random_baselines: Number of random images.
            seed: Of the random images: they are the same for every example, and torch's global random state is left
                alone. None draws from that, independently for every example.
        """
        parts = self.parts(n_samples=n_samples, random_baselines=random_baselines, seed=seed)
        return self._attributions(parts, self._examples(inputs, target, additional_forward_args))

    @staticmethod
    def parts(*, n_samples: Any, random_baselines: Any, seed: Any) -> Parts:
        """Return the parts of the method."""
        return Parts(RandomStarts(n_samples, random_baselines, seed), gradient_source=log_probability_gradients)


@dataclass(frozen=True)
class ReflectedBlurPath(BlurPath):
    """Path of blurs by a kernel of 41 x 41 pixels, with reflected borders."""

    def blur(self, images: Tensor, sigma: float) -> Tensor:
        """Blur images (N, C, H, W), in double precision."""
        exact = images.to(double_where_there(images))
        # Rows, then columns: the same image for 2 x 41 products per pixel instead of 41 x 41.
        return gaussian_blur(gaussian_blur(exact, [41, 1], [sigma, sigma]), [1, 41], [sigma, sigma]) if sigma else exact
