"""Maps that know nothing of the model: what any honest explanation has to beat."""

from __future__ import annotations

import torch
from skimage.filters import sobel
from torch import Tensor, nn


def random_map(model: nn.Module, inputs: Tensor, target: Tensor, n_samples: int, seed: int | None) -> Tensor:
    """Give uniform random values, (N, 1, H, W); with a seed the same for every image."""
    generator = None if seed is None else torch.Generator(inputs.device).manual_seed(seed)
    shape = (len(inputs) if seed is None else 1, 1, *inputs.shape[-2:])
    values = torch.rand(shape, generator=generator, device=inputs.device)
    return values.expand(len(inputs), -1, -1, -1)


def seeded_random_map(
    own_seed: int, model: nn.Module, inputs: Tensor, target: Tensor, n_samples: int, seed: int | None
) -> Tensor:
    """Give ``random_map`` of a seed of its own, whatever the others'."""
    return random_map(model, inputs, target, n_samples, own_seed)


def edge_map(model: nn.Module, inputs: Tensor, target: Tensor, n_samples: int, seed: int | None) -> Tensor:
    """Give the Sobel edge strength of the images' channel mean, (N, 1, H, W)."""
    grey = inputs.detach().float().mean(1).cpu().numpy()
    edges = torch.stack([torch.from_numpy(sobel(image)) for image in grey])
    return edges.unsqueeze(1).to(inputs.device)


def constant_map(model: nn.Module, inputs: Tensor, target: Tensor, n_samples: int, seed: int | None) -> Tensor:
    """Give 1 everywhere, (N, 1, H, W): a map without ranking."""
    return torch.ones_like(inputs[:, :1])
