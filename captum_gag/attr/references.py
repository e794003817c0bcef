"""The images that DeepLIFT and the like compare with: random colours, the training split, a folder, or one colour."""

from __future__ import annotations

import torch
from torch import Tensor

from captum_gag.attr.methods import Images
from captum_gag.errors import InputError

References = float | str | Tensor
"""A number for an image of one value, "random", "train", a folder, or images (k, C, H, W) in model space."""


def fetched(references: References, n: int, images: Images) -> Tensor | None:
    """Return the n images of a data set that the references name; None where none are needed."""
    return images(references, n) if isinstance(references, str) and references != "random" else None


def reference_images(references: References, n: int, images: Tensor | None, image: Tensor, seed: int | None) -> Tensor:
    """Return what an image is compared with.

    Args:
        references: What they are.
        n: How many random ones.
        images: What ``fetched`` returned.
        image: The image explained, (C, H, W). Random colours are between its darkest and its brightest value.
        seed: Of random colours; the same for every image.

    Returns:
        Tensor (k, C, H, W), dtype and device of ``image``.

    Raises:
        InputError: They are images of a data set, and none were fetched.
    """
    if isinstance(references, Tensor):
        return references.to(image)
    if not isinstance(references, str):
        return torch.full_like(image, references).unsqueeze(0)
    if references == "random":
        generator = None if seed is None else torch.Generator(image.device).manual_seed(seed)
        noise = torch.rand((n, *image.shape), generator=generator, device=image.device).to(image.dtype)
        return image.min() + noise * (image.max() - image.min())
    if images is None:
        raise InputError(
            f"references {references!r} are images of a data set, which a run has; elsewhere call prepare(images) first"
        )
    return images.to(image)
