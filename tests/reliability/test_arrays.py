"""Arrays become a score table, whichever level comes first."""

import numpy as np
import pandas as pd
import pytest
import torch

from captum_gag import reliability
from captum_gag.errors import InputError
from captum_gag.reliability import from_arrays

BY_METRIC = {"RCAP": {"x": [1.0, 2.0], "y": [3.0, 4.0]}, "DAUC": {"x": [5.0, 6.0], "y": [7.0, 8.0]}}
BY_METHOD = {"x": {"RCAP": [1.0, 2.0], "DAUC": [5.0, 6.0]}, "y": {"RCAP": [3.0, 4.0], "DAUC": [7.0, 8.0]}}


def scores_of(table):
    return {tuple(key): score for *key, score in table[["image", "method", "metric", "score"]].itertuples(index=False)}


def test_a_table_has_a_row_per_image_method_and_metric():
    assert scores_of(from_arrays({"RCAP": {"x": [1.0, np.nan]}}, images=["cat", "dog"])) == {
        ("cat", "x", "RCAP"): 1.0,
        ("dog", "x", "RCAP"): pytest.approx(np.nan, nan_ok=True),
    }
    assert from_arrays({"RCAP": {"x": [1.0, np.inf]}})["score"].isna().tolist() == [False, True]


def test_either_level_may_come_first():
    expected = scores_of(from_arrays(BY_METRIC))
    assert expected[0, "y", "DAUC"] == 7
    assert len(expected) == 8
    assert scores_of(from_arrays(BY_METHOD)) == expected
    own = {"x": {"mine": [1.0]}, "y": {"mine": [2.0]}}
    assert scores_of(from_arrays(own, higher_is_better={"mine": False})) == {(0, "x", "mine"): 1, (0, "y", "mine"): 2}
    assert scores_of(from_arrays(own, levels="method")) == {(0, "x", "mine"): 1, (0, "y", "mine"): 2}
    assert scores_of(from_arrays(own, levels="metric")) == {(0, "mine", "x"): 1, (0, "mine", "y"): 2}


def test_levels_that_cannot_be_told_apart_are_asked_for():
    with pytest.raises(InputError, match=r"which names are metrics, a or x, y\? Say levels='metric' or"):
        from_arrays({"a": {"x": [1], "y": [2]}})
    with pytest.raises(InputError, match="which names are metrics, RCAP or DAUC"):
        from_arrays({"RCAP": {"DAUC": [1]}})
    with pytest.raises(InputError, match="levels is 'row'"):
        from_arrays(BY_METRIC, levels="row")


def test_what_evaluate_returns_is_taken_as_it_comes():
    from captum_gag.metrics import RCAP, Deletion, evaluate

    generator = torch.Generator().manual_seed(0)
    images, noise = (torch.rand(4, 3, 8, 8, generator=generator) for _ in range(2))
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3)).eval()
    found = evaluate(model, images, {"a": noise, "b": -noise}, 0, {"RCAP": RCAP(), "DAUC": Deletion()})
    table = from_arrays(found, images=["p", "q", "r", "s"])
    assert set(table["method"]) == {"a", "b"}
    for (method, metric), rows in table.groupby(["method", "metric"]):
        assert rows["score"].tolist() == pytest.approx(found[method][metric].tolist())


def test_what_quantus_evaluate_returns_is_taken_as_it_comes():
    import quantus

    rng = np.random.default_rng(0)
    x = rng.random((4, 1, 8, 8)).astype(np.float32)
    found = quantus.evaluate(
        metrics={"Sparseness": quantus.Sparseness(disable_warnings=True)},
        xai_methods={"own": rng.random((4, 1, 8, 8)), "flat": np.ones((4, 1, 8, 8)) + rng.random((4, 1, 8, 8)) / 9},
        model=torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2)),
        x_batch=x,
        y_batch=np.zeros(4, dtype=int),
        agg_func=lambda scores: scores,
    )
    table = from_arrays(found)
    means = table.groupby("method")["score"].mean()
    assert (len(table), set(table["metric"])) == (8, {"Sparseness"})
    assert means["own"] > means["flat"]


def test_tensors_are_taken_wherever_they_are():
    scores = torch.tensor([1.0, 2.0], dtype=torch.bfloat16, requires_grad=True)
    assert from_arrays({"x": {"RCAP": scores}})["score"].tolist() == [1, 2]


