#!/usr/bin/env python3

# pyre-strict

from typing import Any, Callable, cast, Optional, Tuple, Union

import torch
from captum._utils.common import (
    _expand_additional_forward_args,
    _expand_target,
    _format_additional_forward_args,
    _format_output,
    _format_tensor_into_tuples,
    _is_tuple,
    ExpansionTypes,
)
from captum._utils.gradient import (
    apply_gradient_requirements,
    undo_gradient_requirements,
)
from captum._utils.typing import TargetType, TensorOrTupleOfTensorsGeneric
from captum.attr._utils.attribution import GradientAttribution
from captum.log import log_usage
from torch import Tensor


class GuidedAbsoluteGrad(GradientAttribution):
    r"""
    Guided AbsoluteGrad averages the magnitudes of the gradients at several noisy
    versions of the input, and multiplies this mean by a guide that is made of the
    variance of these gradients: 1 where the variance reaches its percentile, and
    the variance itself below.

    With gradients :math:`M_i`, i = 1 ... n:

    .. math::
        AG = \frac{1}{n} \sum_i |M_i|, \quad
        V = \frac{1}{n-1} \sum_i (M_i - \bar{M})^2, \quad
        G = \begin{cases} 1 & V \ge V_p \\ V & \text{else} \end{cases}

    and the attribution is :math:`AG \cdot G`. The percentile :math:`V_p` is taken
    for each example and channel.

    More details about the approach can be found in the following paper:
        https://arxiv.org/abs/2404.15564
    """

    def __init__(self, forward_func: Callable[..., Tensor]) -> None:
        r"""
        Args:

            forward_func (Callable): The forward function of the model or any
                        modification of it.
        """
        GradientAttribution.__init__(self, forward_func)

    @log_usage(part_of_slo=True)
    def attribute(
        self,
        inputs: TensorOrTupleOfTensorsGeneric,
        target: TargetType = None,
        additional_forward_args: Optional[object] = None,
        nt_samples: int = 20,
        nt_samples_batch_size: Optional[int] = None,
        stdevs: Union[None, float, Tuple[float, ...]] = None,
        noise_level: float = 0.15,
        percentile: float = 85.0,
    ) -> TensorOrTupleOfTensorsGeneric:
        r"""
        Args:

            inputs (Tensor or tuple[Tensor, ...]): Input for which attributions
                        are computed. Dimension 0 of each tensor is the number of
                        examples.
            target (int, tuple, Tensor, or list, optional): Output indices for
                        which gradients are computed, as for Saliency.
                        Default: None
            additional_forward_args (Any, optional): Further arguments of
                        forward_func, for which no attributions are computed. A
                        tensor whose dimension 0 is the number of examples is
                        expanded with them.
                        Default: None
            nt_samples (int, optional): The number n of noisy versions of each
                        example; at least 2 unless percentile is 0.
                        Default: 20
            nt_samples_batch_size (int, optional): How many versions of each
                        example go through forward_func at a time. None: all.
                        Default: None
            stdevs (float or tuple of float, optional): The standard deviation of
                        the noise, one for all inputs or one for each. None takes
                        noise_level times the range, max - min, of each example.
                        Default: None
            noise_level (float, optional): Used where stdevs is None.
                        Default: 0.15
            percentile (float, optional): p in [0, 100]. 0 gives the plain mean
                        of the magnitudes.
                        Default: 85.0

        Returns:
            *Tensor* or *tuple[Tensor, ...]* of **attributions**:
            - **attributions** (*Tensor* or *tuple[Tensor, ...]*):
                        At least 0, with the shapes of the inputs; a tuple if
                        a tuple was provided.

        Examples::

            >>> # ImageClassifier takes a single input tensor of images Nx3x32x32,
            >>> # and returns an Nx10 tensor of class scores.
            >>> net = ImageClassifier()
            >>> gag = GuidedAbsoluteGrad(net)
            >>> input = torch.randn(2, 3, 32, 32)
            >>> # Computes attributions for class 3.
            >>> attribution = gag.attribute(input, target=3)
        """
        assert (
            0 <= percentile <= 100
        ), f"percentile must be in [0, 100], got {percentile}."
        assert nt_samples >= (
            2 if percentile > 0 else 1
        ), f"a variance needs nt_samples of at least 2, got {nt_samples}."
        at_once = nt_samples_batch_size or nt_samples
        assert at_once > 0, f"nt_samples_batch_size must be positive, got {at_once}."

        is_inputs_tuple = _is_tuple(inputs)
        inputs_tuple = tuple(
            each.detach() for each in _format_tensor_into_tuples(inputs)
        )
        arguments = _format_additional_forward_args(additional_forward_args)
        scales = _noise_scales(inputs_tuple, stdevs, noise_level)
        moments = [_Moments(each) for each in inputs_tuple]

        for start in range(0, nt_samples, at_once):
            count = min(at_once, nt_samples - start)
            noisy = tuple(
                _noisy(each, scale, count) for each, scale in zip(inputs_tuple, scales)
            )
            mask = apply_gradient_requirements(noisy, warn=False)
            gradients = self.gradient_func(
                self.forward_func,
                noisy,
                _expand_target(
                    target, count, expansion_type=ExpansionTypes.repeat_interleave
                ),
                _expand_additional_forward_args(
                    arguments, count, expansion_type=ExpansionTypes.repeat_interleave
                ),
            )
            undo_gradient_requirements(noisy, mask)
            for moment, gradient in zip(moments, gradients):
                moment.update(gradient.detach(), count)

        attributions = tuple(moment.guided(percentile) for moment in moments)
        return cast(
            TensorOrTupleOfTensorsGeneric,
            _format_output(is_inputs_tuple, attributions),
        )

    def attribute_future(self) -> None:
        r"""
        This method is not implemented for GuidedAbsoluteGrad.
        """
        raise NotImplementedError(
            "attribute_future is not implemented for GuidedAbsoluteGrad"
        )


