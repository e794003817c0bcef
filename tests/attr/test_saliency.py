"""Maps and reversed maps: ranges, invariants, hand-computed values, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_gag.attr import reverse_saliency, saliency_map
from captum_gag.errors import InputError


def test_hand_computed_map() -> None:
    attributions = torch.tensor([[[[1.0, -2.0], [0.0, 3.0]], [[1.0, 0.0], [0.0, -2.0]]]])
    # sums of magnitudes 2, 2, 0, 5
    torch.testing.assert_close(saliency_map(attributions), torch.tensor([[[0.4, 0.4], [0.0, 1.0]]]))


def test_each_image_has_its_own_scale_and_maps_without_channels_pass() -> None:
    maps = torch.tensor([[[0.0, 1.0]], [[-10.0, 5.0]]])
    torch.testing.assert_close(saliency_map(maps), torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]]]))


def test_constant_is_zero_and_non_finite_is_nan_and_neighbours_are_untouched() -> None:
    maps = torch.rand(4, 3, 2, 2)
    maps[0] = 0.7
    maps[1, 0, 0, 0] = torch.nan
    maps[2, 1, 1, 1] = -torch.inf
    result = saliency_map(maps)
    assert torch.equal(result[0], torch.zeros(2, 2))
    assert bool(result[1:3].isnan().all())
    torch.testing.assert_close(result[3:], saliency_map(maps[3:]))


def test_half_precision_does_not_overflow() -> None:
    maps = torch.full((1, 3, 1, 2), 3e4, dtype=torch.float16)
    maps[..., 0] = 0
    assert saliency_map(maps).tolist() == [[[0.0, 1.0]]]


@pytest.mark.parametrize("shape", [(), (4,), (2, 3, 0, 4)])
def test_wrong_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"expected \(N, C, H, W\), \(N, H, W\), or \(N, \.\.\.\)"):
        saliency_map(torch.zeros(shape))


@pytest.mark.parametrize(
    ("shape", "channel_axis"),
    [((2, 3, 5), 1), ((2, 3, 4, 5), 1), ((2, 3, 4, 5, 6), 1), ((2, 7, 4), -1), ((2, 9), None), ((2, 4, 5), None)],
)
def test_maps_of_any_number_of_axes_are_sums_of_magnitudes_normalised(
    shape: tuple[int, ...], channel_axis: int | None
) -> None:
    attributions = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    summed = attributions.abs() if channel_axis is None else attributions.abs().sum(channel_axis)
    for found, expected in zip(saliency_map(attributions, channel_axis=channel_axis), summed, strict=True):
        torch.testing.assert_close(found, (expected - expected.min()) / (expected.max() - expected.min()))


def test_reversed_map_of_ten_pixels() -> None:
    # Values 0..9 at places 0..9: 9 stays, 8 and 7 change places with 0 and 1.
    values = torch.arange(10.0).reshape(1, 2, 5)
    result = reverse_saliency(values, retain=0.1, swap=0.2, seed=0).flatten()
    assert result[2:7].tolist() == [2, 3, 4, 5, 6]
    assert result[9] == 9
    assert set(result[:2].tolist()) == {7, 8}
    assert set(result[7:9].tolist()) == {0, 1}


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    side=st.integers(2, 12),
    retain=st.floats(0, 0.5),
    swap=st.floats(0, 0.25),
    levels=st.integers(1, 1000),
)
def test_reversing_keeps_all_values_and_the_top(seed: int, side: int, retain: float, swap: float, levels: int) -> None:
    maps = torch.randint(levels, (2, side, side), generator=torch.Generator().manual_seed(seed)).float()
    before = maps.clone()
    result = reverse_saliency(maps, retain, swap, seed=seed)
    assert torch.equal(maps, before)
    for old, new in zip(maps, result, strict=True):
        assert torch.equal(old.flatten().sort().values, new.flatten().sort().values)
        assert int((old != new).sum()) <= 2 * int(side * side * swap)
        top = int(side * side * retain)
        if levels == 1000 and top:
            np.testing.assert_array_equal(old.flatten().topk(top).values, new.flatten().topk(top).values)


def test_seed_decides_the_pairing_and_spares_the_global_generator() -> None:
    maps = torch.rand(1, 30, 30)
    state = torch.get_rng_state()
    assert torch.equal(reverse_saliency(maps, seed=1), reverse_saliency(maps, seed=1))
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(reverse_saliency(maps, seed=1), reverse_saliency(maps, seed=2))


@pytest.mark.parametrize(("retain", "swap"), [(-0.1, 0.1), (0.1, -0.1), (0.5, 0.3)])
def test_shares_without_meaning(retain: float, swap: float) -> None:
    with pytest.raises(ValueError, match=r"do not overlap|greater than or equal to 0"):
        reverse_saliency(torch.rand(1, 4, 4), retain, swap)


def test_reversing_wants_maps() -> None:
    with pytest.raises(InputError, match=r"expected a tensor \(N, H, W\)"):
        reverse_saliency(torch.rand(4))


def test_a_reversed_map_does_not_depend_on_its_batch() -> None:
    maps = torch.rand(5, 12, 12, generator=torch.Generator().manual_seed(0))
    whole = reverse_saliency(maps, seed=3)
    for row in range(5):
        assert torch.equal(reverse_saliency(maps[row : row + 1], seed=3)[0], whole[row])


def test_values_of_a_reversed_map_take_their_gradients_along() -> None:
    maps = torch.arange(10.0).reshape(1, 10).requires_grad_()
    result = reverse_saliency(maps, retain=0.1, swap=0.2, seed=0)
    # Each value is weighed by its new place, so that a gradient is where its value went.
    (result * torch.arange(10.0)).sum().backward()
    assert result[0, maps.grad[0].long()].tolist() == maps[0].tolist()  # type: ignore[index]
