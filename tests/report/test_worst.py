"""The worst images are those with the lowest scores, whichever direction is better."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from captum_gag import reliability
from captum_gag.errors import InputError
from captum_gag.report.worst import save_worst, worst


def scores() -> pd.DataFrame:
    found = {
        "RCAP": {"GAG": [0.5, 0.1, 0.6, float("nan")], "SG": [0.1, 0.2, 0.3, 0.4], "Sobel": [0.9, 0.9, 0.9, 0.9]},
        "DAUC": {"GAG": [0.5, 0.1, 0.6, 0.2], "SG": [0.1, 0.2, 0.3, 0.4], "Sobel": [0.0, 0.0, 0.0, 0.0]},
    }
    table = reliability.from_arrays(found, list("abcd"), levels="metric")
    return table.assign(
        target=table["image"].map({"a": 0, "b": 1, "c": 2, "d": 0}).astype("Int64"),
        label=["dog", "cat", "owl", "dog"] * 6,
        probability=0.9,
    )


def test_the_best_explanation_of_each_metric_by_default() -> None:
    rows = worst(scores(), n=2)
    assert rows[["metric", "method", "image", "score"]].to_numpy().tolist() == [
        ["RCAP", "GAG", "b", 0.1],
        ["RCAP", "GAG", "a", 0.5],
        ["DAUC", "SG", "d", 0.4],
        ["DAUC", "SG", "c", 0.3],
    ]
    assert rows["class"].tolist() == ["cat", "dog", "dog", "owl"]
    assert rows["probability"].tolist() == [0.9] * 4


def test_the_method_and_the_metric_asked_for(tmp_path: Path) -> None:
    rows = worst(scores(), ["Sobel", "GAG"], ["DAUC"])
    assert rows.groupby("method")["image"].agg(list).to_dict() == {"GAG": ["c", "a", "d", "b"], "Sobel": list("abcd")}
    assert pd.read_csv(save_worst(rows, tmp_path))["score"].tolist() == rows["score"].tolist()


def test_what_cannot_be_told_is_refused() -> None:
    with pytest.raises(InputError, match="unknown method 'IG'"):
        worst(scores(), ["IG"])
    with pytest.raises(InputError, match="unknown metric 'AOPC'"):
        worst(scores(), metrics=["AOPC"])
    with pytest.raises(InputError, match="not known whether higher is better by mine"):
        worst(scores().assign(metric="mine", metric_label="mine").drop_duplicates(["image", "method"]), ["SG"])
