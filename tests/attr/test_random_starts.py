"""IG from random baselines against Captum's IG from these, and gradients of the log-probability in closed form."""

from __future__ import annotations

import pytest
import torch
from captum.attr import IntegratedGradients
from torch import nn

from captum_gag.attr import SampledGradients
from captum_gag.attr.catalogue import method
from captum_gag.attr.gradient_sources import log_probability_gradients
from captum_gag.attr.modifications import GaussianNoise
from captum_gag.attr.random_starts import RandomStarts
from captum_gag.errors import InputError


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 16, 5)).double().eval()


@pytest.fixture
def images() -> torch.Tensor:
    scale = torch.tensor([1.0, 5.0]).reshape(2, 1, 1, 1)
    return scale.double() * torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(1)).double()


def baselines_of(paths: RandomStarts, images: torch.Tensor) -> list[torch.Tensor]:
    """Return where the lines start: the first of the points at equal distances."""
    line = paths.n_samples // paths.n_baselines
    points = torch.cat([samples.points[0] for samples in paths.samples((images,), 100)])
    return list(points[::line])


def test_it_is_the_mean_of_captums_integrated_gradients(model: nn.Module, images: torch.Tensor) -> None:
    starts = baselines_of(RandomStarts(6, 3, "equal_weights", seed=4), images)
    assert len(starts) == 3
    hosts = [
        IntegratedGradients(model).attribute(images, each, target=torch.tensor([0, 1]), n_steps=8) for each in starts
    ]
    paths = RandomStarts(24, 3, seed=4)
    for chunk in (None, 4):
        found = SampledGradients(model, paths).attribute(images, target=[0, 1], internal_batch_size=chunk)
        torch.testing.assert_close(found, torch.stack(hosts).mean(0))


def test_baselines_are_uniform_in_the_range_of_each_example(images: torch.Tensor) -> None:
    lowest, highest = images.flatten(1).aminmax(dim=1)
    for seed in (0, None):
        starts = torch.stack(baselines_of(RandomStarts(2000, 1000, "equal_weights", seed), images)).transpose(0, 1)
        share = (starts.flatten(1) - lowest[:, None]) / (highest - lowest)[:, None]
        assert 0 <= share.min() < share.max() <= 1
        # Of a uniform variable, within 6 standard errors for the 108,000 numbers.
        assert share.mean(1).tolist() == pytest.approx([0.5, 0.5], abs=6 * (1 / 12 / 108_000) ** 0.5)
        assert share.var(1).tolist() == pytest.approx([1 / 12, 1 / 12], abs=2e-3)
        assert torch.allclose(share[0], share[1]) == (seed == 0)


def test_a_seed_makes_it_the_same_in_any_batch_and_leaves_the_global_state(
    model: nn.Module, images: torch.Tensor
) -> None:
    ig = method("IG", n_samples=6, random_baselines=2)
    state = torch.get_rng_state()
    together = ig.attribute(model, images, [0, 1], seed=5)
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(ig.attribute(model, images[1:], [1], seed=5), together[1:])
    assert not torch.allclose(ig.attribute(model, images, [0, 1], seed=6), together)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_samples": 5, "random_baselines": 2}, "n_samples is 5 for 2 random baselines, expected a multiple"),
        ({"random_baselines": 2, "baselines": 0.5}, "baselines has no effect with random_baselines"),
        ({"random_baselines": -1}, "random_baselines is -1"),
    ],
)
def test_options_without_meaning(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        method("IG", **options)


class TestLogProbability:
    def test_gradient_of_a_linear_model_in_closed_form(self) -> None:
        # d log p_c / dx = w_c - sum_k p_k w_k.
        weights, x = torch.randn(4, 3).double(), torch.randn(2, 3).double()
        source = SampledGradients(
            lambda x: x @ weights.T, GaussianNoise(1, stdevs=0.0), gradient_source=log_probability_gradients
        )
        probabilities = (x @ weights.T).softmax(1)
        expected = weights[[2, 0]] - probabilities @ weights
        torch.testing.assert_close(source.attribute(x, target=[2, 0]), expected)

    def test_its_integrated_gradients_sum_to_the_change_of_the_log_probability(
        self, model: nn.Module, images: torch.Tensor
    ) -> None:
        ig = method("IG", n_samples=200, explains="log_probability")
        sums = ig.attribute(model, images, [0, 1]).flatten(1).sum(1)
        with torch.no_grad():
            change = (model(images).log_softmax(1) - model(0 * images).log_softmax(1))[[0, 1], [0, 1]]
        torch.testing.assert_close(sums, change, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize(
        "last", [nn.Linear(64, 1), nn.Sequential(nn.Linear(64, 5), nn.Softmax(1))], ids=["one logit", "probabilities"]
    )
    def test_what_has_no_softmax_is_refused(self, model: nn.Module, images: torch.Tensor, last: nn.Module) -> None:
        other = nn.Sequential(*model[:-1], last.double()).eval()  # type: ignore[index]
        output = "logit" if isinstance(last, nn.Linear) else "probabilities"
        with pytest.raises(InputError, match="expected logits of several classes"):
            method("IG", explains="log_probability").attribute(other, images, 0, output=output)
