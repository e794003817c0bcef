"""Tests of RCAP against scores computed by hand."""

import numpy as np
import pytest
import torch

import quantus

pytestmark = pytest.mark.faithfulness


class Share(torch.nn.Module):
    """Gives class 0 the mean of the pixels as its probability, which a softmax leaves alone."""

    def forward(self, x):
        mean = x.mean(dim=(1, 2, 3)).clamp(1e-6, 1 - 1e-6)
        return torch.stack([mean, 1 - mean], dim=1).log()


def score(saliency, **options):
    a_batch = np.asarray(saliency, dtype=np.float32).reshape(1, 1, 2, 5)
    metric = quantus.RCAP(disable_warnings=True, **{"perturb_baseline": 0.0, **options})
    x_batch, y_batch = np.ones((1, 1, 2, 5), dtype=np.float32), np.array([0])
    return metric(model=Share().eval(), x_batch=x_batch, y_batch=y_batch, a_batch=a_batch, device="cpu")[0]


def test_each_step_multiplies_share_and_probability():
    # At the 90th percentile of 1 ... 10 the top pixel is recovered, and so on down to the 50th: five pixels.
    shares = np.cumsum([10, 9, 8, 7, 6]) / 55
    expected = np.mean(shares * np.array([0.1, 0.2, 0.3, 0.4, 0.5]))
    assert score(np.arange(1, 11)) == pytest.approx(expected, abs=1e-5)


def test_scale_and_sign_of_the_explanation_do_not_matter():
    saliency = np.arange(1, 11)
    assert score(saliency * np.tile([7, -7], 5)) == pytest.approx(score(saliency), abs=1e-6)


def test_a_pixel_without_saliency_is_never_recovered():
    # Three pixels have all of it: from the 70th percentile on they alone are shown.
    expected = np.mean([1 / 3 * 3 * 0.3] * 5)
    assert score([1, 1, 1, 0, 0, 0, 0, 0, 0, 0]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("saliency", [np.zeros(10), np.ones(10), [np.nan] * 10])
def test_an_explanation_that_ranks_nothing_has_no_score(saliency):
    metric = quantus.RCAP(disable_warnings=True)
    scores = metric.evaluate_batch(
        quantus.helpers.utils.get_wrapped_model(model=Share().eval(), channel_first=True, softmax=True, device="cpu"),
        np.ones((1, 1, 2, 5), dtype=np.float32),
        np.array([0]),
        np.asarray(saliency, dtype=np.float32).reshape(1, 1, 2, 5),
    )
    assert np.isnan(scores[0])


@pytest.mark.parametrize("options", [{"lower_bound": 100}, {"interval": 0}, {"interval": 30}, {"lower_bound": -1}])
def test_bounds_without_meaning_are_refused(options):
    with pytest.raises(ValueError, match="lower_bound"):
        quantus.RCAP(**options)


def test_it_is_listed():
    assert quantus.AVAILABLE_METRICS["Faithfulness"]["RCAP"] is quantus.RCAP
