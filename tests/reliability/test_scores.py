"""A score table is read, checked, and none of its names is taken apart."""

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from captum_gag import reliability
from captum_gag.errors import InputError
from captum_gag.reliability.lists import arrays, firsts, in_one_piece, lengths, stacked
from captum_gag.reliability.scores import by_image, by_metric, checked, judged, metrics_of


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
        (
            rows(control="edge"),
            "the column control has 'edge'; it must be random, edges, constant, truth",
        ),
        (rows(steps=2.5), "the column steps has values that are no whole numbers"),
        (rows(steps="many"), "the column steps has values that are no numbers"),
        (pd.concat([rows("A (b)"), rows("A", variant="b")]), r"two metrics are shown as 'A \(b\)'; rename one"),
    ],
)
def test_what_is_not_a_score_table_is_refused_in_one_line(broken, message, tmp_path):
    with pytest.raises(InputError, match=message):
        reliability.inter_rater(broken)
    with pytest.raises(InputError, match="are a dict; expected a DataFrame"):
        reliability.inter_rater(broken.to_dict("list"))
    broken.to_csv(tmp_path / "scores.csv", index=False)
    with pytest.raises(InputError, match=r"scores\.csv: "):
        reliability.read_scores(tmp_path / "scores.csv")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nothing.parquet", None, ""),
        ("broken.parquet", b"PAR", ""),
        ("scores.json", b"image,method,metric,score\n", ""),
        ("binary.csv", b"\x00\x01\x02", "|lack the column"),
        ("latin.csv", "image,method,metric,score\ncaf\xe9,x,A,1\n".encode("latin-1"), ": 'utf-8' codec"),
    ],
)
def test_a_missing_or_broken_file_is_named(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: cannot be read as scores{message}"):
        reliability.read_scores(tmp_path / name)


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
    assert reliability.inter_rater(table).index.tolist() == expected


def test_roles_come_from_columns_and_without_them_from_exact_names():
    methods = ("Random", "Random:1", "Randomised GAG", "Sobel", "edges", "GAG-85^sharp", "GAG-85")
    plain = checked(rows(methods=methods))
    assert set(plain.loc[plain["control"] != "", "method"]) == {"Random", "Sobel"}
    assert set(judged(plain)["method"]) == set(methods) - {"Random"}
    told = rows(methods=methods, control="", transform="")
    told.loc[told["method"] == "Random:1", "control"] = "random"
    told.loc[told["method"] == "GAG-85^sharp", ["base", "transform"]] = ["GAG-85", "sharpen"]
    assert set(judged(checked(told))["method"]) == set(methods) - {"Random:1", "GAG-85^sharp"}


def csv_file(place, text):
    path = place / "scores.csv"
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize(
    "name", ["NA", "None", "nan", "null", "N/A", "007", "1e5", "1_000", "1.50", "True", "-", "0x10"]
)
@pytest.mark.parametrize("column", ["image", "method", "metric", "variant"])
def test_names_are_what_a_csv_says(tmp_path, column, name):
    row = {"image": "a", "method": "b", "metric": "c", "variant": "d", "score": "0.5"} | {column: name}
    text = f"{','.join(row)}\n{','.join(row.values())}\n"
    found = reliability.read_scores(csv_file(tmp_path, text))
    assert found[column].tolist() == [name]


def test_names_alike_as_numbers_stay_apart(tmp_path):
    text = "image,method,metric,score\n7,x,A,1\n07,x,A,2\n7.0,x,A,3\n cat,x,A,4\n"
    assert reliability.read_scores(csv_file(tmp_path, text))["image"].tolist() == ["7", "07", "7.0", " cat"]


@pytest.mark.parametrize(
    ("text", "score"),
    [
        *(("1e-3", 0.001), ("-.5", -0.5), ("1.", 1.0), ("+2", 2.0), (" 3 ", 3.0), ("0.1", 0.1), ("1E5", 1e5)),
        *((text, np.nan) for text in ("", "nan", "NaN", "NA", "None", "inf", "-inf", "Infinity", "<NA>", "null")),
    ],
)
def test_numbers_of_a_csv(tmp_path, text, score):
    found = reliability.read_scores(csv_file(tmp_path, f"image,method,metric,score\na,x,A,{text}\nb,x,A,1\n"))
    assert found["score"].tolist() == pytest.approx([score, 1], abs=0, nan_ok=True)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffimage,method,metric,score\na,x,A,0.5\n",
        "image;method;metric;score\r\na;x;A;0.5\r\n",
        "image\tmethod\tmetric\tscore\na\tx\tA\t0.5\n",
        'image,method,"metric",score\n"a","x",A,"0.5"\n\n',
        " image , method , metric , score \na,x,A,0.5\n",
    ],
)
def test_csv_as_other_programs_write_it(tmp_path, text):
    found = reliability.read_scores(csv_file(tmp_path, text))
    assert found[["image", "method", "metric", "score"]].to_numpy().tolist() == [["a", "x", "A", 0.5]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image;method;metric;score\na;x;A;0,5\n", "has '0,5' in the column score; expected numbers with a point"),
        ('image,method,metric,score\na,x,A,"1,000"\n', "has '1,000' in the column score"),
        ("image,method,metric,score\na,x,A,1_000\n", "has '1_000' in the column score"),
        ("image,method,metric,score\na,x,A,50 %\n", "has '50 %' in the column score"),
        ("image,method,metric,score\na,x,A,0x10\n", "has '0x10' in the column score"),
        ("image,method,metric,score\na,x,A,0,5\n", "row 1 below the header has 5 cells, the header 4"),
        ("image,method,metric,score\na,x,A\n", "row 1 below the header has 3 cells, the header 4"),
        ("image,method,metric,score,score\na,x,A,1,2\n", "has two columns 'score'"),
        ("image,method,metric,score\n,x,A,1\n", "the column image is missing in 1 rows; expected a name in each"),
        ("image,method,metric,score\na,,A,1\n", "the column method is missing in 1 rows"),
        ("image,method,metric,score,steps\na,x,A,1,many\n", "has 'many' in the column steps"),
        ("image,method,metric,score\n", "are empty"),
        ("", "lack the column image"),
        ('image,method,metric,score\n"a,x,A,1\n', "cannot be read as scores"),
    ],
)
def test_a_csv_that_could_mean_something_else_is_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=rf"scores\.csv: .*{message}"):
        reliability.read_scores(csv_file(tmp_path, text))


