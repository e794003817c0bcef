"""Guided AbsoluteGrad as the ``explain_func`` that Quantus's metrics call."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from captum_gag.attr.guided_absolute_grad import GuidedAbsoluteGrad


def explain(
    model: torch.nn.Module,
    inputs: NDArray[Any],
    targets: NDArray[Any],
    *,
    device: str | None = None,
    method: str | None = None,
    **kwargs: Any,
) -> NDArray[Any]:
    """Explain a batch with Guided AbsoluteGrad, in the form that Quantus wants.

    Args:
        model: Torch classifier.
        inputs: Images (N, C, H, W).
        targets: Class index of each image, (N,).
        device: Where to compute; None for the model's own device.
        method: Ignored; ``quantus.evaluate`` passes its own label for the explanation method here.
        kwargs: Arguments of ``GuidedAbsoluteGrad.attribute``: ``nt_samples``, ``percentile``, ``seed``, ...

    Returns:
        Attributions summed over channels, shape (N, 1, H, W), >= 0.
    """
    parameter = next(model.parameters(), torch.empty(0))
    images = torch.as_tensor(np.asarray(inputs), dtype=parameter.dtype, device=device or parameter.device)
    target = torch.as_tensor(np.asarray(targets), device=images.device).long()
    attributions = GuidedAbsoluteGrad(model).attribute(images, target=target, **kwargs)
    result: NDArray[Any] = attributions.sum(1, keepdim=True).cpu().numpy()
    return result
