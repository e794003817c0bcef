"""The papers' methods that call Captum with more than its options: largest channels, noise in proportion."""

from __future__ import annotations

from typing import Any, Literal

import torch
from captum.attr import Attribution, NoiseTunnel, Saliency
from captum.log import log_usage
from torch import Tensor

from captum_gag.attr.captum_calls import batches_of, call, captum_errors, in_batches, require_copies, seeded
from captum_gag.attr.contract import Count, Level, Seed


class Sensitivity(Attribution):
    """Largest magnitude of the gradient over the channels."""

    @log_usage()
    def attribute(self, inputs: Tensor, target: Any = None, additional_forward_args: Any = None) -> Tensor:
        """Return magnitudes (N, 1, *positions); of tables (N, F)."""
        explainer = in_batches(Saliency(self.forward_func))
        with captum_errors("Sensitivity", self.forward_func, inputs):
            arguments = {"target": target, "additional_forward_args": additional_forward_args}
            magnitudes: Tensor = call("Sensitivity", explainer, inputs, **arguments)
        return magnitudes if inputs.ndim == 2 else magnitudes.amax(1, keepdim=True)


class SmoothGrad(Attribution):
    """Captum's NoiseTunnel around the gradient, with noise in proportion to each image's range."""

    @log_usage()
    def attribute(
        self,
        inputs: Tensor,
        target: Any = None,
        additional_forward_args: Any = None,
        *,
        n_samples: Count = 20,
        noise_level: Level = 0.15,
        nt_type: Literal["smoothgrad", "smoothgrad_sq", "vargrad"] = "smoothgrad",
        seed: Seed | None = None,
    ) -> Tensor:
        """Explain an image at a time, because Captum's noise is the whole batch's.

        Args:
            n_samples: Noisy versions of each image.
            noise_level: Standard deviation of the noise, as a share of the image's range.
            nt_type: Aggregation of the gradients.
            seed: Of the noise; None draws from the global random state.
        """
        require_copies("SmoothGrad", self.forward_func, inputs[:1])
        maps = []
        batches = batches_of(self.forward_func, (inputs,), target, additional_forward_args, 1)
        for (image,), label, arguments in batches:
            with seeded(inputs.device, seed), captum_errors("SmoothGrad", self.forward_func, image):
                attributions = NoiseTunnel(in_batches(Saliency(self.forward_func))).attribute(
                    image,
                    nt_type=nt_type,
                    nt_samples=n_samples,
                    # Fixed, as Captum's noise depends on it; in_batches makes gradients fit into less memory.
                    nt_samples_batch_size=min(n_samples, 4),
                    stdevs=noise_level * float(image.max() - image.min()),
                    target=label,
                    additional_forward_args=arguments,
                    abs=False,
                )
            maps.append(attributions)
        return torch.cat(maps)
