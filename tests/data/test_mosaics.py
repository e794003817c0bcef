"""Mosaics: the explained photograph's place is its segmentation, drawn by the seed; each photograph comes once."""

import math
import pickle
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny import write_image

from captum_gag.data import dataset
from captum_gag.errors import InputError
from captum_gag.metrics.catalogue import metric
from captum_gag.metrics.segmentation import log_cosh_dice, segmentation_mae
from captum_gag.models import Classifier
from captum_gag.models.preprocessing import Preprocessing
from captum_gag.runs.scorer import Scorer
from captum_gag.runs.spec import make_suite

COLOURS = {"a": (200, 0, 0), "b": (0, 200, 0), "c": (0, 0, 200), "d": (200, 200, 0), "e": (0, 200, 200)}


@pytest.fixture
def photos(tmp_path):
    """Five classes of two photographs each, every class of a colour of its own."""
    for name, colour in COLOURS.items():
        for number in range(2):
            path = tmp_path / "photos" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (30, 20), colour).save(path)
    return tmp_path / "photos"


def mosaic(photos, **options):
    return dataset({"type": "mosaic", "root": photos, "tile": 8, **options})


def test_each_photograph_is_explained_once_among_three_of_other_classes(photos):
    data = mosaic(photos)
    explained = [files[tiles.explained] for files, tiles in zip(map(data.files, range(10)), data.mosaics, strict=True)]
    assert explained == sorted(photos.rglob("*.png"))
    assert [example.target for example in data] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert [data.listed_target(index) for index in range(10)] == [example.target for example in data]
    for index in range(10):
        assert len({file.parent for file in data.files(index)}) == 4


def test_the_segmentation_lies_on_the_photograph_of_the_class_and_the_distractor_is_another(photos):
    for example in mosaic(photos):
        pixels, mask = np.asarray(example.photo()), np.asarray(example.mask())
        assert (pixels.shape, mask.shape, example.mask().mode) == ((16, 16, 3), (16, 16), "L")
        assert np.count_nonzero(mask == 255) == np.count_nonzero(mask) == 64
        colour = list(COLOURS.values())[example.target]
        assert np.array_equal((pixels == colour).all(-1), mask == 255)
        distractor = np.asarray(example.distractor())
        assert np.count_nonzero(distractor == 255) == np.count_nonzero(distractor) == 64
        assert not (mask & distractor).any()


def test_the_names_of_all_photographs_are_told_with_the_place(photos):
    data = mosaic(photos)
    for index, tiles in enumerate(data.mosaics):
        files = [file.relative_to(photos).as_posix() for file in data.files(index)]
        place = {0: "row 1, column 1", 1: "row 1, column 2", 2: "row 2, column 1", 3: "row 2, column 2"}
        first = files.pop(tiles.explained)
        assert data.names[index] == f"{first} in {place[tiles.explained]}, with {', '.join(files)}"


def test_the_seed_alone_decides(photos):
    assert mosaic(photos).names == mosaic(photos).names == mosaic(photos, seed=0).names
    assert mosaic(photos).names != mosaic(photos, seed=1).names
    assert pickle.loads(pickle.dumps(mosaic(photos, seed=1))).names == mosaic(photos, seed=1).names


def test_nothing_depends_on_the_order_in_which_files_are_found(photos, monkeypatch):
    before = mosaic(photos).names
    found = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda folder: sorted(found(folder), reverse=True))
    assert mosaic(photos).names == before


def test_places_and_classes_are_drawn_evenly(tmp_path):
    for number in range(400):
        path = tmp_path / "abcdefgh"[number % 8] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    data = mosaic(tmp_path)
    places = Counter(tiles.explained for tiles in data.mosaics)
    # 100 are expected; the standard deviation is sqrt(400 * 1/4 * 3/4) = 8.7.
    assert all(abs(places[place] - 100) < 4 * 8.7 for place in range(4))
    others = Counter(
        data.files(index)[place].parent.name
        for index, tiles in enumerate(data.mosaics)
        for place in range(4)
        if place != tiles.explained
    )
    # 1,200 others of eight classes alike.
    assert all(abs(others[name] - 150) < 4 * math.sqrt(150) for name in "abcdefgh")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**63), side=st.just(2), tile=st.integers(1, 30))
