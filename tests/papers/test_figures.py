"""Figures 1, 3 and 4: each panel shows what it says, and the propositions hold where they hold by construction."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from captum_gag.errors import InputError
from captum_gag.metrics.rcap import rcap_factors
from captum_gag.model_probe import behaviour_of
from captum_gag.models import Classifier
from captum_gag.papers.figures import areas, map_sheet, propositions_figure, recovery
from captum_gag.papers.propositions import Place, gaussian, moved, propositions
from captum_gag.report.table_files import save_figure
from captum_gag.runs.explaining import photo_scorer

SIDE = 32


class Covered(nn.Module):
    """Class 0 has as its logit the mean of the middle quarter, against 1/2: more of it seen, a higher probability."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        middle = x[..., SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4].mean((1, 2, 3))
        return torch.stack([8 * middle, 4 + 0 * middle], 1)


@pytest.fixture(scope="module")
def scorer():
    classifier = Classifier(
        "covered", Covered().eval(), (0.0,) * 3, (1.0,) * 3, resize=SIDE, crop=SIDE, labels=["full", "not"]
    )
    return photo_scorer(classifier, ["VG"], n_samples=2)


@pytest.fixture(scope="module")
def white(mask):
    """White in the middle, so that blurring takes some of the class, and black around it."""
    return mask.convert("RGB")


