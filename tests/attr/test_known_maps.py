"""Maps of known quality, against what is known of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from captum_gag.attr.catalogue import method
from captum_gag.attr.controls import FLOOR
from captum_gag.data import dataset
from captum_gag.errors import InputError
from captum_gag.runs.attributing import Segmentation

FAULTS = ("noisy", "misplaced", "diffuse", "incomplete", "distracted")


def known(left: int = 4, side: int = 8) -> Segmentation:
    """Return a square on 32 x 32 pixels, and another one as the distractor."""
    masks = torch.zeros(2, 1, 1, 32, 32)
    masks[0, ..., 12 : 12 + side, left : left + side] = 1
    masks[1, ..., 0:4, 28:32] = 1
    return Segmentation(*masks)


def made(fault: str, strength: float, of: Segmentation | None = None) -> torch.Tensor:
    truth: Any = method("Truth", transform=fault, strength=strength)
    return truth.of_segmentation(*(known() if of is None else of), 0)  # type: ignore[no-any-return]


def share_on_object(found: torch.Tensor) -> float:
    return float((found * known().reason).sum() / found.sum())


def test_the_truth_is_the_segmentation_but_for_a_floor_that_breaks_ties() -> None:
    found = made("", 0.0)
    above = found - known().reason
    assert float(above.min()) >= 0
    assert float(above.max()) <= FLOOR
    assert len(found.unique()) > 1000


def test_half_moved_by_half_the_width() -> None:
    # The square of 8 moves by a quarter of 32 pixels at strength 1/2: beside where it was.
    assert share_on_object(made("misplaced", 0.5)) == pytest.approx(0, abs=0.02)
    # By 4 pixels at 1/4: half of it stays.
    assert share_on_object(made("misplaced", 0.25)) == pytest.approx(0.5, abs=0.01)


def test_grown_by_a_quarter_of_the_side() -> None:
    # By 2 pixels at 1/4, in a straight line; corners are round: 8 x 8, four strips of 2 x 8, a pixel at each corner.
    found = (made("diffuse", 0.25) > 0.5).sum()
    assert int(found) == 64 + 4 * 16 + 4


def test_incomplete_keeps_the_first_rows() -> None:
    kept = made("incomplete", 0.25)[0, 0] > 0.5
    assert kept[12:18, 4:12].all()
    assert int(kept.sum()) == 48


def test_distracted_is_a_mixture_of_two_masks() -> None:
    found = made("distracted", 0.25)
    assert float(found[0, 0, 13, 5]) == pytest.approx(0.75, abs=FLOOR)
    assert float(found[0, 0, 1, 30]) == pytest.approx(0.25, abs=FLOOR)


def test_noise_alone_knows_nothing_of_the_object() -> None:
    inside = made("noisy", 1.0)[known().reason > 0]
    assert float(inside.mean()) == pytest.approx(0.5, abs=0.1)


@given(st.sampled_from(FAULTS), st.floats(0.05, 0.5), st.integers(0, 24), st.integers(2, 8))
def test_more_of_a_fault_is_never_nearer_to_the_truth(fault: str, strength: float, left: int, side: int) -> None:
    of = known(left, side)
    near, far = ((made(fault, each, of) - of.reason).abs().sum() for each in (strength, 2 * strength))
    assert float(near) <= float(far) + 1e-4
    assert torch.equal(made(fault, strength, of), made(fault, strength, of))


def test_a_model_does_not_know_the_truth() -> None:
    with pytest.raises(InputError, match="judge it in a run, on data with segmentations"):
        method("Truth").attribute(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), torch.rand(1, 3, 2, 2), 0)


@pytest.mark.parametrize("options", [{"strength": 0.5}, {"transform": "noisy"}])
def test_fault_and_strength_come_together(options: dict[str, object]) -> None:
    with pytest.raises(InputError, match="expected a fault with a strength above 0, or neither"):
        method("Truth", **options)


def test_without_a_distractor_nothing_is_distracted() -> None:
    with pytest.raises(InputError, match="no distractor"):
        made("distracted", 0.5, known()._replace(distractor=None))


def test_planted_images_have_one() -> None:
    example = dataset("planted:object")[0]
    parts = [np.asarray(each()) > 0 for each in (example.mask, example.distractor)]
    assert all(each.any() for each in parts)
    assert not (parts[0] & parts[1]).any()
    assert dataset({"type": "planted", "kind": "object", "mask": "distractor"})[0].distractor is None