def test_images_named_by_numbers_and_text_are_text():
    table = pd.DataFrame({"image": [1, "b", 1, "b"], "method": list("xxyy"), "metric": "A", "score": [1.0, 2, 3, 4]})
    assert checked(table)["image"].tolist() == ["1", "b", "1", "b"]
    table["score"] = [True, False, True, True]
    with pytest.raises(InputError, match="of type bool; expected numbers"):
        checked(table)


def test_the_matrices_of_all_metrics_are_those_that_pandas_pivots():
    whole = pd.concat([rows("B", methods=("z", "x")), rows("A", images=("dog", "ant"), variant="mean"), rows("A")])
    table = checked(whole.iloc[1:].sample(frac=1, random_state=0))
    found = by_metric(table)
    assert list(found) == metrics_of(table)
    for metric, matrix in found.items():
        assert_frame_equal(matrix, by_image(table, metric))


# Before pandas 3, "str" makes text of None.
STORED = [object, *(["str"] if int(pd.__version__.split(".")[0]) >= 3 else []), "string", "category"]


@pytest.mark.parametrize("dtype", STORED)
def test_text_is_text_however_it_is_stored(dtype):
    texts = ["method", "metric", "variant", "base", "control"]
    table = rows(variant="mean", base=[None, "a", None, "b"], control="").astype(dict.fromkeys(texts, dtype))
    assert_frame_equal(checked(table), checked(rows(variant="mean", base=["", "a", "", "b"], control="")))
    with pytest.raises(InputError, match="the column method is missing in 2 rows"):
        checked(table.assign(method=table["method"].where(table["method"] != "x")))


KIND = pd.ArrowDtype(pa.list_(pa.float64()))
NUMBER = st.one_of(st.just(math.nan), st.floats(-10, 10))


@given(st.lists(st.one_of(st.none(), st.lists(NUMBER, max_size=4)), max_size=8), st.randoms())
def test_in_one_piece_or_not_they_are_the_same(given_lists, random):
    places = random.sample(range(len(given_lists)), len(given_lists))
    objects = pd.Series(given_lists, dtype=object)
    # Lists of a part of a table, in another order, begin anywhere in the piece.
    for column in (
        objects,
        objects.astype(KIND),
        objects.astype(KIND).iloc[places],
        pd.concat([objects.astype(KIND)] * 2),
    ):
        known = [given_lists[place] or [] for place in column.index]
        assert in_one_piece(column) == (column.dtype == KIND)
        assert lengths(column).tolist() == [len(each) for each in known]
        np.testing.assert_array_equal(firsts(column), [each[0] if each else math.nan for each in known])
        for found, each in zip(arrays(column), known, strict=True):
            np.testing.assert_array_equal(found, each)


@pytest.mark.parametrize("kind", [object, KIND])
def test_lists_of_one_length_are_rows(kind):
    column = pd.Series([[1.0, 2.0], [3.0, 4.0], [5.0, math.nan]], dtype=object).astype(kind)
    np.testing.assert_array_equal(stacked(column[1:]), [[3, 4], [5, math.nan]])
    with pytest.raises(ValueError, match="same shape"):
        stacked(pd.concat([column, pd.Series([[1.0]], dtype=object).astype(kind)]))