def test_roles_of_methods_are_as_the_user_says_or_the_catalogues_exact_names():
    names = ("Random", "Random:1", "random", "Sobel", "Constant", "noise", "X sharpened", "X")
    methods = {name: [1, 2] for name in names}
    table = from_arrays(
        {"RCAP": methods}, controls={"noise": "random"}, transforms={"X sharpened": ("X", "sharpen")}
    ).drop_duplicates("method")
    found = table.set_index("method")
    expected = ["random", "", "", "edges", "constant", "random", "", ""]
    assert found.loc[list(methods), "control"].tolist() == expected
    assert found.loc["X sharpened", ["base", "transform"]].tolist() == ["X", "sharpen"]
    assert found.loc["X", ["base", "transform"]].tolist() == ["", ""]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"controls": {"z": "random"}}, "controls names 'z', which has no scores; expected some of x, y"),
        ({"transforms": {"z": ("x", "sharpen")}}, "transforms names 'z'"),
        ({"higher_is_better": {"x": True}, "levels": "metric"}, "higher_is_better names 'x'.* expected some of RCAP"),
        ({"controls": {"x": "edge"}}, "the column control has 'edge'; it must be random, edges, constant"),
    ],
)
def test_options_that_name_what_is_not_there_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        from_arrays(BY_METRIC, **options)


def test_names_may_be_numbers():
    table = from_arrays({7: {1: [1, 2, 3], 2: [2, 3, 4]}}, levels="metric", higher_is_better={7: False})
    found = reliability.against_baselines(table)
    assert found[["metric", "method", "mean"]].values.tolist() == [["7", "1", 2.0], ["7", "2", 3.0]]
    assert reliability.inter_rater(table).loc["7", "alpha"] == 1


@pytest.mark.parametrize(
    ("scores", "images", "message"),
    [
        ({"y": {"RCAP": [1, 2, 3]}, "x": {"RCAP": [1, 2]}}, None, r"RCAP of x has shape \(2,\); expected \(3,\)"),
        ({"x": {"RCAP": [[1, 2]]}}, None, r"RCAP of x has shape \(1, 2\)"),
        ({"x": {"RCAP": torch.zeros(3, device="meta")}}, None, "RCAP of x is no array of numbers"),
        ({"x": {"RCAP": torch.zeros(3).to_sparse()}}, None, "RCAP of x is no array of numbers"),
        ({}, None, "the scores are empty"),
        ({"x": {}}, None, "the scores are empty"),
        ({"x": {"RCAP": ["0.5", "1_000"]}}, None, "RCAP of x is no array of numbers"),
        ({"x": {"RCAP": np.array(["0.5", "1"])}}, None, "RCAP of x is no array of numbers"),
        ({"x": {"RCAP": [1, "2"]}}, None, "RCAP of x is no array of numbers"),
        ({"x": {"RCAP": [1j, 2]}}, None, "RCAP of x is no array of numbers"),
        ({"x": {"RCAP": [1, 2]}}, {"a": None, "b": None}, "expected a list of the images' names"),
        ({"x": {"RCAP": [1, 2]}}, {"a", "b"}, "expected a list of the images' names"),
        ({"x": [1, 2]}, None, r"scores is {'x': \[1, 2\]}, expected a valid dictionary"),
        ([1, 2], None, r"scores is \[1, 2\], expected a valid dictionary"),
        ({"x": {"RCAP": [1, 2]}}, "ab", "images is 'ab'; expected a list"),
    ],
)
def test_what_is_no_score_per_image_is_refused(scores, images, message):
    with pytest.raises(InputError, match=message):
        from_arrays(scores, images, levels="method")


@pytest.mark.parametrize("images", [["007", "7"], np.array(["007", "7"]), pd.Series(["007", "7"])])
def test_images_keep_their_names(images):
    assert from_arrays({"x": {"RCAP": [1, 2]}}, images)["image"].tolist() == ["007", "7"]


def test_reversed_foreign_and_masked_scores():
    plain = from_arrays({"RCAP": {"x": [0.1, 0.2, 0.3]}})["score"]
    reversed_, foreign = np.array([0.3, 0.2, 0.1])[::-1], np.array([0.1, 0.2, 0.3], ">f8")
    for values in (reversed_, foreign):
        assert from_arrays({"RCAP": {"x": values}})["score"].tolist() == plain.tolist()
    masked = from_arrays({"RCAP": {"x": np.ma.masked_equal([0.1, 9.0, 0.3], 9.0)}})["score"]
    np.testing.assert_array_equal(masked, [0.1, np.nan, 0.3])