class _Moments:
    """
    The mean magnitude and the variance of a stream of gradients (Welford, 1962).
    """

    def __init__(self, like: Tensor) -> None:
        self.count = 0
        self.magnitude: Tensor = torch.zeros_like(like)
        self.mean: Tensor = torch.zeros_like(like)
        self.squares: Tensor = torch.zeros_like(like)

    def update(self, gradients: Tensor, count: int) -> None:
        """
        Take in gradients in which `count` versions of each example are adjacent.
        """
        for gradient in gradients.unflatten(0, (-1, count)).unbind(1):
            self.count += 1
            self.magnitude += (gradient.abs() - self.magnitude) / self.count
            deviation = gradient - self.mean
            self.mean += deviation / self.count
            self.squares += deviation * (gradient - self.mean)

    def guided(self, percentile: float) -> Tensor:
        """
        The mean magnitude times the guide.
        """
        if percentile == 0:
            return self.magnitude
        variance = self.squares / (self.count - 1)
        threshold = _percentile(variance, percentile)
        return self.magnitude * torch.where(variance >= threshold, 1.0, variance)


def _percentile(values: Tensor, percentile: float) -> Tensor:
    """
    The percentile of each example and channel, or of each example of a table, by
    linear interpolation. torch.quantile takes 16 million values at most.
    """
    kept = 2 if values.dim() > 2 else 1
    ordered = (
        values.flatten(kept).sort(-1).values if values.dim() > 1 else values[:, None]
    )
    place = percentile / 100 * (ordered.shape[-1] - 1)
    below, above = int(place), min(int(place) + 1, ordered.shape[-1] - 1)
    found = torch.lerp(ordered[..., below], ordered[..., above], place - below)
    return found.reshape(*found.shape, *[1] * (values.dim() - found.dim()))


def _noise_scales(
    inputs: Tuple[Tensor, ...],
    stdevs: Union[None, float, Tuple[float, ...]],
    noise_level: float,
) -> Tuple[Any, ...]:
    """
    The standard deviation of the noise of each input, a number or (N, 1, ...).
    """
    if stdevs is None:
        ranges = []
        for each in inputs:
            flat = each.reshape(len(each), -1)
            width = flat.amax(1) - flat.amin(1)
            ranges.append(noise_level * width.reshape(-1, *[1] * (each.dim() - 1)))
        return tuple(ranges)
    given = stdevs if isinstance(stdevs, tuple) else (stdevs,) * len(inputs)
    assert len(given) == len(
        inputs
    ), f"expected one of stdevs for each of {len(inputs)} inputs, got {len(given)}."
    return given


def _noisy(each: Tensor, scale: Any, count: int) -> Tensor:
    """
    `count` noisy versions of each example, adjacent.
    """
    if isinstance(scale, Tensor):
        scale = scale.repeat_interleave(count, 0)
    repeated = each.repeat_interleave(count, 0)
    return repeated + scale * torch.randn_like(repeated)
