"""Pictures keep to the page's size; of many images those are shown on which maps disagree, the worst, and some."""

import base64
import io
import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scoring import config_of, folder_of, run_of

from captum_gag.reliability.scores import checked
from captum_gag.report.gallery import (
    COLUMNS,
    MOST_BYTES,
    SIDES,
    about,
    classes_of,
    curves_by_image,
    gallery,
    picture_side,
)
from captum_gag.report.image_selection import AT_RANDOM, BY_MAPS, agreement, agreement_with_mean, disagreements, select
from captum_gag.report.run_figures import curves_of

from .conftest import HOSTILE

SIDE = 64


def gallery_of(run):
    known = classes_of(run, checked(run.scores()))
    return gallery(run, known, run.config.made_suite().methods, SIDE, select(list(known.index), {}, None, 0))


@pytest.fixture(scope="module")
def items(run):
    return list(gallery_of(run))


def _sheet(item):
    head, _, body = item.pictures.partition(",")
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(body)))


def test_each_image_has_its_photograph_and_a_map_per_method(run, items):
    side = SIDE
    assert [item.number for item in items] == list(range(7))
    assert items[0].methods == list(run.maps(HOSTILE))
    assert set(items[0].methods) == set(run.config.suite["methods"])
    assert _sheet(items[0]).size == (7 * side, side)
    seen = run.photograph(HOSTILE).photo
    assert (seen.size, run.photograph(HOSTILE).mask) == ((12, 12), None)
    shown = np.asarray(_sheet(items[0]).crop((0, 0, side, side)).resize((12, 12))) / 255
    assert np.corrcoef(shown.ravel(), np.asarray(seen).ravel())[0, 1] > 0.9


def test_an_image_that_failed_has_neither_maps_nor_curves(items):
    last = items[-1]
    assert (last.image, last.pictures, last.methods) == ("g.png", "", [])
    assert math.isnan(last.probability)


def test_curves_are_those_of_the_records(run, items):
    drawn, images = curves_of(checked(run.scores())), [item.image for item in items]
    curves = list(curves_by_image(drawn, images))
    assert curves[-1] == {}
    assert list(curves_by_image(drawn.sample(frac=1, random_state=0), images[::-1])) == curves[::-1]
    deletion = curves[1]["DAUC"]
    assert deletion["x"] == [0, 0.25, 0.5, 0.75, 1]
    records = run.scores().query("image == 'b.png' and metric == 'DAUC'").set_index("method")
    assert deletion["y"]["VG"] == pytest.approx(records.loc["VG", "curve_y"], abs=5e-4)
    assert (deletion["x_label"], deletion["y_label"]) == tuple(records.loc["VG", ["curve_x_label", "curve_y_label"]])
    assert set(deletion["y"]) == {"GAG-85", "GAG-0", "SG", "VG", "SG^sharp", "Random"}
    assert deletion["y"]["SG"] == deletion["y"]["SG^sharp"]


def test_more_pictures_are_smaller_pictures():
    sides = [picture_side(count) for count in (5, 124 * 13, 1000 * 13, 10**7)]
    assert sides == sorted(sides, reverse=True)
    assert (sides[0], sides[-1]) == (SIDES[0], SIDES[-1])
    assert 1000 * 13 * sides[2] ** 2 * 0.3 <= MOST_BYTES
    assert COLUMNS * SIDES[0] < 16383, "WebP goes no further"


def test_neither_data_nor_model_need_be_there(reconfigured, items):
    run = reconfigured(data={"type": "folder", "root": "/nowhere"}, model={"type": "nowhere:model"})
    assert [(item.pictures, item.about) for item in gallery_of(run)] == [(each.pictures, each.about) for each in items]


@pytest.mark.parametrize(
    ("known", "true", "said"),
    [
        ((1, 0.9, 1, 0.9), 1, "class 1, probability 90 %, the true class and the class predicted"),
        ((1, 0.9, 1, 0.9), math.nan, "class 1, probability 90 %, the class predicted"),
        (
            (1, 0.2, 2, 0.7),
            1,
            "class 1, probability 20 %, the true class; the network predicts class 2, probability 70 %",
        ),
        ((1, 0.9, math.nan, math.nan), 1, "class 1, probability 90 %, the true class"),
        ((math.nan, math.nan, math.nan, math.nan), 1, ""),
    ],
)
def test_classes_in_words(known, true, said):
    numbers = dict(zip(("target", "probability", "predicted", "predicted_probability"), known, strict=True))
    assert about({**numbers, "true": true, "label": "", "predicted_label": ""}) == said


