"""What a run keeps of GAG redraws its map at any percentile: that of GuidedAbsoluteGrad, up to bytes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scoring import config_of, folder_of, quiet

from captum_gag import GuidedAbsoluteGrad, saliency_map
from captum_gag.attr.catalogue import method
from captum_gag.runs.execution import begin, execute
from captum_gag.runs.guide_parts import guided, quantised


def redrawn(parts, percentile):
    """As the page does."""
    level = np.take_along_axis(parts["level"], parts["rank"].reshape(len(parts["rank"]), -1).astype(int), 1)
    guide = np.where(parts["rank"] >= percentile, 1, level.reshape(parts["rank"].shape))
    mean = (parts["magnitude"] / 255.0) ** 2 * parts["scale"][:, None, None]
    return saliency_map(torch.as_tensor(mean * guide)[None])[0]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    data = folder_of(tmp_path_factory.mktemp("photographs"), "0.png", "1.png")
    suite = {"methods": ["SG", "GAG-85", "VarGrad", "IG"], "metrics": {"RCAP": {}}, "n_samples": 6}
    runs = []
    for save_maps in (True, False):
        config = config_of(suite, data=data, seed=3, save_maps=save_maps)
        run, bench = begin(tmp_path_factory.mktemp("run") / "run", config)
        execute(run, bench=bench, say=quiet)
        runs.append((run, bench))
    return runs


@pytest.mark.parametrize("percentile", [0, 40, 85, 99])
def test_the_map_at_a_percentile_is_guided_absolute_grads(made, percentile):
    (run, bench), _ = made
    x = bench.scorer.classifier.preprocess(bench.data[0].photo())[None]
    gag = GuidedAbsoluteGrad(bench.scorer.model)
    target = int(run.scores()["target"].iloc[0])
    expected = gag.attribute(x, target=target, nt_samples=6, percentile=percentile, seed=3)
    found = redrawn(run.parts("0.png"), percentile)
    torch.testing.assert_close(found, saliency_map(expected)[0].to(found.dtype), atol=0.01, rtol=0)
    if percentile == 85:
        torch.testing.assert_close(found, run.maps("0.png")["GAG-85"].to(found.dtype), atol=0.01, rtol=0)


def test_they_cost_no_number_and_are_kept_with_the_maps_alone(made):
    (kept, _), (bare, _) = made
    assert kept.scores()["score"].tolist() == bare.scores()["score"].tolist()
    assert set(kept.maps("0.png")) == {"SG", "GAG-85", "VarGrad", "IG"}
    assert (bare.parts("0.png"), bare.maps("0.png")) == ({}, {})


@given(
    arrays(np.float64, (3, 4, 5), elements=st.floats(0, 1, width=16)),
    st.integers(0, 100),
)
def test_the_guide_is_1_where_the_variance_reaches_its_percentile(variance, percentile):
    parts = quantised(torch.ones(3, 4, 5), torch.from_numpy(variance))
    threshold = np.percentile(variance.reshape(3, -1), percentile, axis=1)
    # NumPy interpolates, and so rounds, between equal values too.
    reached = variance >= threshold[:, None, None] - 1e-9
    np.testing.assert_array_equal(parts["rank"] >= percentile, reached)


def test_other_channels_and_what_is_not_finite_have_none():
    four, three = torch.rand(4, 5, 5), torch.rand(3, 5, 5)
    assert quantised(four, four) == {}
    assert quantised(three, three / 0) == {}
    assert quantised(three[:1], three[:1])["rank"].shape == (1, 5, 5)


def test_the_guide_of_the_paper_alone():
    made = {
        "relative": method({"type": "GAG", "guide": "relative"}),
        "window": method({"type": "GAG", "guide_window": 3}),
        "SG": method("SG"),
    }
    assert guided(made) is None
    gag = method("GAG-70")
    assert guided({**made, "mine": gag, "GAG-85": method("GAG-85")}) is gag
