"""Every method of the catalogue as the ``explain_func`` that Quantus's metrics call."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from captum_gag.attr.catalogue import method as look_up


def explain(
    model: torch.nn.Module,
    inputs: NDArray[Any],
    targets: NDArray[Any],
    *,
    method: str = "GAG-85",
    n_samples: int = 20,
    seed: int | None = None,
    device: str | None = None,
) -> NDArray[Any]:
    """Explain a batch in the form that Quantus wants.

    Args:
        model: Torch classifier.
        inputs: Images (N, C, H, W).
        targets: Class index of each image, (N,).
        method: Name in the catalogue. ``quantus.evaluate`` passes the key under which it was given this function, so
            that ``{"GAG-85": explain, "IG": explain}`` compares the two.
        n_samples: Gradients per image, for methods that sample.
        seed: Fixes noise and random maps; None draws from torch's global generator.
        device: Where to compute; None for the model's own device.

    Returns:
        Attributions summed over channels, shape (N, 1, H, W).

    Raises:
        ValueError: If there is no such method.
    """
    parameter = next(model.parameters(), torch.empty(0))
    images = torch.as_tensor(np.asarray(inputs), dtype=parameter.dtype, device=device or parameter.device)
    attributions = look_up(method).attribute(model, images, torch.as_tensor(np.asarray(targets)), n_samples, seed)
    result: NDArray[Any] = attributions.sum(1, keepdim=True).cpu().numpy()
    return result