def test_any_seed_and_size_keep_mask_and_photograph_together(photos, seed, side, tile):
    example = mosaic(photos, seed=seed, side=side, tile=tile)[4]
    colour = list(COLOURS.values())[example.target]
    assert np.array_equal((np.asarray(example.photo()) == colour).all(-1), np.asarray(example.mask()) == 255)


def test_nine_photographs_of_nine_classes(tmp_path):
    for name in "abcdefghi":
        write_image(tmp_path / name / "1.png")
    data = mosaic(tmp_path, side=3)
    assert data[0].photo().size == data[0].mask().size == (24, 24)
    assert np.count_nonzero(data[0].mask()) == 64
    assert all(len(set(data.files(index))) == 9 for index in range(9))


@pytest.mark.parametrize(("resize", "crop"), [(256, 224), (12, 12), ((10, 14), (8, 10))])
def test_the_quadrant_stays_on_its_photograph_through_the_preprocessing(photos, resize, crop):
    seen = Preprocessing(mean=(0.0,), std=(1.0,), resize=resize, crop=crop)
    for example in mosaic(photos, tile=64):
        colour = torch.tensor(list(COLOURS.values())[example.target])[:, None, None] / 255
        mask = seen.preprocess_mask(example.mask())[0].bool()
        near = ((seen.preprocess(example.photo()) - colour).abs() < 0.3).all(0)
        # The crop leaves each a quarter, whatever of the outer margin it takes; resizing mixes one pixel at the edge.
        assert int(mask.sum()) * 4 == mask.numel()
        assert int((near != mask).sum()) <= sum(mask.shape)


def test_a_map_that_points_at_the_quadrant_alone_is_perfect(photos):
    example = mosaic(photos)[3]
    mask = torch.from_numpy(np.asarray(example.mask()) / 255.0)[None, None]
    # Soft Dice is (2 * 64 + 1) / (128 + 1) = 1 on it; off it (0 + 1) / (64 + 192 + 1) = 1/257.
    assert log_cosh_dice(mask, mask).item() == pytest.approx(0, abs=1e-7)
    assert segmentation_mae(mask, mask).item() == 0
    assert log_cosh_dice(1 - mask, mask).item() == pytest.approx(math.log(math.cosh(256 / 257)))
    assert segmentation_mae(1 - mask, mask).item() == 1


@pytest.mark.parametrize(
    "name",
    [
        *("PointingGame", "RelevanceRankAccuracy", "RelevanceMassAccuracy", "AttributionLocalisation", "AUC"),
        "TopKIntersection",
    ],
)
def test_the_localisation_metrics_of_quantus_see_whether_a_map_points_at_the_quadrant(photos, name):
    example = mosaic(photos)[3]
    options = {"k": 20} if name == "TopKIntersection" else {}
    mask = torch.from_numpy(np.asarray(example.mask()) / 255.0)[None, None]
    made = metric(f"quantus:{name}", options)
    assert made.needs_segmentation
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 256, 5)).eval()
    inputs = torch.rand(1, 3, 16, 16)
    # Graded, so that the ranking of equal values decides nothing.
    inside = mask * torch.linspace(1, 2, 256).reshape(1, 1, 16, 16)
    outside = (1 - mask) * torch.linspace(1, 2, 256).reshape(1, 1, 16, 16)
    scores = [made.evaluate(model, inputs, each, 3, mask, output="logits").score.item() for each in (inside, outside)]
    assert scores == pytest.approx([1, 0])


