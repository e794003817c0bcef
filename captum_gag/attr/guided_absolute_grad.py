"""Guided AbsoluteGrad (Huang & Liu, 2024) as a Captum attribution."""

from __future__ import annotations

from typing import Any

from captum.attr import NoiseTunnel
from captum.log import log_usage

from captum_gag.attr.aggregations import Guide, GuidedMean, Window
from captum_gag.attr.contract import Count, Inputs, Level, Percentile, Seed
from captum_gag.attr.examples import Rows
from captum_gag.attr.interpretations import absolute
from captum_gag.attr.modifications import Deviations, GaussianNoise
from captum_gag.attr.sampled_gradients import ModelGradients, Parts
from captum_gag.errors import InputError, caller
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
        stdevs: Deviations | None = None,
        noise_level: Level = 0.15,
        percentile: Percentile = 85.0,
        guide: Guide = "paper",
        seed: Seed | None = None,
        return_standard_error: bool = False,
        show_progress: bool = False,
        guide_window: Window = 1,
        channel_axis: int = 1,
        rows: Rows = "independent",
    ) -> Any:
        """Explain ``inputs``.

        Args:
            inputs: Floating-point tensor of shape (N, ...), or a tuple of them with the same N.
            target: The output to explain, in any form that Captum takes: an int, a tuple of ints, or a
                tensor or list with one entry per example. None for outputs of shape (N,).
            additional_forward_args: Further arguments of ``forward_func``. Of a tensor of N rows each goes with its
                example, where the model's outputs show that it does; everything else is passed as it is.
            nt_samples: Number of noisy versions of each example, n; at least 2 unless ``percentile`` is 0.
            nt_samples_batch_size: Versions per example in one forward pass. None picks a good number; memory does
                not grow with ``nt_samples`` either way. 1 passes all examples in order, whatever they have to do with
                each other.
            stdevs: Standard deviation of the noise in units of the input, one number or one per input; None takes
                ``noise_level`` times the range (max - min) of each example.
            noise_level: Standard deviation of the noise, as a share of the example's range, where ``stdevs`` is None.
            percentile: The guide's p in [0, 100]: the percentile of the gradients' variance; 0 gives AbsoluteGrad
                (equation 2) exactly.
            guide: Below the percentile, "paper" multiplies by V (equation 4), "relative" by V divided by its
                percentile. The paper's is not free of scale: where V > 1 it amplifies, and a warning says so; the
                other never exceeds 1.
            seed: Seed of the noise; None draws from torch's global random state, as NoiseTunnel does. With a seed
                that state is left alone, and the map of an example is the same whatever batch it came in and however
                ``nt_samples`` were split into batches (up to the rounding of the model, whose arithmetic may depend on
                the batch).
            return_standard_error: Also return the Monte-Carlo standard error of AG.
            show_progress: Show a progress bar over the samples.
            guide_window: Odd side of the box of positions over which V is averaged; 1 is the paper. With 5 x 5 pixels
                fewer samples may do. A tuple has a side for each axis after the first, as inputs (N, C, T) and (N, F)
                need it, with the channels first.
            channel_axis: The axis of the values that share one position: 1, or -1 for (N, H, W, C) and token embeddings
                (N, T, E).
            rows: "together" if the rows are one example, such as the nodes of a graph or the frames of a clip: each
                pass has all of them, the scores of all rows that the model returns are summed, and the noise's range
                and the guide's percentile are those of all rows.

        Returns:
            Attributions >= 0 with the shapes, dtype (single precision for half) and device of ``inputs``; a tuple if
            and only if a tuple came in. With ``return_standard_error`` a pair of this and the standard errors of AG in
            the same form. An example with NaN or infinite values gets a map of NaN and does not touch its neighbours.

        Raises:
            InputError: Inputs, target or parameters are invalid, or do not fit what the model returns; ``NoiseTunnel``
                is around it, with noise or a guide of its own.
        """
        if caller() == NoiseTunnel.__module__:
            if noise_level or percentile:
                raise InputError(
                    "NoiseTunnel keeps nt_samples and stdevs for itself, and GuidedAbsoluteGrad adds noise of its own; "
                    "call GuidedAbsoluteGrad(model).attribute(inputs, nt_samples=...) without NoiseTunnel, or pass "
                    "noise_level=0.0 and percentile=0.0 for magnitudes of the gradients at NoiseTunnel's samples."
                )
            nt_samples = 1
        noise = {"nt_samples": nt_samples, "stdevs": stdevs, "noise_level": noise_level, "seed": seed}
        parts = self.parts(**noise, percentile=percentile, guide=guide, guide_window=guide_window)
        layout = {"channel_axis": channel_axis, "rows": rows, "in_order": nt_samples_batch_size == 1}
        examples = self._examples(inputs, target, additional_forward_args, **layout)
        limit = nt_samples_batch_size and nt_samples_batch_size * len(examples.tensors[0])
        moments = self._moments(parts, examples, limit, show_progress, mean_only=not return_standard_error)
        attributions = examples.like_inputs([parts.aggregation(moment) for moment in moments])
        if not return_standard_error:
            return attributions
        return attributions, examples.like_inputs([moment.standard_error() for moment in moments])

    @staticmethod
    def parts(
        *, nt_samples: Any, stdevs: Any, noise_level: Any, seed: Any, percentile: Any, guide: Any, guide_window: Any
    ) -> Parts:
        """Return the parts of the method with these options of ``attribute``, to share gradients with other methods."""
        noise = GaussianNoise(nt_samples, stdevs, noise_level, seed)
        return Parts(noise, absolute, GuidedMean(percentile, guide, guide_window))
