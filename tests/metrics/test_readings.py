"""The curves that scores sum up."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from captum_gag.errors import InputError
from captum_gag.metrics import metric
from captum_gag.outputs import tensor_of

X, Y = torch.ones(2, 3, 4, 10), torch.tensor([0, 0])
BEST = torch.arange(40.0, 0, -1).reshape(1, 4, 10).repeat(2, 1, 1)
BLACK = {"perturb_baseline": "black"}


def share_shown(x: torch.Tensor) -> torch.Tensor:
    """Class 0 has as its probability the share of the pixels that are white."""
    share = x.mean((1, 2, 3))
    return torch.stack([share, 1 - share], 1)


def curve(name: str, **options: object):
    return metric(name, {**BLACK, **options}).evaluate(share_shown, X, BEST, Y, output=tensor_of).curve(1)


@pytest.mark.parametrize(("name", "slope"), [("Deletion", -1), ("Insertion", 1)])
def test_insertion_and_deletion_are_lines(name: str, slope: int) -> None:
    found = curve(name, n_steps=4)
    assert found.x == [0, 0.25, 0.5, 0.75, 1]
    assert found.y == pytest.approx(found.x[::slope])
    assert (found.x_label, found.y_label) == ("share of the pixels", "probability")


def test_rcap_is_the_product_of_its_factors() -> None:
    found = curve("RCAP")
    saliency = np.arange(40.0)
    kept = [saliency[-count:].sum() / saliency.sum() for count in (4, 8, 12, 16, 20)]
    assert found.x == [1, 2, 3, 4, 5]
    assert found.y == pytest.approx([share * k / 10 for share, k in zip(kept, range(1, 6), strict=True)], abs=1e-6)
    assert (found.x_label, found.y_label) == ("step k", "share of saliency x probability")


def test_long_curves_are_thinned_to_both_ends_and_19_between() -> None:
    found = curve("AOPC", n_steps=40)
    steps = np.array(found.x) * 40
    assert len(found.x) == len(found.y) == 21
    assert (steps[0], steps[-1]) == (1, 40)
    # Each step costs 1/40, so that AOPC after L of them is 1/40 (1 + ... + L) / (L + 1).
    assert found.y == pytest.approx(steps / 80, abs=1e-6)
    assert (found.x_label, found.y_label) == ("share of the steps", "AOPC")


def test_aopc_at_fewer_steps_is_that_of_fewer_steps() -> None:
    reading = metric("AOPC", {"n_steps": 9, **BLACK}).evaluate(share_shown, X, BEST, Y, output=tensor_of)
    fewer = metric("AOPC", {"n_steps": 4, **BLACK}).evaluate(share_shown, X, BEST, Y, output=tensor_of)
    assert torch.equal(reading.at(4), fewer.score)
    for steps in (0, 10):
        with pytest.raises(InputError, match=f"computed for 1 to 9 steps, not for {steps}"):
            reading.at(steps)


def test_only_aopc_has_steps() -> None:
    with pytest.raises(InputError, match="RCAPFactors has no score at 3 steps"):
        metric("RCAP", BLACK).evaluate(share_shown, X, BEST, Y, output=tensor_of).at(3)


def test_faithfulness_and_segmentation_have_no_curve() -> None:
    assert curve("Faithfulness", n_pixels=5) is None
    mask = torch.ones(2, 1, 4, 10)
    assert metric("LogCoshDice", {}).evaluate(share_shown, X, BEST, Y, mask).curve(0) is None
