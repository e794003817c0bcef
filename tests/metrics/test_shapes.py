"""Signals, volumes, rows and token embeddings: the scores of the same numbers laid out as images; what does not fit."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import captum_gag.metrics as metrics
from captum_gag import explain
from captum_gag.errors import InputError
from captum_gag.metrics import evaluate, log_cosh_dice, metric, segmentation_mae
from captum_gag.metrics.aopc import AOPCMetric
from captum_gag.metrics.map_batch import MapBatch

N, C, HEIGHT, WIDTH = 3, 4, 6, 5
TARGETS = [0, 2, 1]
OPTIONS = {
    "RCAP": {"perturb_baseline": "black"},
    "Deletion": {"n_steps": 6, "perturb_baseline": "mean"},
    "Insertion": {"n_steps": 6, "perturb_baseline": "uniform_rgb"},
    "AOPC": {"n_steps": 20},
    "Faithfulness": {"n_pixels": 15},
    "LogCoshDice": {},
    "SegmentationMAE": {},
}


class Laid(nn.Module):
    """One network of the numbers of an input, whatever layout they have."""

    def __init__(self, back: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Flatten(), nn.Linear(C * HEIGHT * WIDTH, 8), nn.Tanh(), nn.Linear(8, 3))
        self.back = back
        self.eval()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return 5 * self.network(self.back(inputs).reshape(len(inputs), C, HEIGHT, WIDTH))


LAYOUTS = {
    "signals (N, C, T)": (lambda x: x.flatten(2), lambda x: x, 1),
    "volumes (N, C, D, H, W)": (lambda x: x.reshape(*x.shape[:2], 2, 3, WIDTH), lambda x: x, 1),
    "four axes": (lambda x: x.reshape(*x.shape[:2], 2, 3, WIDTH, 1), lambda x: x, 1),
    "tokens (N, T, E)": (lambda x: x.flatten(2).movedim(1, 2), lambda x: x.movedim(2, 1), -1),
    "channels last (N, H, W, C)": (lambda x: x.movedim(1, -1), lambda x: x.movedim(-1, 1), 3),
}


@pytest.fixture
def case() -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(N, C, HEIGHT, WIDTH, generator=generator)
    maps = torch.randn(N, C, HEIGHT, WIDTH, generator=generator)
    return images, maps, (maps.sum(1) > 0).float()


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_scores_are_those_of_the_same_numbers_as_images(name: str, layout: str, case) -> None:
    (to, back, axis), (images, maps, masks) = LAYOUTS[layout], case
    judge = metric(name, OPTIONS[name])
    # Random colours are drawn in the order of the numbers, the same for all layouts with the channels first.
    expected = judge.evaluate(Laid(lambda x: x), images, maps, TARGETS, masks).score
    reduced = to(maps.sum(1, keepdim=True))
    for given in (to(maps), *([reduced, reduced.select(axis, 0)] if name in ("AOPC", "Faithfulness") else [])):
        mask = to(masks[:, None]).select(axis, 0)
        found = judge.evaluate(Laid(back), to(images), given, TARGETS, mask, channel_axis=axis)
        torch.testing.assert_close(found.score, expected)


@pytest.mark.parametrize("name", OPTIONS)
def test_features_of_rows_are_positions(name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    rows, maps = torch.rand(N, 24, generator=generator), torch.randn(N, 24, generator=generator)
    masks = (maps > 0).float()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(24, 8), nn.Tanh(), nn.Linear(8, 3)).eval()
    judge = metric(name, OPTIONS[name])
    expected = judge.evaluate(model, rows.reshape(N, 1, 4, 6), maps.reshape(N, 4, 6), TARGETS, masks.reshape(N, 4, 6))
    found = judge.evaluate(model, rows, maps, TARGETS, masks)
    torch.testing.assert_close(found.score, expected.score)
    torch.testing.assert_close(judge.evaluate(model, rows, maps[:, None], TARGETS, masks).score, expected.score)


def test_several_metrics_in_one_pass_share_the_images_of_tokens(case) -> None:
    (to, back, axis), (images, maps, _) = LAYOUTS["tokens (N, T, E)"], case
    seen: list[int] = []

    def counted(x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return Laid(back)(x)

    chosen = {name: metric(name, OPTIONS[name]) for name in ("RCAP", "Deletion", "AOPC")}
    both = {"one": to(maps), "two": to(maps.flip(0))}
    found = evaluate(counted, to(images), both, TARGETS, chosen, channel_axis=axis)
    expected = evaluate(Laid(lambda x: x), images, {"one": maps, "two": maps.flip(0)}, TARGETS, chosen)
    for method, scores in expected.items():
        for name, score in scores.items():
            torch.testing.assert_close(found[method][name], score)
    assert sum(seen) < 2 * N * (5 + 7 + 21)


@pytest.mark.parametrize(("shape", "size"), [((12,), 5), ((4, 6), 4), ((4, 3, 6), 2)])
def test_regions_along_every_axis(shape: tuple[int, ...], size: int) -> None:
    """The most relevant region goes first: what is left of a sum of pixels is known."""
    images = torch.ones(1, 2, *shape)
    maps = torch.zeros(1, *shape)
    last = tuple(slice((side - 1) // size * size, side) for side in shape)
    maps[(0, *last)] = 1

    def total(x: torch.Tensor) -> torch.Tensor:
        share = x.flatten(1).mean(1)
        return torch.stack([share, 1 - share], 1)

    [score] = AOPCMetric(n_steps=1, region_size=size, perturb_baseline=0.0).evaluate(
        total, images, maps, 0, output="probabilities"
    ).score.tolist()  # fmt: skip
    assert score == pytest.approx(float(maps.mean()) / 2)


def test_regions_of_more_axes_are_refused() -> None:
    with pytest.raises(InputError, match="region_size is 2 for inputs with 4 axes of positions; take region_size=1"):
        metrics.aopc(nn.Flatten().eval(), torch.rand(1, 1, 2, 2, 2, 2), torch.rand(1, 2, 2, 2, 2), 0, region_size=2)


def test_a_baseline_of_ones_own_is_of_inputs_as_they_are_given(case) -> None:
    (to, back, axis), (images, maps, _) = LAYOUTS["tokens (N, T, E)"], case
    padding = torch.arange(float(C))
    expected = metrics.deletion(
        Laid(lambda x: x), images, maps, TARGETS, perturb_baseline=padding.reshape(C, 1, 1), n_steps=4
    )
    for given in (padding, lambda x: padding.expand(x.shape)):
        found = metrics.deletion(
            Laid(back), to(images), to(maps), TARGETS, perturb_baseline=given, n_steps=4, channel_axis=axis
        )
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("shape", [(8,), (4, 6), (2, 4, 6)])
@pytest.mark.parametrize("channels", [None, 1, 3])
def test_maps_of_another_resolution_are_interpolated_along_every_axis(
    shape: tuple[int, ...], channels: int | None
) -> None:
    """A map that rises evenly along an axis does so after linear interpolation, away from the borders."""
    inputs = torch.rand(2, 3, *(2 * side for side in shape))
    ramp = torch.arange(float(shape[-1])).expand(2, *([] if channels is None else [channels]), *shape)
    with pytest.warns(UserWarning, match=r"The maps are \(.*\) for images of \(.*\); they are interpolated"):
        batch = MapBatch(inputs, ramp)
    along = batch.relevance[(0,) * (len(shape))] / (channels or 1)
    torch.testing.assert_close(along[1:-1].diff(), torch.full((2 * shape[-1] - 3,), 0.5))
    assert batch.relevance.shape == (2, *inputs.shape[2:])


@pytest.mark.parametrize(
    ("inputs", "maps", "message"),
    [
        ((2, 3, 8, 6), (2, 8, 6, 3), r"their channels are the last axis: maps.movedim\(-1, 1\)"),
        ((2, 3, 8, 6), (2, 8, 6, 1), r"maps.movedim\(-1, 1\)"),
        ((2, 3, 8), (2, 8, 3), r"maps.movedim\(-1, 1\)"),
        ((2, 3, 8, 6), (2, 64, 8, 6), r"64 channels.*sum over the channels first: maps.abs\(\).sum\(1\)"),
        ((2, 3, 8, 6), (2, 2, 8, 6), r"2 channels.*must have 3 or 1"),
        ((2, 3, 8, 6), (2, 64, 4, 3), r"must have \(2, 3, 8, 6\) or \(2, 8, 6\)"),
        ((2, 3, 8, 6), (2, 6, 8), "axes are in another order: transpose them"),
        ((2, 3, 8, 6), (1, 8, 6), r"maps have shape \(1, 8, 6\) for inputs \(2, 3, 8, 6\)"),
        ((2, 3, 8, 6), (3, 3, 8, 6), r"maps have shape \(3, 3, 8, 6\)"),
        ((2, 3, 8, 6), (8, 6), r"maps have shape \(8, 6\)"),
        ((2, 3, 8, 6), (2, 48), r"maps have shape \(2, 48\)"),
        ((2, 3, 8, 6), (2, 1, 3, 8, 6), r"maps have shape \(2, 1, 3, 8, 6\)"),
        ((2, 8), (2, 7), r"must have \(2, 8\)\."),
        ((2, 8), (2, 8, 1), r"must have \(2, 8\)\."),
        ((2, 1, 2, 2, 2, 2), (2, 4, 2, 2, 2), r"must have \(2, 1, 2, 2, 2, 2\) or \(2, 2, 2, 2, 2\)"),
    ],
)
def test_maps_that_do_not_fit_are_refused(inputs: tuple[int, ...], maps: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        metrics.rcap(nn.Flatten().eval(), torch.rand(inputs), torch.rand(maps), 0)


@pytest.mark.parametrize("axis", [0, 4, -2, 1.0, None, True, "last"])
def test_channel_axes_that_there_are_not(axis: object) -> None:
    inputs = torch.rand(2, 3, 4, 4)
    for call in (
        lambda: metrics.rcap(nn.Flatten().eval(), inputs, inputs, 0, channel_axis=axis),
        lambda: explain(nn.Flatten().eval(), inputs.numpy(), [0, 0], method="VG", channel_axis=axis),
    ):
        with pytest.raises(InputError, match="channel_axis is"):
            call()


@pytest.mark.parametrize("shape", [(12,), (3, 2, 4, 3), (1, 2, 2, 2, 3)])
def test_blur_is_for_images_and_signals(shape: tuple[int, ...]) -> None:
    inputs = torch.rand(2, *shape)
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(3)).eval()
    with pytest.raises(
        InputError, match=r'baseline "blur" is for signals .* and images .*pass perturb_baseline="mean"'
    ):
        metrics.insertion(model, inputs, torch.rand(inputs.shape), 0)


def test_segmentations_say_which_axes_are_positions() -> None:
    signals, mask = torch.randn(2, 3, 9), torch.rand(2, 9) > 0.5
    as_images = (signals[:, :, None], mask[:, None])
    for loss in (log_cosh_dice, segmentation_mae):
        expected = loss(*as_images)
        torch.testing.assert_close(loss(signals, mask), expected)
        torch.testing.assert_close(loss(signals, mask[:, None].int()), expected)
        reduced = signals.abs().sum(1)
        torch.testing.assert_close(loss(reduced, mask[:, None]), expected)


class TestExplain:
    @pytest.mark.parametrize(
        ("shape", "axis", "expected"),
        [
            ((3, 6, 6), 1, (2, 1, 6, 6)),
            ((3, 12), 1, (2, 1, 12)),
            ((7, 4), -1, (2, 7, 1)),
            ((2, 3, 4, 2), 1, (2, 1, 3, 4, 2)),
            ((9,), 1, (2, 9)),
        ],
    )
    def test_sums_over_channels_where_there_are(self, shape, axis: int, expected: tuple[int, ...]) -> None:
        inputs = np.random.default_rng(0).random((2, *shape)).astype(np.float32)
        model = nn.Sequential(nn.Flatten(), nn.Linear(inputs[0].size, 3)).eval()
        found = explain(model, inputs, [0, 2], method="VG", channel_axis=axis)
        weights = model[1].weight.detach()[[0, 2]].reshape(2, *shape)
        by_hand = weights if len(shape) == 1 else weights.sum(axis, keepdim=True)
        assert found.shape == expected
        np.testing.assert_allclose(found, by_hand.numpy(), rtol=1e-6)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
    def test_models_of_every_precision(self, dtype: torch.dtype) -> None:
        inputs = np.random.default_rng(0).random((2, 3, 6, 6)).astype(np.float32)
        model = nn.Sequential(nn.Flatten(), nn.Linear(108, 3)).eval()
        expected = explain(model, inputs, [0, 2], method="VG")
        found = explain(model.to(dtype), inputs, [0, 2], method="VG")
        assert found.dtype in (np.float32, np.float64)
        np.testing.assert_allclose(found, expected, rtol=0.05, atol=0.01)

    def test_segmentation_models_by_rows_of_indices(self) -> None:
        model = nn.Conv2d(3, 4, 1).eval()
        inputs = np.random.default_rng(0).random((2, 3, 5, 5)).astype(np.float32)
        found = explain(model, inputs, np.array([[1, 2, 2], [3, 0, 4]]), method="VG")
        expected = np.zeros((2, 1, 5, 5))
        expected[0, 0, 2, 2], expected[1, 0, 0, 4] = model.weight.detach().sum((1, 2, 3))[[1, 3]]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_nothing_is_said_of_signals_below_zero() -> None:
    signals = torch.randn(2, 3, 20)
    model = nn.Sequential(nn.Flatten(), nn.Linear(60, 3)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics.deletion(model, signals, torch.rand(2, 20), 0)
