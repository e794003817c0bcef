"""Directions come from the column or from an exact name, both ways, and are asked for otherwise."""

import subprocess
import sys

import pandas as pd
import pytest

from captum_gag import metrics, reliability
from captum_gag.errors import InputError
from captum_gag.reliability.directions import KNOWN, known_direction, signs
from captum_gag.reliability.scores import checked


def table(*names, **columns):
    rows = [(image, method, name, 1.0) for image in range(3) for method in ("x", "y") for name in names]
    return pd.DataFrame(rows, columns=["image", "method", "metric", "score"]).assign(**columns)


def test_known_directions_are_those_that_the_classes_declare():
    classes = {name: getattr(metrics, name) for name in ("RCAP", "Deletion", "Insertion", "Faithfulness")}
    classes |= {name: getattr(metrics, name) for name in ("LogCoshDice", "SegmentationMAE")}
    classes |= {"DAUC": metrics.Deletion, "IAUC": metrics.Insertion}
    classes |= {"Log-Cosh Dice": metrics.LogCoshDice, "MAE": metrics.SegmentationMAE}
    made = {name: cls() for name, cls in classes.items()}
    made |= {f"AOPC {order}": metrics.AOPC(order=order.lower()) for order in ("MoRF", "LeRF")}
    assert {name: metric.score_direction.value == "higher" for name, metric in made.items()} == KNOWN


@pytest.mark.parametrize(
    ("name", "higher"),
    [
        ("SensitivityN", True),
        ("Sensitivity-N", True),
        ("PixelFlipping", False),
        ("Pixel-Flipping", False),
        ("MaxSensitivity", False),
        ("Sparseness", True),
        ("Complexity", False),
    ],
)
def test_quantus_says_which_direction_its_metrics_have(name, higher):
    assert known_direction(name) is higher
    assert signs(checked(table(name))) == {name: 1 if higher else -1}


@pytest.mark.parametrize("name", ["my deletion", "deletion", "RCAP 2", "AOPC", "Dice", "mae"])
def test_nothing_is_guessed_from_a_part_of_a_name(name):
    assert known_direction(name) is None


def test_unknown_directions_are_asked_for_in_one_line_that_names_them():
    with pytest.raises(InputError, match=r"whether higher is better by mine, its, yours; say so in a column") as error:
        reliability.report(checked(table("mine", "its", "yours")))
    assert "higher_is_better={'mine': True}" in str(error.value)
    with pytest.warns(UserWarning, match="mine, its left out: it is not known"):
        found = reliability.report(checked(table("RCAP", "mine", "its")))
    assert found.marks["metric"].tolist() == ["RCAP"]
    for check in (reliability.against_baselines, reliability.tricks, reliability.internal_consistency):
        with pytest.raises(InputError, match="by mine;"):
            check(table("mine"))
    assert len(reliability.inter_rater(table("mine"))) == 1, "agreement on a ranking has no direction"


def test_the_column_decides_against_any_name_and_may_have_gaps():
    told = table("RCAP", "Deletion", "mine")
    told["higher_is_better"] = told["metric"].map({"RCAP": False, "mine": False}).astype("boolean")
    assert signs(checked(told)) == {"RCAP": -1, "Deletion": -1, "mine": -1}
    told["higher_is_better"] = told["metric"].map({"RCAP": "False", "Deletion": "True", "mine": "true"})
    assert signs(checked(told)) == {"RCAP": -1, "Deletion": 1, "mine": 1}


def test_a_direction_that_is_none_and_one_that_is_both_are_refused():
    with pytest.raises(InputError, match="higher_is_better has 'up'; expected true or false"):
        signs(checked(table("RCAP", higher_is_better="up")))
    both = table("RCAP")
    both["higher_is_better"] = [True, False] * 3
    with pytest.raises(InputError, match="both true and false for RCAP"):
        signs(checked(both))


def test_variants_may_differ_in_direction():
    both = pd.concat(
        [table("A", variant="up", higher_is_better=True), table("A", variant="down", higher_is_better=False)]
    )
    assert signs(checked(both)) == {"A (up)": 1, "A (down)": -1}


def test_quantus_is_imported_for_names_that_the_package_does_not_know_alone():
    code = """
import sys
from captum_gag import reliability
reliability.report(reliability.from_arrays({"x": {"RCAP": [1, 2]}, "y": {"RCAP": [2, 4]}}), 10)
print("quantus" in sys.modules, "captum_gag.metrics" in sys.modules, "captum_gag.report" in sys.modules)
reliability.from_arrays({"x": {"Sparseness": [1, 2]}})
print("quantus" in sys.modules)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False", "False", "True"]
