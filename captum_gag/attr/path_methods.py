"""Guided IG and Blur IG, the path methods that Captum lacks, as Captum attributions."""

from __future__ import annotations

from typing import Any

import torch
from captum.attr import GradientAttribution
from captum.log import log_usage
from torch import Tensor

from captum_gag.attr.contract import Count, Fraction, Inputs, Pixels, Share, finite_only
from captum_gag.attr.examples import Examples, Rows
from captum_gag.attr.modifications import Modification
from captum_gag.attr.paths import Baselines, BlurPath, GuidedPath, format_baselines
from captum_gag.attr.sampled_gradients import ModelGradients, Parts
from captum_gag.modules import state_kept
from captum_gag.options import checked
from captum_gag.threads import one_at_a_time


class PathAttribution(ModelGradients):
    """Base of path methods: the sum along a path, and how far it is from the difference of its ends."""

    def has_convergence_delta(self) -> bool:
        """Return True: ``attribute`` takes ``return_convergence_delta``."""
        return True

    @property
    def multiplies_by_inputs(self) -> bool:
        """True: gradients are multiplied by the steps of the path."""
        return True

    @one_at_a_time
    def _integrate(
        self,
        path: Modification,
        start: tuple[Tensor, ...],
        examples: Examples,
        internal_batch_size: int | None,
        return_convergence_delta: bool,
    ) -> Any:
        moments = self._moments(Parts(path), examples, internal_batch_size)
        integrals = tuple(moment.interpreted.mean for moment in moments)
        attributions = examples.like_inputs(integrals)
        if not return_convergence_delta:
            return attributions
        rows = range(len(examples.tensors[0]))
        ends = GradientAttribution(lambda *values: examples.scores(self.forward_func, rows, values))
        points = integrals, start, examples.tensors
        with torch.inference_mode(False), torch.no_grad(), state_kept(self.forward_func):
            delta = ends.compute_convergence_delta(*points, examples.target, examples.arguments)
        return attributions, finite_only(delta, examples.finite)


class GuidedIG(PathAttribution):
    r"""Guided Integrated Gradients (Kapishnikov et al., 2021): along a path that avoids what the model overreacts to.

    .. math:: GIG_d = \int_0^1 \frac{\partial f(\gamma(t))}{\partial \gamma_d(t)} \gamma_d'(t) \, dt

    with a path that moves the features of smallest gradient first; see ``GuidedPath``.

    Example:
        >>> attributions, delta = GuidedIG(model).attribute(images, target=labels, return_convergence_delta=True)
    """

    @log_usage()
    @checked
    def attribute(
        self,
        inputs: Inputs,
        baselines: Baselines = None,
        target: Any = None,
        additional_forward_args: Any = None,
        n_steps: Count = 50,
        fraction: Fraction = 0.25,
        max_dist: Share = 0.02,
        internal_batch_size: Count | None = None,
        return_convergence_delta: bool = False,
        rows: Rows = "independent",
    ) -> Any:
        """Explain ``inputs``; arguments that are not described are those of ``GuidedAbsoluteGrad.attribute``.

        Args:
            baselines: Where the path starts: None for 0, or a number or tensor, for all inputs or a tuple of them.
            n_steps: Steps of the path, each one forward and backward pass.
            fraction: As for ``GuidedPath``.
            max_dist: As for ``GuidedPath``.
            internal_batch_size: Most examples in one forward pass. None picks a number.
            return_convergence_delta: Also return sum(attributions) - (f(inputs) - f(baselines)), shape (N,); one for
                rows together.

        Returns:
            Attributions as from ``SampledGradients.attribute``; with ``return_convergence_delta`` a pair of this and
            the deltas.

        Raises:
            InputError: Inputs, target or parameters are invalid, or do not fit what the model returns.
        """
        examples = self._examples(inputs, target, additional_forward_args, rows=rows)
        start = examples.layout(format_baselines(baselines, examples.checked))
        path = GuidedPath(n_steps, start, fraction, max_dist)
        return self._integrate(path, start, examples, internal_batch_size, return_convergence_delta)


class BlurIG(PathAttribution):
    r"""Blur Integrated Gradients (Xu et al., 2020): along the path from the blurred image to the image.

    .. math:: BIG = \int_{\sigma_{max}}^0 \frac{\partial f(L_\sigma)}{\partial L_\sigma}
        \frac{\partial L_\sigma}{\partial \sigma} \, d\sigma

    with :math:`L_\sigma` the image under a Gaussian blur of sigma; see ``BlurPath``. It needs no baseline.

    Example:
        >>> attributions = BlurIG(model).attribute(images, target=labels)
    """

    @log_usage()
    @checked
    def attribute(
        self,
        inputs: Inputs,
        target: Any = None,
        additional_forward_args: Any = None,
        n_steps: Count = 50,
        max_sigma: Pixels = 50.0,
        grad_step: Pixels = 0.01,
        sqrt: bool = False,
        internal_batch_size: Count | None = None,
        return_convergence_delta: bool = False,
        channel_axis: int = 1,
        rows: Rows = "independent",
    ) -> Any:
        """Explain ``inputs``; arguments that are not described are those of ``GuidedAbsoluteGrad.attribute``.

        Args:
            inputs: Floating-point tensor of shape (N, C, ...), or a tuple of them with the same N.
            n_steps: Blurs, each one forward and backward pass.
            max_sigma: As for ``BlurPath``, like ``grad_step`` and ``sqrt``.
            internal_batch_size: Most blurred images in one forward pass. None picks a number.
            return_convergence_delta: Also return sum(attributions) - (f(inputs) - f(blurred inputs)), shape (N,).
            rows: As for ``GuidedAbsoluteGrad.attribute``; each row is blurred by itself.

        Returns:
            As ``GuidedIG.attribute``, which raises the same errors.
        """
        path = BlurPath(n_steps, max_sigma, grad_step, sqrt)
        strongest = float(path.sigmas()[-1])
        layout = {"channel_axis": channel_axis, "rows": rows, "rows_as_channels": True}
        examples = self._examples(inputs, target, additional_forward_args, **layout)
        start = tuple(path.blur(tensor, strongest).to(tensor.dtype) for tensor in examples.tensors)
        return self._integrate(path, start, examples, internal_batch_size, return_convergence_delta)
