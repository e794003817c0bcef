import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from captum_gag import reliability
from captum_gag.reliability.scores import is_random, sign, steps_of, variant_of


def good():
    return reliability.from_arrays({"A": {"x": [1.0, 2.0], "y": [3.0, np.inf]}}, images=["cat", "dog"])


def test_from_arrays_is_tidy_and_infinity_is_no_score():
    scores = good()
    assert scores.columns.tolist() == ["image", "method", "metric", "score"]
    assert scores["image"].tolist() == ["cat", "dog"] * 2
    assert scores["score"].isna().tolist() == [False, False, False, True]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_reading_what_pandas_wrote(tmp_path, suffix):
    path = tmp_path / f"scores{suffix}"
    good().to_csv(path, index=False) if suffix == ".csv" else good().to_parquet(path, index=False)
    assert_frame_equal(reliability.read_scores(path), good(), check_dtype=False)


def test_reading_a_directory_of_parquet_files(tmp_path):
    for image, rows in good().groupby("image"):
        rows.to_parquet(tmp_path / f"{image}.parquet", index=False)
    assert len(reliability.read_scores(tmp_path)) == 4


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (pd.DataFrame({"image": [1], "method": ["x"], "score": [1]}), "lack the column metric; expected image, method"),
        (good().iloc[:0], "are empty"),
        (pd.concat([good(), good()]), "4 rows are double, first image 'cat', method 'x', metric 'A'"),
        (good().assign(score="high"), "expected numbers"),
    ],
)
def test_what_is_not_a_score_table_is_refused_in_one_line(broken, message, tmp_path):
    with pytest.raises(reliability.ScoresError, match=message):
        reliability.inter_rater(broken)
    broken.to_csv(tmp_path / "scores.csv", index=False)
    with pytest.raises(reliability.ScoresError, match=r"scores\.csv: ") as caught:
        reliability.read_scores(tmp_path / "scores.csv")
    assert "\n" not in str(caught.value)


def test_a_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(reliability.ScoresError, match=r"nothing\.parquet: cannot be read as scores"):
        reliability.read_scores(tmp_path / "nothing.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR")
    with pytest.raises(reliability.ScoresError, match=r"broken\.parquet: cannot be read as scores"):
        reliability.read_scores(tmp_path / "broken.parquet")


def test_what_is_no_table_is_refused_and_names_may_be_numbers():
    with pytest.raises(reliability.ScoresError, match="are a dict; expected a DataFrame"):
        reliability.inter_rater({"A": [1]})
    numbered = reliability.from_arrays({7: {1: [1, 2, 3], 2: [2, 3, 4]}}).assign(higher_is_better=False)
    numbered["metric"] = 7
    found = reliability.against_baselines(numbered, n_bootstrap=10)
    assert found[["metric", "method", "mean"]].values.tolist() == [["7", "1", 2.0], ["7", "2", 3.0]]
    assert reliability.inter_rater(numbered, n_bootstrap=10).loc["7", "alpha"] == 1


def test_arrays_of_unlike_lengths_are_refused():
    with pytest.raises(reliability.ScoresError, match=r"A of y has shape \(3,\); expected \(2,\)"):
        reliability.from_arrays({"A": {"x": [1, 2], "y": [1, 2, 3]}})


@pytest.mark.parametrize(
    ("metric", "expected"), [("RCAP", 1), ("DAUC", -1), ("Deletion", -1), ("AOPC LeRF (mean) L=20", -1), ("IAUC", 1)]
)
def test_direction_by_name(metric, expected):
    assert sign(pd.DataFrame({"metric": [metric]}), metric) == expected


def test_direction_by_column_comes_first():
    scores = good().assign(higher_is_better=False)
    assert sign(scores, "A") == -1


def test_names_are_taken_apart():
    assert steps_of("AOPC MoRF (mean) L=20") == ("AOPC MoRF (mean)", 20)
    assert steps_of("RCAP") is None
    assert variant_of("AOPC MoRF (mean) L=20") == ("AOPC MoRF L=20", "mean")
    assert variant_of("AOPC MoRF L=20") is None
    assert [is_random(name) for name in ("Random", "Random:12", "Randomised GAG")] == [True, True, False]
