"""Faithfulness against additive models, SciPy's Pearson correlation and Quantus's FaithfulnessEstimate."""

from __future__ import annotations

import numpy as np
import pytest
import quantus
import torch
from scipy.stats import pearsonr
from torch import nn

from captum_gag.errors import InputError
from captum_gag.metrics import faithfulness
from captum_gag.metrics.faithfulness import losses
from captum_gag.outputs import tensor_of

BLACK = {"perturb_baseline": 0.0, "output": tensor_of}


def test_exact_worth_of_an_additive_model_is_perfectly_faithful(additive, images: torch.Tensor) -> None:
    gradient_times_input = additive.weights * images
    scores = faithfulness(additive, images, gradient_times_input, 0, n_pixels=20, **BLACK)
    torch.testing.assert_close(scores, torch.ones(4).double())
    torch.testing.assert_close(faithfulness(additive, images, -gradient_times_input, 0, n_pixels=20, **BLACK), -scores)


def test_is_scipys_pearson_over_all_pixels(additive, images: torch.Tensor) -> None:
    maps = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(2)).double()
    scores = faithfulness(additive, images, maps, 0, n_pixels=30, **BLACK)
    worths = (additive.weights * images).sum(1)
    expected = [pearsonr(one.flatten(), other.flatten()).statistic for one, other in zip(maps, worths, strict=True)]
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-9)


def test_is_quantus_faithfulness_estimate_where_the_definitions_coincide() -> None:
    # One channel, since Quantus replaces channel values and we replace pixels; all of them, one at a time. Quantus's
    # "black" is the image's own lowest value, so there is a 0 in each image.
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 3)).eval()
    x, maps = torch.rand(3, 1, 4, 4), torch.randn(3, 1, 4, 4)
    x[:, :, 0, 0] = 0
    theirs = quantus.FaithfulnessEstimate(abs=False, normalise=False, perturb_baseline="black", disable_warnings=True)(
        model, x.numpy(), np.array([0, 1, 2]), maps.numpy(), softmax=True
    )
    ours = faithfulness(model, x, maps, [0, 1, 2], n_pixels=16, perturb_baseline=0.0)
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-4)


def test_pixels_are_random_but_the_same_for_every_image_and_batch(additive, images: torch.Tensor) -> None:
    maps = torch.randn(4, 6, 5).double()
    scores = faithfulness(additive, images, maps, 0, n_pixels=7)
    alone = torch.cat([faithfulness(additive, images[i : i + 1], maps[i : i + 1], 0, n_pixels=7) for i in range(4)])
    torch.testing.assert_close(scores, alone)
    assert not torch.allclose(scores, faithfulness(additive, images, maps, 0, n_pixels=7, seed=1))


def test_constant_relevance_or_output_is_nan(additive, images: torch.Tensor) -> None:
    maps = torch.randn(4, 6, 5).double()
    maps[1] = 2
    with pytest.warns(UserWarning, match="NaN for image 1"):
        assert faithfulness(additive, images, maps, 0, n_pixels=9).isnan().tolist() == [False, True, False, False]
    with pytest.warns(UserWarning, match="NaN for image 0, 1, 2, 3"):
        faithfulness(lambda x: torch.full((len(x), 2), 3.0), images, torch.randn(4, 6, 5), 0, n_pixels=9)


@pytest.mark.parametrize(
    ("n_pixels", "expected"), [(1, "expected greater than or equal to 2"), (31, "must be 2 to 30")]
)
def test_number_of_pixels(additive, images: torch.Tensor, n_pixels: int, expected: str) -> None:
    with pytest.raises(InputError, match=f"n_pixels is {n_pixels}, {expected}"):
        faithfulness(additive, images, torch.randn(4, 6, 5), 0, n_pixels=n_pixels)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_model_that_answers_alike_but_for_rounding_has_no_faithfulness(dtype: torch.dtype) -> None:
    def insensitive(x: torch.Tensor) -> torch.Tensor:
        # What the pixels add is lost in the rounding of 0.3: a few units in its last place.
        score = 0.3 + (x - 0.5).flatten(1).sum(1) * torch.finfo(dtype).eps
        return torch.stack([score, -score], 1)

    x = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)).to(dtype)
    maps = torch.rand(4, 16, 16, generator=torch.Generator().manual_seed(1))
    with pytest.warns(UserWarning, match="Faithfulness is NaN for image 0, 1, 2, 3"):
        found = faithfulness(insensitive, x, maps, 0, output="logits")
    assert bool(found.isnan().all())


def test_small_losses_that_are_no_rounding_count() -> None:
    # Of a probability of one half a pixel takes 1e-6: small, but ten times the rounding of single precision.
    weights = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))

    def model(x: torch.Tensor) -> torch.Tensor:
        score = (x * weights).flatten(1).sum(1) * 1e-4
        return torch.stack([score, -score], 1)

    x = torch.ones(2, 1, 8, 8)
    found = faithfulness(model, x, weights.expand(2, 8, 8), 0, n_pixels=64, perturb_baseline=0.0, output="logits")
    assert bool((found > 0.99).all())


def test_what_is_rounding_is_told_by_the_outputs_of_each_image_alone() -> None:
    outputs = torch.tensor([[1.0, 0.9, 0.5], [100.0, 99.0, 98.0], [0.0, 0.0, 0.0]])
    # Four units in the last place are 0.04 of an image's largest output: 0.04 < 0.4, and 4 > 1.
    torch.testing.assert_close(losses(outputs, 0.01), torch.tensor([[0.1, 0.5], [0.0, 0.0], [0.0, 0.0]]))
