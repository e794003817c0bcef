"""Several methods of one family from one set of gradients: GAG at nine percentiles for the price of one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from captum_gag.attr.catalogue import FAMILIES, Method
from captum_gag.attr.sampled_gradients import SampledGradients


def attribute_together(
    methods: Sequence[Method],
    model: nn.Module,
    inputs: Tensor,
    target: int | list[int] | Tensor,
    n_samples: int = 20,
    seed: int | None = 0,
) -> list[Tensor]:
    """Explain a batch of images with several methods that take the same gradients.

    Args:
        methods: Put together from parts, all of one family, such as GAG-85, SG and VarGrad.
        model: Classifier, images (N, C, H, W) to scores (N, classes).
        inputs: Images (N, C, H, W).
        target: Class of all images, or of each.
        n_samples: Gradients per image.
        seed: Fixes noise. With it the attributions are those that each method gives by itself, bit for bit.

    Returns:
        Attributions (N, C, H, W), one for each method.

    Raises:
        ValueError: If the methods are not of one family.
    """
    recipes = [method.recipe for method in methods if method.recipe is not None]
    families = {recipe.family for recipe in recipes}
    if len(recipes) != len(methods) or len(families) != 1:
        names = ", ".join(method.name for method in methods)
        raise ValueError(f"{names or 'no methods'} are not of one family; expected such as GAG-85, SG and VarGrad.")
    where = FAMILIES[families.pop()]
    readings = list(dict.fromkeys(recipe.interpretation for recipe in recipes))

    def all_readings(gradients: Tensor) -> Tensor:
        return torch.stack([read(gradients) for read in readings], 1)

    sampler = SampledGradients(
        model, where.modification(n_samples, seed), all_readings, gradient_source=where.gradient_source
    )
    targets = torch.as_tensor(target, device=inputs.device).long().reshape(-1).expand(len(inputs))
    [moments] = sampler.moments(inputs, target=targets)
    return [
        recipe.aggregation(moments.reading(readings.index(recipe.interpretation))).to(inputs.dtype)
        for recipe in recipes
    ]
