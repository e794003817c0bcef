"""Deletion and Insertion against closed forms, a pixel-by-pixel loop, and their invariants."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from captum_gag import baselines
from captum_gag.attr import saliency_map
from captum_gag.errors import InputError
from captum_gag.metrics import deletion, insertion
from captum_gag.outputs import tensor_of


def covered(x: torch.Tensor) -> torch.Tensor:
    """Class 0 has as its probability the share of pixels of the upper half that are not black."""
    half = x.shape[2] // 2
    share = (x.sum(1) > 0)[:, :half].double().mean((1, 2))
    return torch.stack([share, 1 - share], 1)


def by_loop(model, image, saliency, target, steps, inserted, baseline) -> float:
    """The definition, one image and one pixel at a time, with scikit-learn's area."""
    from sklearn.metrics import auc

    order = sorted(range(saliency.size), key=lambda i: (-saliency.ravel()[i], i))
    fractions = np.linspace(0, 1, steps + 1)
    probabilities = []
    for fraction in fractions:
        shown = (baseline if inserted else image).copy()
        for pixel in order[: int(np.round(fraction * saliency.size))]:
            row, column = divmod(pixel, saliency.shape[1])
            shown[:, row, column] = (image if inserted else baseline)[:, row, column]
        with torch.no_grad():
            scores = model(torch.from_numpy(shown)[None])[0].numpy()
        probabilities.append(np.exp(scores[target]) / np.exp(scores).sum())
    return auc(fractions, probabilities)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    levels=st.sampled_from([2, 4, 10**6]),
    steps=st.integers(1, 8),
    batch_size=st.sampled_from([None, 1, 3]),
)
def test_are_what_a_loop_over_pixels_gives(seed: int, levels: int, steps: int, batch_size: int | None) -> None:
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 20, 4)).double().eval()
    images = torch.rand(3, 3, 5, 4, generator=generator).double()
    maps = torch.randint(0, levels, (3, 5, 4), generator=generator).double()
    maps[:, 0, 0], maps[:, 0, 1] = 0, levels  # never constant
    arguments = {"n_steps": steps, "internal_batch_size": batch_size, "output": "logits"}
    found = {
        False: deletion(model, images, maps, [0, 1, 2], **arguments),
        True: insertion(model, images, maps, [0, 1, 2], **arguments),
    }
    for inserted, scores in found.items():
        baseline = baselines.blur()(images) if inserted else torch.zeros_like(images)
        expected = [
            by_loop(model, images[i].numpy(), saliency_map(maps)[i].numpy(), i, steps, inserted, baseline[i].numpy())
            for i in range(3)
        ]
        np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-6)


def test_closed_form_of_the_covered_share() -> None:
    # The best map deletes the upper half first: the probability falls to 0 at 1/2, the area is 1/4; the worst, 3/4.
    best = torch.arange(80.0, 0, -1).reshape(1, 8, 10)
    images = torch.ones(1, 3, 8, 10)
    arguments = {"perturb_baseline": "black", "output": tensor_of, "n_steps": 10}
    assert deletion(covered, images, best, 0, **arguments).item() == pytest.approx(0.25)
    assert deletion(covered, images, best.flip(1), 0, **arguments).item() == pytest.approx(0.75)
    assert insertion(covered, images, best, 0, **arguments).item() == pytest.approx(0.75)
    assert insertion(covered, images, best.flip(1), 0, **arguments).item() == pytest.approx(0.25)


def test_a_baseline_with_options(additive, images: torch.Tensor) -> None:
    maps = torch.rand(4, 6, 5, generator=torch.Generator().manual_seed(3)).double()
    named = {"type": "blur", "sigma": 16.0, "kernel_size": 33}
    found = insertion(additive, images, maps, 0, perturb_baseline=named)
    expected = insertion(additive, images, maps, 0, perturb_baseline=baselines.blur(sigma=16.0, kernel_size=33))
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, insertion(additive, images, maps, 0))


@pytest.mark.parametrize("score", [deletion, insertion])
def test_only_the_ranking_counts(score, additive, images: torch.Tensor) -> None:
    maps = torch.rand(4, 6, 5, generator=torch.Generator().manual_seed(3)).double()
    expected = score(additive, images, maps, 0)
    for transformed in (maps**3, 5 * maps + 2, maps.exp(), maps[:, None], -maps):
        torch.testing.assert_close(score(additive, images, transformed, 0), expected)


@pytest.mark.parametrize("score", [deletion, insertion])
def test_images_do_not_depend_on_one_another(score, additive, images: torch.Tensor) -> None:
    maps = torch.rand(4, 6, 5).double()
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(score(additive, images[order], maps[order], 0), score(additive, images, maps, 0)[order])


@pytest.mark.parametrize("score", [deletion, insertion])
def test_maps_without_ranking_are_named(score, additive, images: torch.Tensor) -> None:
    maps = torch.rand(4, 6, 5).double()
    maps[0], maps[2, 1, 1] = 0.5, torch.inf
    with pytest.warns(UserWarning, match="NaN for image 0, 2"):
        scores = score(additive, images, maps, 0)
    assert scores.isnan().tolist() == [True, False, True, False]


def test_steps_that_are_none_are_refused(additive, images: torch.Tensor) -> None:
    with pytest.raises(InputError, match="n_steps is 0"):
        deletion(additive, images, torch.rand(4, 6, 5), 0, n_steps=0)
