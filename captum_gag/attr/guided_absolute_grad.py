"""Guided AbsoluteGrad (Huang & Liu, 2024) as a Captum attribution."""

from __future__ import annotations

from typing import Any

from captum.log import log_usage

from captum_gag.attr.aggregations import GuidedMean
from captum_gag.attr.contract import Count, Inputs, Level, Percentile, Seed, checked_inputs, like_inputs
from captum_gag.attr.interpretations import absolute
from captum_gag.attr.modifications import GaussianNoise
from captum_gag.attr.pooling import BoxPooling, Window
from captum_gag.attr.sampled_gradients import ModelGradients
from captum_gag.attr.stopping import Tolerance
from captum_gag.options import checked


class GuidedAbsoluteGrad(ModelGradients):
    r"""Mean magnitude of noisy gradients, guided by their variance.

    For gradients :math:`M_i` of the target score at n noisy versions of the input (Huang & Liu, 2024):

    .. math::
        AG = \frac{1}{n} \sum_i |M_i| \quad (2), \qquad
        V = \frac{1}{n-1} \sum_i (M_i - \bar M)^2 \quad (3), \qquad
        G = \begin{cases} 1 & V \ge V_p \\ V & \text{else} \end{cases} \quad (4)

    and the attribution is :math:`AG \cdot G`, never negative. :math:`V_p` is the p-th percentile of V, per example
    and channel. In the terms of ``SampledGradients``: GaussianNoise, absolute, GuidedMean(p).

    Example:
        >>> gag = GuidedAbsoluteGrad(model)
        >>> attributions = gag.attribute(images, target=labels, seed=0)  # (N, 3, H, W), as images
    """

    @log_usage()
    @checked
    def attribute(
        self,
        inputs: Inputs,
        target: Any = None,
        additional_forward_args: Any = None,
        *,
        nt_samples: Count = 20,
        nt_samples_batch_size: Count | None = None,
        stdevs: Level | tuple[Level, ...] | None = None,
        noise_level: Level = 0.15,
        percentile: Percentile = 85.0,
        guide: str = "paper",
        seed: Seed | None = None,
        return_standard_error: bool = False,
        show_progress: bool = False,
        noise_range: str = "example",
        guide_window: Window = 1,
        tolerance: Tolerance | None = None,
    ) -> Any:
        """Explain ``inputs``.

        Args:
            inputs: Floating-point tensor of shape (N, ...), or a tuple of them with the same N.
            target: Which output is explained, in any form that Captum takes: an int, a tuple of ints, or a
                tensor or list with one entry per example. None for outputs of shape (N,).
            additional_forward_args: Further arguments of ``forward_func``. A tensor whose first dimension is N
                goes with the examples; everything else is passed as it is.
            nt_samples: n, the number of noisy versions of each example; at least 2 unless ``percentile`` is 0.
            nt_samples_batch_size: Versions per example in one forward pass. None picks a good number; memory does
                not grow with ``nt_samples`` either way.
            stdevs: Standard deviation of the noise in units of the input, one number or one per input. None takes
                ``noise_level`` times a range (max - min).
            noise_level: Used when ``stdevs`` is None.
            percentile: p in [0, 100]. 0 gives AbsoluteGrad (equation 2) exactly.
            guide: "paper" multiplies by V below the percentile (equation 4). That is not free of scale: where
                V > 1 it amplifies, and a warning says so. "strict" does so at the percentile too, as the authors'
                published code. "relative" divides V by its percentile first and never exceeds 1.
            seed: Makes the result reproducible, the same for an example whatever batch it came in and however
                ``nt_samples`` were split into batches (up to the rounding of the model, whose arithmetic may depend on
                the batch), and leaves torch's global random state alone. None draws from the global state, as
                NoiseTunnel does.
            return_standard_error: Also return the Monte-Carlo standard error of AG.
            show_progress: Show a progress bar over the samples.
            noise_range: Used when ``stdevs`` is None: "example" takes each example's own range, "batch" that of the
                whole batch, as the authors' published code; a map then depends on the batch that it came in.
            guide_window: Positions along each axis, odd, over which V is averaged before its percentile and the guide
                are taken, so that fewer samples may do: 5 for 5 x 5 pixels. 1 is the paper. A tuple has a side for each
                axis after the first, as inputs (N, C, T) and (N, F) need it; see ``BoxPooling``.
            tolerance: Let each example stop before ``nt_samples``, as soon as the estimated rank correlation of its map
                with that of infinitely many samples is at least 1 - tolerance; see ``UntilStable``. Two samples of an
                example go through the model at a time then. None takes all samples.

        Returns:
            Attributions >= 0 with the shapes, dtype (single precision for half) and device of ``inputs``; a tuple if
            and only if a tuple came in. With ``return_standard_error`` a pair of this and the standard errors of AG in
            the same form. An example with NaN or infinite values gets a map of NaN and does not touch its neighbours.

        Raises:
            InputError: If inputs, target or parameters have no meaning, or do not fit what the model returns.
        """
        aggregation = GuidedMean(percentile, guide, BoxPooling(guide_window))
        limit = nt_samples_batch_size and nt_samples_batch_size * len(checked_inputs(inputs)[0])
        noise = GaussianNoise(nt_samples, stdevs, noise_level, seed, noise_range)
        moments = self.sampler(noise, absolute, aggregation).moments(
            inputs,
            target,
            additional_forward_args,
            limit,
            show_progress,
            description=self.get_name(),
            tolerance=tolerance,
        )
        attributions = like_inputs(inputs, [aggregation(each) for each in moments])
        if not return_standard_error:
            return attributions
        return attributions, like_inputs(inputs, [each.standard_error() for each in moments])
