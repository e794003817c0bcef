"""Time of Guided IG, Blur IG and the IG row against bare gradient passes, PAIR's library and Captum, in one run.

    python benchmarks/paths.py [--rounds 3] [--steps 10] [--images 8]

The bare passes take the same number of images through forward and backward, in batches of as many images. PAIR's
library needs NumPy below 2.4.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from captum.attr import IntegratedGradients
from saliency.core import BlurIG as PairBlurIG
from saliency.core import GuidedIG as PairGuidedIG
from scipy.stats import spearmanr
from turns import take_turns

from captum_gag.attr import BlurIG, GuidedIG, SampledGradients, StraightPath
from captum_gag.models import load_classifier

TARGET = 5


def pair_function(model: torch.nn.Module) -> Callable[..., dict[str, np.ndarray]]:
    """Return a model in the form that PAIR's library calls."""

    def call(x: np.ndarray, call_model_args: Any = None, expected_keys: Any = None) -> dict[str, np.ndarray]:
        points = torch.from_numpy(np.asarray(x, dtype=np.float32)).permute(0, 3, 1, 2).contiguous().requires_grad_()
        [gradients] = torch.autograd.grad(model(points)[:, TARGET].sum(), points)
        return {"INPUT_OUTPUT_GRADIENTS": gradients.permute(0, 2, 3, 1).numpy()}

    return call


def agreement(name: str, ours: torch.Tensor, theirs: list[np.ndarray]) -> None:
    found, other = ours.permute(0, 2, 3, 1).double().numpy(), np.stack(theirs).astype(np.float64)
    relative = np.abs(found - other).sum() / np.abs(other).sum()
    print(f"  {name} and PAIR's: relative difference (L1) {relative:.1e}, ", end="")
    print(f"rank correlation {spearmanr(found.ravel(), other.ravel()).statistic:.6f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--images", type=int, default=8)
    options = parser.parse_args()
    model, steps, n = load_classifier("demo").model, options.steps, options.images
    images = torch.randn(n, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    arrays = [image.permute(1, 2, 0).numpy() for image in images]
    call = pair_function(model)

    def bare() -> None:
        for _ in range(steps):
            points = images.clone().requires_grad_()
            torch.autograd.grad(model(points)[:, TARGET].sum(), points)

    def pairs(method: Any, **arguments: Any) -> list[np.ndarray]:
        return [method.GetMask(each, call, **arguments) for each in arrays]

    guided = lambda: GuidedIG(model).attribute(images, target=TARGET, n_steps=steps)  # noqa: E731
    pair_guided = lambda: pairs(PairGuidedIG(), x_steps=steps)  # noqa: E731
    title = f"{n} images, {steps} steps"
    runs = {"bare passes": bare, "GuidedIG": guided, "PAIR": pair_guided}
    take_turns(f"Guided IG, {title}", runs, options.rounds, bare="bare")
    agreement("GuidedIG", guided(), pair_guided())

    blur = lambda: BlurIG(model).attribute(images, target=TARGET, n_steps=steps)  # noqa: E731
    pair_blur = lambda: pairs(PairBlurIG(), steps=steps)  # noqa: E731
    runs = {"bare passes": bare, "BlurIG": blur, "PAIR": pair_blur}
    take_turns(f"Blur IG, {title}", runs, options.rounds, bare="bare")
    agreement("BlurIG", blur(), pair_blur())

    straight = lambda: SampledGradients(model, StraightPath(steps)).attribute(images, target=TARGET)  # noqa: E731
    captums = {
        f"Captum, internal_batch_size={size}": lambda size=size: IntegratedGradients(model).attribute(
            images, target=TARGET, n_steps=steps, internal_batch_size=size
        )
        for size in (n, None)
    }
    runs = {"bare passes": bare, "IG row": straight, **captums}
    take_turns(f"IG, {title}", runs, options.rounds, bare="bare")


if __name__ == "__main__":
    main()
