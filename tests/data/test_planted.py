"""Planted images: every pixel belongs to a part that is known, and one part alone carries the class."""

import pickle
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency
from scipy.stats.contingency import crosstab

from captum_gag.data import dataset
from captum_gag.data.images import DEMO
from captum_gag.data.planted import KINDS, N_CLASSES, PARTS
from captum_gag.data.scenes import COLOURS, SIDE, Backdrop, Scene, Thing
from captum_gag.errors import InputError

KIND = pytest.mark.parametrize("kind", KINDS)


def pixels(scene):
    return np.asarray(scene.photo()).astype(int)


def where(scene, part):
    return np.asarray(scene.mask(part)) == 255


def differ(a, b):
    return (pixels(a) != pixels(b)).any(-1)


def planted(kind, **options):
    return dataset({"type": "planted", "kind": kind, **options})


@KIND
@settings(max_examples=15, deadline=None)
@given(index=st.integers(0, 999), seed=st.integers(0, 2**40), split=st.sampled_from(["train", "test"]))
def test_parts_are_exactly_where_an_image_differs_from_the_one_without_them(kind, index, seed, split):
    scene = planted(kind, seed=seed, split=split).scene(index)
    masks = {part: where(scene, part) for part in PARTS}
    assert (sum(mask.astype(int) for mask in masks.values()) == 1).all()
    assert np.array_equal(differ(scene, replace(scene, objects=())), masks["object"])
    assert np.array_equal(differ(scene, replace(scene, distractors=())), masks["distractor"])
    assert masks["object"].any()
    assert masks["distractor"].any()


@KIND
@settings(max_examples=15, deadline=None)
@given(index=st.integers(0, 999), part=st.sampled_from(PARTS), seed=st.integers(0, 2**40))
def test_a_replaced_part_changes_nothing_outside_of_it(kind, index, part, seed):
    data = planted(kind, seed=seed)
    before, after = data.scene(index), data.replaced(index, part)
    changed = differ(before, after)
    assert changed.any()
    assert not (changed & ~where(before, part) & ~where(after, part)).any()
    assert (after.target != before.target) == (part == data.reason)
    # Nothing but the object has another outline, and things stay in their places.
    for name in ("objects", "distractors"):
        places = [[(each.x, each.y, each.radius) for each in getattr(scene, name)] for scene in (before, after)]
        assert places[0] == places[1]


def carried(kind, scene):
    """Return what the class of a scene must be, read off what it shows by hand."""
    shapes = ["square", "triangle", "disc", "cross"]
    [first, *rest] = scene.objects
    if kind == "both":
        pair = {first.shape, rest[0].shape}
        return next(c for c in range(4) if pair == {shapes[c], shapes[(c + 1) % 4]})
    shown = {
        "object": (first.shape, shapes),
        "watermark": (first.shape, shapes),
        "texture": (first.pattern, ["rows", "columns", "checks", "dots"]),
        "colour": (first.colour, ["red", "green", "blue", "yellow"]),
        "background": (scene.backdrop.photograph, ["chelsea", "coffee", "rocket", "china"]),
    }
    value, values = shown[kind]
    return values.index(value)


@KIND
def test_the_class_is_what_the_part_says_also_where_parts_are_replaced(kind):
    data = planted(kind)
    for index in range(40):
        scenes = [data.scene(index), *(data.replaced(index, part) for part in PARTS)]
        assert [carried(kind, scene) for scene in scenes] == [scene.target for scene in scenes]
        assert data[index].target == data.listed_target(index) == scenes[0].target


@KIND
def test_of_both_objects_one_is_replaced_and_of_others_the_property_that_carries_the_class(kind):
    if kind == "background":
        return
    data = planted(kind)
    changed = Counter()
    for index in range(200):
        before, after = data.scene(index).objects, data.replaced(index, "object").objects
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            names = [name for name in ("shape", "pattern", "colour") if getattr(old, name) != getattr(new, name)]
            changed.update((number, name) for name in names)
    carrier = {"texture": "pattern", "colour": "colour"}.get(kind, "shape")
    assert set(changed) == {(number, carrier) for number in range(2 if kind == "both" else 1)}
    assert sum(changed.values()) == 200