@pytest.fixture(scope="module")
def mask():
    drawn = Image.new("L", (SIDE, SIDE))
    drawn.paste(255, (SIDE // 4, SIDE // 4, SIDE - SIDE // 4, SIDE - SIDE // 4))
    return drawn


def test_a_sheet_has_a_panel_per_method_and_one_scale(tmp_path):
    rng = np.random.default_rng(0)
    photo, maps = rng.random((8, 8, 3)), {name: rng.random((8, 8)) for name in "ABCDE"}
    # Six panels: two rows of three, not of five and one.
    figure = map_sheet("cat (90%)", photo, maps, {**dict.fromkeys("ABCD", 0.12345), "E": math.nan}, columns=5)
    *panels, scale = figure.axes
    assert [each.get_title() for each in panels] == [
        "cat (90%)", *(f"{name}\nRCAP 0.123" for name in "ABCD"), "E\nRCAP nan"
    ]  # fmt: skip
    for panel, saliency in zip(panels[1:], maps.values(), strict=True):
        np.testing.assert_array_equal(panel.images[0].get_array(), saliency)
    assert [each.get_text() for each in scale.get_yticklabels()] == ["0", "most"]
    assert plt.get_fignums() == []
    save_figure(figure, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as drawn:
        assert drawn.size == (2040, 1440)


def test_a_sheet_of_one_map_without_a_score():
    photo, first, _ = map_sheet("x", np.zeros((4, 4, 3)), {"A": np.eye(4)}).axes
    assert (photo.get_title(), first.get_title()) == ("x", "A")


def test_areas_hold_the_shares_of_a_map_worked_by_hand():
    # 10 pixels; the top fifth (9 and 8) holds 17 of 45, the next fifth 13, the rest is noise.
    saliency = np.arange(10.0).reshape(2, 5)
    _, _, focus, noise, drawn, bars = areas(np.zeros((2, 5, 3)), saliency, lower_bound=60, interval=20).axes
    assert focus.get_title() == "focus area: top 40 %\n67% of the saliency"
    assert noise.get_title() == "noise area: the rest\n33% of the saliency"
    np.testing.assert_array_equal(focus.images[0].get_array().compressed(), [6, 7, 8, 9])
    np.testing.assert_array_equal(noise.images[0].get_array().compressed(), range(6))
    assert focus.images[0].get_clim() == noise.images[0].get_clim()
    np.testing.assert_array_equal(drawn.images[0].get_array(), [[2, 2, 2, 2, 2], [2, 1, 1, 0, 0]])
    assert [label.get_text() for label in bars.get_yticklabels()] == ["top 20 %", "20 to 40 %", "noise"]
    np.testing.assert_allclose([bar.get_width() for bar in bars.patches], [17 / 45, 13 / 45, 15 / 45])


def test_recovery_shows_what_rcap_shows_the_model():
    seen = []

    def model(images):
        seen.extend(images)
        return torch.stack([images.mean((1, 2, 3)), -images.mean((1, 2, 3))], 1)

    photo, saliency = torch.rand(1, 3, 8, 8), torch.rand(1, 8, 8).clamp(0.3) - 0.3
    behaviour_of(model, (photo,))
    seen.clear()
    factors = rcap_factors(model, photo, saliency, 0)
    pixels = photo[0].permute(1, 2, 0).numpy()
    figure = recovery(pixels, saliency[0].numpy(), factors.visual_noise[0].numpy(), factors.localization[0].numpy())
    drawn = [axes.images[0].get_array() for axes in figure.axes[1:]]
    assert len(drawn) == len(seen) == 5
    for shown, expected in zip(drawn, seen, strict=True):
        np.testing.assert_array_equal(shown, expected.permute(1, 2, 0).numpy())
    assert figure.axes[0].get_title().endswith(f"RCAP {factors.score.item():.3f}")


def test_a_map_that_cannot_be_divided_is_refused():
    photo, saliency = np.zeros((6, 6, 3)), np.eye(6)
    with pytest.raises(ValueError, match=r"shape \(1, 6, 6\), expected \(H, W\)"):
        areas(photo, saliency[None])
    with pytest.raises(ValueError, match="without NaN"):
        recovery(photo, saliency * np.nan, np.ones(5), np.ones(5))


def test_a_gaussian_falls_to_the_known_share_at_one_width():
    found = gaussian((40, 60), Place(0.5, 0.25), 0.25)
    # The centre is at row 10 and column 30, between pixels; width 10 is a quarter of 40.
    assert found[9, 29].item() == pytest.approx(math.exp(-0.5 / 200))
    assert found[19, 29].item() == pytest.approx(math.exp(-(9.5**2 + 0.5**2) / 200))
    assert found[9, 49].item() == pytest.approx(math.exp(-(19.5**2 + 0.5**2) / 200))


@given(x=st.floats(0, 1), y=st.floats(0, 1))
def test_gaussians_of_one_place_have_one_ranking_whatever_their_widths(x, y):
    sharp, wide = (gaussian((24, 30), Place(x, y), width).flatten() for width in (0.1, 0.25))
    assert torch.equal(sharp.argsort(stable=True), wide.argsort(stable=True))
    assert torch.equal(sharp.argsort(stable=True, descending=True), wide.argsort(stable=True, descending=True))


def test_what_is_moved_keeps_its_values_and_takes_the_ranking():
    saliency = gaussian((9, 9), Place(0.5, 0.5), 0.1)
    ranking = torch.rand(9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = moved(saliency, ranking)
    assert torch.equal(found.flatten().sort().values, saliency.flatten().sort().values)
    assert torch.equal(moved(ranking, saliency), moved(ranking, saliency**2))
    order = ranking.flatten().argsort()
    assert bool((found.flatten()[order].diff() >= 0).all())


def test_the_propositions_hold_where_the_class_is_in_the_middle(scorer, white, mask):
    found = propositions(scorer, white, "white", mask=mask)
    m1, m2, m3, m4 = found.maps
    assert (found.explanation.label, found.explanation.target) == ("full", 0)
    # The mask's centre is that of the image.
    assert m1.saliency.argmax() in (SIDE * row + column for row in (15, 16) for column in (15, 16))
    # Proposition 1: the same noise, and less of the class in what is recovered.
    for placed, misplaced in ((m1, m3), (m2, m4)):
        np.testing.assert_allclose(placed.visual_noise, misplaced.visual_noise, rtol=1e-6)
        assert (placed.localization > misplaced.localization).any()
        assert placed.scores["RCAP"] > misplaced.scores["RCAP"]
        assert placed.scores["IAUC"] > misplaced.scores["IAUC"]
        assert placed.scores["DAUC"] < misplaced.scores["DAUC"]
        assert placed.scores["Log-Cosh Dice"] < misplaced.scores["Log-Cosh Dice"]
        assert placed.scores["MAE"] < misplaced.scores["MAE"]
    # Proposition 2: the same ranking, which is all that DAUC and IAUC see, and more noise.
    for sharp, wide in ((m1, m2), (m3, m4)):
        np.testing.assert_allclose(sharp.localization, wide.localization, rtol=1e-6)
        assert (sharp.visual_noise > wide.visual_noise).all()
        assert sharp.scores["RCAP"] > wide.scores["RCAP"]
        assert [sharp.scores[each] for each in ("DAUC", "IAUC")] == [wide.scores[each] for each in ("DAUC", "IAUC")]


def test_the_ranking_of_the_sharpest_map_is_kept_to_the_border(scorer, white):
    # 1e-240 at the border, far below what single precision holds.
    found = propositions(scorer, white, "white", at=Place(0.5, 0.5), sharp=0.0213, wide=1.0)
    assert 0 < found.maps[0].saliency.min() < 1e-200
    assert found.maps[0].scores["DAUC"] == found.maps[1].scores["DAUC"]
    assert found.maps[0].scores["IAUC"] == found.maps[1].scores["IAUC"]


def test_rcap_is_the_mean_product_of_the_factors_that_are_shown(scorer, white):
    found = propositions(scorer, white, "white", at=Place(0.4, 0.6), off=Place(1, 0), lower_bound=60, interval=20)
    assert [len(each.visual_noise) for each in found.maps] == [2] * 4
    for each in found.maps:
        assert each.scores["RCAP"] == pytest.approx((each.visual_noise * each.localization).mean(), rel=1e-5)
    assert list(found.higher_is_better) == ["RCAP", "DAUC", "IAUC"]
    rows = list(found.rows())
    assert [row["metric"] for row in rows[:5]] == ["RCAP", "DAUC", "IAUC", "share of the saliency", "probability"]
    assert len(rows) == 20


def test_without_a_mask_the_map_says_where_the_class_is(scorer, white):
    found = propositions(scorer, white, "white")
    row, column = divmod(int(found.maps[0].saliency.argmax()), SIDE)
    # The gradient lies on the middle quarter alone; smoothed, it is highest in its centre.
    assert abs(row - 15.5) <= 1
    assert abs(column - 15.5) <= 1


def test_the_figure_shows_the_maps_the_factors_and_the_scores(scorer, white, mask, tmp_path):
    found = propositions(scorer, white, "white", mask=mask)
    figure = propositions_figure(found)
    by_title = {axes.get_title(): axes for axes in figure.axes}
    for each in found.maps:
        np.testing.assert_array_equal(by_title[each.label].images[1].get_array(), each.saliency)
        drawn = by_title[f"RCAP {each.scores['RCAP']:.3f}"].lines
        np.testing.assert_allclose(drawn[2].get_ydata(), each.visual_noise * each.localization)
    said = [each.get_suptitle() for each in figure.subfigs][1]
    assert "M1 by RCAP, M1 by DAUC, M1 by IAUC, M1 by Log-Cosh Dice, M1 by MAE\n" in said
    assert "Preferred: M1 by RCAP, neither by DAUC, neither by IAUC, " in said
    scores = by_title["MAE (lower is better)"].patches
    assert [bar.get_height() for bar in scores] == [each.scores["MAE"] for each in found.maps]
    save_figure(figure, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size < 3_000_000
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sharp": 0.3}, "sharp is 0.3 and wide 0.25; must be above 0, and sharp the smaller"),
        ({"sharp": 0.01}, "sharp is 0.01, and a Gaussian of that width is 0 far from its centre"),
        ({"at": Place(1.2, 0.5)}, "the place 1.2,0.5 is not in the photograph; must be shares in"),
        ({"mask": Image.new("L", (SIDE, SIDE))}, "white: nothing of the segmentation is in what the model sees"),
        ({"mask": Image.new("L", (9, 9))}, "white: the segmentation is 9 x 9, its photograph 32 x 32"),
        ({"target": 7}, "white is of class 7"),
        ({"lower_bound": 55}, "lower_bound is 55 and interval 10"),
    ],
)
def test_what_has_no_meaning_is_said(scorer, white, options, message):
    with pytest.raises(InputError, match=message):
        propositions(scorer, white, "white", **options)
