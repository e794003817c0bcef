"""A score table is read, checked, and none of its names is taken apart."""

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from captum_gag import reliability
from captum_gag.errors import InputError
from captum_gag.reliability.scores import checked, judged, metrics_of


def rows(metric="RCAP", images=("cat", "dog"), methods=("x", "y"), **columns):
    found = [(image, method, metric, float(len(image + method))) for method in methods for image in images]
    return pd.DataFrame(found, columns=["image", "method", "metric", "score"]).assign(**columns)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_reading_what_pandas_wrote(tmp_path, suffix):
    path = tmp_path / f"scores{suffix}"
    table = rows(variant="mean", steps=20, higher_is_better=True)
    table.loc[0, "score"] = np.inf
    table.to_csv(path, index=False) if suffix == ".csv" else table.to_parquet(path, index=False)
    found = reliability.read_scores(path)
    assert_frame_equal(found, checked(table), check_dtype=False)
    assert found["score"].isna().tolist() == [True, False, False, False]
    found.to_csv(tmp_path / "again.csv", index=False)
    assert_frame_equal(reliability.read_scores(tmp_path / "again.csv"), found, check_dtype=False)


def test_reading_a_directory_of_parquet_files(tmp_path):
    for image, part in rows().groupby("image"):
        part.to_parquet(tmp_path / f"{image}.parquet", index=False)
    assert len(reliability.read_scores(tmp_path)) == 4


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (rows().drop(columns="metric"), "lack the column metric; expected image, method"),
        (rows().iloc[:0], "are empty"),
        (pd.concat([rows(), rows()]), "4 rows are double, first image 'cat', method 'x', metric 'RCAP'"),
        (rows().assign(score="high"), "expected numbers"),
        (rows(control="edge"), "the column control has 'edge'; expected random, edges, constant or nothing"),
        (rows(steps=2.5), "the column steps has values that are no whole numbers"),
        (rows(steps="many"), "the column steps has values that are no numbers"),
        (pd.concat([rows("A (b)"), rows("A", variant="b")]), r"two metrics are shown as 'A \(b\)'; rename one"),
    ],
)
def test_what_is_not_a_score_table_is_refused_in_one_line(broken, message, tmp_path):
    with pytest.raises(InputError, match=message):
        reliability.inter_rater(broken)
    broken.to_csv(tmp_path / "scores.csv", index=False)
    with pytest.raises(InputError, match=r"scores\.csv: ") as caught:
        reliability.read_scores(tmp_path / "scores.csv")
    assert "\n" not in str(caught.value)


def test_a_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.parquet: cannot be read as scores"):
        reliability.read_scores(tmp_path / "nothing.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR")
    with pytest.raises(InputError, match=r"broken\.parquet: cannot be read as scores"):
        reliability.read_scores(tmp_path / "broken.parquet")


def test_what_is_no_table_is_refused():
    with pytest.raises(InputError, match="are a dict; expected a DataFrame"):
        reliability.inter_rater({"A": [1]})


def test_labels_are_composed_and_their_parts_kept():
    table = checked(
        pd.concat(
            [
                rows("AOPC MoRF", variant="mean", steps=20),
                rows("AOPC MoRF", variant="mean", steps=40),
                rows("RCAP"),
                rows("F (x) L=3", variant=None),
                rows("IAUC", variant="blur"),
            ]
        )
    )
    expected = ["AOPC MoRF (mean) L=20", "AOPC MoRF (mean) L=40", "RCAP", "F (x) L=3", "IAUC (blur)"]
    assert metrics_of(table) == expected
    first = table.drop_duplicates("metric_label").set_index("metric_label")
    assert first.loc["F (x) L=3", ["metric", "variant"]].tolist() == ["F (x) L=3", ""]
    assert pd.isna(first.loc["F (x) L=3", "steps"])
    assert first.loc["AOPC MoRF (mean) L=40", ["metric", "variant", "steps"]].tolist() == ["AOPC MoRF", "mean", 40]
    assert_frame_equal(checked(table), table)
    assert reliability.inter_rater(table, n_bootstrap=5).index.tolist() == expected


def test_roles_come_from_columns_and_without_them_from_exact_names():
    methods = ("Random", "Random:1", "Randomised GAG", "Sobel", "edges", "GAG-85^sharp", "GAG-85")
    plain = checked(rows(methods=methods))
    assert set(plain.loc[plain["control"] != "", "method"]) == {"Random", "Sobel"}
    assert set(judged(plain)["method"]) == set(methods) - {"Random"}
    told = rows(methods=methods, control="", transform="")
    told.loc[told["method"] == "Random:1", "control"] = "random"
    told.loc[told["method"] == "GAG-85^sharp", ["base", "transform"]] = ["GAG-85", "sharpen"]
    assert set(judged(checked(told))["method"]) == set(methods) - {"Random:1", "GAG-85^sharp"}