def test_the_mask_of_the_object_is_the_last_square(tmp_path):
    data, masks = folder_of(tmp_path / "photographs", "0.png", "1.png"), tmp_path / "photographs-masks"
    masks.mkdir()
    half = Image.new("L", (14, 14))
    half.paste(255, (0, 0, 7, 14))
    half.save(masks / "0.png")
    suite = {"methods": ["SG"], "metrics": {"RCAP": {}}, "n_samples": 2}
    made = run_of(tmp_path / "run", config_of(suite, data=data, save_maps=True))
    first, second = gallery_of(made)
    assert (first.masked, second.masked) == (True, False)
    assert (_sheet(first).width, _sheet(second).width) == (3 * SIDE, 2 * SIDE)
    shown = np.asarray(_sheet(first).convert("L"))[:, 2 * SIDE :]
    assert shown[:, : SIDE // 2 - 2].min() > 200
    assert shown[:, SIDE // 2 + 2 :].max() < 50


NAMES = [f"{number:03d}" for number in range(60)]


def test_the_first_of_each_ranking_in_turn_and_a_quarter_at_random():
    worst, best = ["007", "005", "003", "001"], ["009", "007", "008"]
    found = select(NAMES, {"worst": worst, "best": best}, 8, 0)
    reasons = {image: reason for image, reason in found.reasons.items() if reason != AT_RANDOM}
    # 007 is worst before it is best, and two of eight are left to chance.
    assert reasons == {"007": "worst", "009": "best", "005": "worst", "003": "worst", "008": "best", "001": "worst"}
    assert len(found.images) == 8
    assert found.images == sorted(found.images)
    assert "8 of 60 images are shown: 6 because" in found.words
    assert "2 drawn at random (seed 0)" in found.words


def test_the_seed_fixes_what_is_random():
    drawn = {seed: select(NAMES, {}, 10, seed) for seed in (0, 1)}
    assert drawn[0] == select(NAMES, {}, 10, 0)
    assert drawn[0].images != drawn[1].images


@given(most=st.none() | st.integers(1, 70), ranked=st.lists(st.lists(st.sampled_from(NAMES), unique=True), max_size=4))
def test_as_many_as_asked_for_or_all_in_their_order(most, ranked):
    found = select(NAMES, {str(place): images for place, images in enumerate(ranked)}, most, 0)
    assert len(found.images) == min(most or 60, 60)
    assert found.images == sorted(set(found.images))
    everything = len(found.images) == 60
    assert (found.reasons, found.words) == ({}, "") if everything else set(found.reasons) == set(found.images)


def test_agreement_is_the_mean_of_rho_over_pairs():
    rows = torch.arange(16.0).reshape(4, 4)
    assert agreement({"a": rows, "b": 2 * rows, "c": rows.exp()}) == pytest.approx(1)
    assert agreement({"a": rows, "b": -rows}) == pytest.approx(-1)
    assert agreement({"a": rows, "b": rows, "c": -rows}) == pytest.approx(-1 / 3)
    assert math.isnan(agreement({"a": rows}))
    assert math.isnan(agreement({"a": rows, "constant": torch.ones(4, 4), "nan": rows * torch.nan}))


def test_agreement_with_the_mean_is_pandas_own():
    rng = np.random.default_rng(0)
    # Ties, gaps, a row of one score, and one without any.
    scores = rng.integers(0, 9, (40, 5)).astype(float)
    scores[rng.uniform(size=scores.shape) < 0.2] = np.nan
    scores[0, 1:], scores[1] = np.nan, np.nan
    table = pd.DataFrame(scores, columns=list("abcde"))
    expected = table.T.corrwith(table.mean(), method="spearman")
    assert 30 < expected.notna().sum() < 40
    pd.testing.assert_series_equal(agreement_with_mean(table), expected)


def test_random_and_manipulated_maps_do_not_count(run):
    found = disagreements(run, checked(run.scores()), ["b.png", "c.png", "g.png"])[BY_MAPS]
    maps = run.maps("b.png")
    kept = {name: maps[name] for name in ("GAG-85", "GAG-0", "SG", "VG")}
    assert found["b.png"] == pytest.approx(agreement(kept))
    assert set(found.index) == {"b.png", "c.png"}, "of an image that failed nothing can be told"
    assert found.is_monotonic_increasing