@KIND
def test_classes_come_in_turn_and_other_parts_say_nothing_of_them(kind):
    data = planted(kind, n_images=402)
    assert Counter(example.target for example in data) == {0: 101, 1: 101, 2: 100, 3: 100}
    scenes = [data.scene(index) for index in range(400)]
    shown = {"distractor": [scene.distractors[0].shape for scene in scenes]}
    if kind != "background":
        shown["background"] = [scene.backdrop.photograph for scene in scenes]
    if kind not in ("object", "watermark", "both"):
        shown["object"] = [scene.objects[0].shape for scene in scenes]
    targets = [scene.target for scene in scenes]
    for what, values in shown.items():
        counts = crosstab(values, targets).count
        assert counts.shape[0] > 2
        assert chi2_contingency(counts).pvalue > 1e-3, what
    assert chi2_contingency(crosstab([carried(kind, scene) for scene in scenes], targets).count).pvalue < 1e-50


@pytest.mark.parametrize("kind", ["object", "texture", "colour", "both"])
def test_a_distractor_never_shows_what_the_classes_do(kind):
    data = planted(kind)
    name = {"texture": "pattern", "colour": "colour"}.get(kind, "shape")
    of_classes = {getattr(each, name) for index in range(8) for each in data.scene(index).objects}
    scenes = [scene for index in range(100) for scene in (data.scene(index), data.replaced(index, "distractor"))]
    assert len(of_classes) == N_CLASSES
    assert not {getattr(each, name) for scene in scenes for each in scene.distractors} & of_classes


def test_images_are_decided_by_kind_seed_split_and_index_alone():
    data = planted("object")
    again = pickle.loads(pickle.dumps(data))
    backwards = {index: pixels(again.scene(index)) for index in (5, 2, 0)}
    assert all(np.array_equal(backwards[index], np.asarray(data[index].photo())) for index in backwards)
    assert data.scene(2) == planted("object", n_images=3, mask="distractor").scene(2)
    others = [planted("object", seed=1), data.train(), planted("object", split="train", seed=1)]
    scenes = [each.scene(2) for each in (data, *others)]
    assert len(set(scenes)) == 4
    assert len({data.replaced(2, part) for part in PARTS} | {data.scene(2)}) == 4
    assert data.train().spec() == {**data.spec(), "split": "train"}


def test_an_image_is_what_is_drawn_by_hand():
    behind = Backdrop("china", 0, 0, 2 * SIDE)
    cross, square = Thing("cross", "rows", "red", 10, 20, 3), Thing("square", "plain", "blue", 40, 40, 2)
    scene = Scene(0, behind, (cross,), (square,))
    found = pixels(scene)
    expected = np.zeros((SIDE, SIDE), bool)
    expected[17:24, 9:12] = expected[19:22, 7:14] = True
    assert np.array_equal(where(scene, "object"), expected)
    # Rows are two pixels high, and the centre is in the first of two that are coloured.
    colours = ["red", "white", "white", "red", "red", "white", "white"]
    assert found[17:24, 10].tolist() == [list(COLOURS[colour]) for colour in colours]
    assert (found[39:42, 39:42] == COLOURS["blue"]).all()
    assert where(scene, "distractor").sum() == 9
    assert found[where(scene, "background")].max() <= 204


@KIND
def test_the_segmentation_is_on_what_carries_the_class_or_on_the_part_that_is_asked_for(kind):
    data = planted(kind, n_images=4)
    reason = "background" if kind == "background" else "object"
    assert data.reason == reason
    for index in range(4):
        assert np.array_equal(np.asarray(data[index].mask()) == 255, where(data.scene(index), reason))
        for part in PARTS:
            mask = planted(kind, n_images=4, mask=part)[index].mask()
            assert (mask.mode, mask.size) == ("L", (SIDE, SIDE))
            assert np.array_equal(np.asarray(mask) == 255, where(data.scene(index), part))


def test_names_are_numbers_and_classes():
    data = planted("both", n_images=5)
    assert data.names[3:] == ("00003 cross and square", "00004 square and triangle")
    assert (str(data), len(data), data.labels[0]) == ("planted:both", 5, "square and triangle")
    with pytest.raises(IndexError):
        data.scene(5)
    assert planted("background").labels == DEMO[:N_CLASSES]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("planted:objects", "kind is 'objects', expected 'object', 'texture', 'colour'"),
        ("planted", "expected demo, a folder, .*planted:KIND"),
        ({"type": "planted"}, "Planted needs kind: What carries the class"),
        ({"type": "planted", "kind": "both", "mask": "cat"}, "mask is 'cat', expected 'reason', 'object'"),
        ({"type": "planted", "kind": "both", "n_images": 0}, "n_images is 0, expected greater than or equal to 1"),
    ],
)
def test_what_has_no_meaning_is_one_line(spec, message):
    with pytest.raises(InputError, match=message):
        dataset(spec)
