"""Pictures keep to the page's size; images on which maps disagree are found."""

import base64
import io
import math

import numpy as np
import pytest
from PIL import Image
from scoring import config_of, folder_of, run_of

from captum_gag.reliability.scores import checked
from captum_gag.report.choosing import choose
from captum_gag.report.gallery import (
    COLUMNS,
    MOST_BYTES,
    SIDES,
    curves_by_image,
    gallery,
    images_of,
    picture_side,
)
from captum_gag.report.run_figures import curves_of
from captum_gag.report.source import Source

from .conftest import HOSTILE

SIDE = 64


def gallery_of(run, source):
    known = images_of(run, checked(run.scores()))
    return gallery(run, known, source, SIDE, choose(list(known.index), {}, None, 0))


@pytest.fixture(scope="module")
def items(run):
    return list(gallery_of(run, Source.of(run, trust=True)))


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
    x = Source.of(run, trust=True).seen(HOSTILE).photo
    shown = np.asarray(_sheet(items[0]).crop((0, 0, side, side)).resize((12, 12))) / 255
    assert np.corrcoef(shown.ravel(), x.permute(1, 2, 0).numpy().ravel())[0, 1] > 0.9


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


def test_photographs_that_are_gone_cost_themselves_alone(reconfigured):
    run = reconfigured(data={"type": "folder", "root": "/nowhere"})
    source = Source.of(run, trust=True)
    assert "/nowhere" in source.missing
    [first, *_] = gallery_of(run, source)
    assert (first.label[:6], len(first.methods)) == ("class ", 6), "how the model is fed is still known"
    assert _sheet(first).getpixel((5, 5)) == pytest.approx((128,) * 3, abs=3)


def test_weights_that_are_gone_cost_nothing(reconfigured, items):
    run = reconfigured(model={"type": "tiny:model", "weights": "/nowhere.safetensors"})
    source = Source.of(run, trust=True)
    assert source.missing == ""
    assert [item.pictures for item in gallery_of(run, source)] == [i.pictures for i in items]


@pytest.mark.parametrize(
    ("known", "true", "said"),
    [
        ((1, 0.9, 1, 0.9), 1, "class 1, probability 90 %, the true class and the class predicted"),
        ((1, 0.9, 1, 0.9), None, "class 1, probability 90 %, the class predicted"),
        (
            (1, 0.2, 2, 0.7),
            1,
            "class 1, probability 20 %, the true class; the network predicts class 2, probability 70 %",
        ),
        ((1, 0.9, math.nan, math.nan), 1, "class 1, probability 90 %, the true class"),
        ((1, 0.9, 1, 0.9), 0, "class 1, probability 90 %, the class predicted; the true class is class 0"),
        ((math.nan, math.nan, math.nan, math.nan), 1, ""),
    ],
)
def test_classes_in_words(known, true, said):
    assert Source(None, None, "").about(*known, true) == said


def test_the_mask_of_the_object_is_the_last_square(tmp_path):
    data, masks = folder_of(tmp_path / "photographs", "0.png", "1.png"), tmp_path / "photographs-masks"
    masks.mkdir()
    half = Image.new("L", (14, 14))
    half.paste(255, (0, 0, 7, 14))
    half.save(masks / "0.png")
    suite = {"methods": ["SG"], "metrics": {"RCAP": {}}, "n_samples": 2}
    made = run_of(tmp_path / "run", config_of(suite, data=data, save_maps=True))
    first, second = gallery_of(made, Source.of(made, trust=True))
    assert (first.masked, second.masked) == (True, False)
    assert (_sheet(first).width, _sheet(second).width) == (3 * SIDE, 2 * SIDE)
    shown = np.asarray(_sheet(first).convert("L"))[:, 2 * SIDE :]
    assert shown[:, : SIDE // 2 - 2].min() > 200
    assert shown[:, SIDE // 2 + 2 :].max() < 50