def test_mosaics_are_scored_by_all_metrics_and_a_broken_photograph_costs_only_its_own(photos):
    (photos / "c" / "1.png").write_bytes(b"broken")
    data = mosaic(photos, tile=16)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 144, 5)).eval()
    classifier = Classifier("linear", network, (0.5,) * 3, (0.5,) * 3, resize=16, crop=12)
    metrics = {
        "Dice": {"type": "LogCoshDice"},
        "MAE": {"type": "SegmentationMAE"},
        "PG": {"type": "quantus:PointingGame"},
    }
    scorer = Scorer(classifier, make_suite({"methods": ["VG", "Random"], "metrics": metrics}), data=data)
    for index, name in enumerate(data.names):
        rows = scorer.score(name, partial(data.__getitem__, index)).rows
        broken = photos / "c" / "1.png" in data.files(index)
        assert [math.isnan(row["score"]) for row in rows] == [broken] * 9
        assert all(("1.png: " in row["error"]) == broken for row in rows)
        assert {row["target"] for row in rows} == {index // 2}


def test_a_table_says_which_photographs_are_taken(photos, tmp_path):
    names = ["d/1.png", "a/0.png", "b/1.png", "c/0.png", "b/0.png"]
    pd.DataFrame({"image": [*names, names[0]], "probability": 0.95}).to_parquet(tmp_path / "selection.parquet")
    (tmp_path / "chosen.csv").write_text("probability;image\n" + "".join(f"0,95;{name}\n" for name in names))
    for table in ("selection.parquet", "chosen.csv"):
        data = mosaic(photos, chosen=tmp_path / table)
        explained = [data.files(index)[tiles.explained] for index, tiles in enumerate(data.mosaics)]
        assert explained == [photos / name for name in sorted(names)]
        assert {file for index in range(5) for file in data.files(index)} <= {photos / name for name in names}
        assert data.listings() == (tmp_path / table,)


def test_what_the_photographs_data_set_knows_is_known_of_the_mosaics(photos, tmp_path):
    assert mosaic(photos).numbered_by_order == 5
    assert mosaic(photos).listings() == ()
    (tmp_path / "classes.csv").write_text("class_index,name\n7,a\n2,b\n3,c\n4,d\n9,e\n")
    assert mosaic(photos).numbered_by_order is None
    assert mosaic(photos).listings() == (tmp_path / "classes.csv",)
    assert mosaic(photos)[0].target == 7
    with pytest.raises(InputError, match="has no training images"):
        mosaic(photos).train()


def test_photographs_in_another_layout(tmp_path, monkeypatch):
    lines = "".join(f"/{number}.jpg {number // 2}\n" for number in range(8))
    (tmp_path / "places365_val.txt").write_text(lines)
    for number in range(8):
        write_image(tmp_path / "val_256" / f"{number}.jpg", number)
    monkeypatch.chdir(tmp_path.parent)
    data = dataset({"type": "mosaic", "root": tmp_path.name, "of": {"type": "places365", "training": "more"}})
    assert (len(data), data[6].target) == (8, 3)
    found = data.absolute()
    monkeypatch.chdir("/")
    assert found.names == data.names
    assert found.spec() == dataset(found.spec()).spec()
    assert found.spec()["of"] == {"type": "places365", "training": str(tmp_path.parent / "more")}
    assert found.train().root == str(tmp_path.parent / "more")
    assert str(data) == f"mosaic:{tmp_path.name}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"side": 3}, "the photographs are of 5 classes; a mosaic of 3 x 3 needs photographs of 9"),
        ({"of": "cifar10"}, "unknown type of photographs 'cifar10'; expected folder, imagenet-s, isic, places365"),
        ({"of": {"type": "folder", "mask": "."}}, "unknown option 'mask'; did you mean masks"),
        ({"chosen": "wrong.csv"}, "wrong.csv: lists 'a/9.png', which is not among the photographs of .*'a/0.png'"),
        ({"chosen": "names.csv"}, "names.csv: has the columns name; expected image among them"),
        ({"chosen": "none.csv"}, "none.csv: cannot be read as a table"),
        ({"chosen": "none.parquet"}, "none.parquet: cannot be read as a table"),
        ({"chosen": "two.csv"}, "the photographs are of 2 classes; a mosaic of 2 x 2 needs photographs of 4"),
    ],
)
def test_what_cannot_be_put_together_is_said_in_a_line(photos, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    Path("wrong.csv").write_text("image\na/0.png\na/9.png\n")
    Path("two.csv").write_text("image\na/0.png\nb/0.png\n")
    Path("names.csv").write_text("name\na/0.png\n")
    with pytest.raises(InputError, match=message):
        mosaic(photos, **options)


def test_photographs_without_classes_are_refused(tmp_path):
    for name in "abcd":
        write_image(tmp_path / f"{name}.png")
    with pytest.raises(InputError, match=r"the class of a\.png is not known; mosaics need photographs of known"):
        mosaic(tmp_path)
