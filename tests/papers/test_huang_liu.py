"""Tables 1, 2 and 3 of Huang & Liu hold every number that is printed, and ours where there is one.

Ratios are of means, of the same images, averaged over originals; an original that may be 0 divides nothing.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_gag import reliability
from captum_gag.papers.huang_liu import ORIGINALS, VARIANTS, ratios, tables
from captum_gag.papers.layout import markdown
from captum_gag.papers.published import huang_liu, huang_liu_cases
from captum_gag.runs.spec import make_suite, read_suite

IMAGES = 4


def scores(methods: list[str], metrics: list[str], variant: str = "", shift: float = 0.0) -> pd.DataFrame:
    """Score method m (from 1) on image i as m / 100 + i / 1000."""
    by_method = {name: number / 100 + np.arange(IMAGES) / 1000 + shift for number, name in enumerate(methods, 1)}
    images = [f"image {image}" for image in range(IMAGES)]
    return reliability.from_arrays(dict.fromkeys(metrics, by_method), images, levels="metric").assign(variant=variant)


def methods_of(*suites: str) -> list[str]:
    return list(dict.fromkeys(method for suite in suites for method in make_suite(read_suite(suite)).methods))


EVERYTHING = methods_of("gag-ablation", "gag-comparison", "gag-processing")


def test_a_run_of_all_methods_gives_all_three_tables_with_every_published_cell() -> None:
    found = tables({"imagenet-s": scores(EVERYTHING, ["RCAP", "DAUC", "IAUC"])}, n_bootstrap=50)
    assert [table.name for table in found] == [f"huang-liu-2024-table-{number}" for number in (1, 2, 3)]
    for number, table in enumerate(found, 1):
        printed = pd.concat([huang_liu(number, case).assign(case=case) for case in huang_liu_cases()])
        # 9, 14 and 5 rows of 5 + 3 + 3 columns.
        assert len(table.cells) == len(printed) == {1: 9, 2: 14, 3: 5}[number] * 11
        assert table.cells["published"].tolist() == printed["value"].tolist()
        assert table.cells["row"].tolist() == printed["method"].tolist()
        assert table.cells["column"].tolist() == printed["metric"].tolist()
        text = markdown(table)
        for value in printed["value"]:
            assert f" {value:.{table.digits}f} " in text


def test_ours_are_the_means_of_the_case_that_they_are_of() -> None:
    first, *_ = tables({"isic": scores(methods_of("gag-ablation"), ["RCAP"])}, {"isic": "b4 on ham"}, n_bootstrap=200)
    cells = first.cells.set_index(["group", "row", "column"])
    group = "ISIC with EfficientNet; ours: b4 on ham"
    # The second method: 0.02 and 0, 0.001, 0.002, 0.003.
    assert cells.loc[(group, "GAG-15", "RCAP"), ["ours", "images"]].tolist() == pytest.approx([0.0215, IMAGES])
    low, high = cells.loc[(group, "GAG-15", "RCAP"), ["low", "high"]]
    # Student's t of these four numbers reaches 0.002; resamples of four are rough.
    assert 0.018 <= low < 0.0215 < high <= 0.025
    assert np.isnan(cells.loc[(group, "GAG-15", "DAUC"), "ours"])
    others = [each for each in cells.index.levels[0] if each != group]
    assert cells.loc[others, "ours"].isna().all()


def test_ratios_are_of_each_variant_to_its_own_original() -> None:
    assert [list(of.values()) for of in VARIANTS.values()][3] == ["SG-G", "IG-G", "Guided IG-G", "Blur IG-G", "GB-G"]
    methods = methods_of("gag-processing")
    [third] = [each for each in tables({"imagenet-s": scores(methods, ["RCAP"])}, n_bootstrap=50) if "3" in each.name]
    mean = {method: number / 100 + 0.0015 for number, method in enumerate(methods, 1)}
    ours = third.cells.set_index(["group", "row", "column"])["ours"]
    for variant, ending in {"+": "+", "-": "-", "A": "-A", "G": "-G", "GA": "-GA"}.items():
        expected = np.mean([mean[original + ending] / mean[original] for original in ORIGINALS])
        assert ours["ImageNet-S with ResNet-50", variant, "RCAP"] == pytest.approx(expected)


def test_what_an_average_lacks_is_a_note() -> None:
    methods = methods_of("gag-processing")
    table = scores(methods, ["RCAP"])
    table.loc[table["method"] == "GB", "score"] = 0.0
    table = table[table["method"] != "SG-A"]
    [third] = [each for each in tables({"imagenet-s": table}, n_bootstrap=50) if "3" in each.name]
    notes = third.cells[third.cells["column"] == "RCAP"].set_index("row")["note"].iloc[:5]
    without = "Without GB: the interval of its mean score reaches 0, which nothing divides."
    assert (notes["A"], notes["G"]) == (f"Over IG, Guided IG, Blur IG alone. {without}", without)


@pytest.mark.parametrize(
    ("suite", "numbers"), [("gag-ablation", [1]), ("gag-comparison", [2]), ("gag-processing", [3]), ("quick", [])]
)
def test_a_table_comes_where_half_of_its_rows_have_scores(suite: str, numbers: list[int]) -> None:
    found = tables({"imagenet-s": scores(methods_of(suite), ["RCAP"])}, n_bootstrap=50)
    assert [table.name[-1] for table in found] == [str(number) for number in numbers]
    assert tables({"imagenet-s": scores(methods_of(suite), ["Sparseness"])}) == []


def test_of_several_settings_of_a_metric_the_first_is_shown_and_said() -> None:
    both = pd.concat(
        [
            scores(methods_of("gag-ablation"), ["RCAP"], "black"),
            scores(methods_of("gag-ablation"), ["RCAP"], "mean", shift=0.5),
        ]
    )
    [first] = tables({"imagenet-s": both}, n_bootstrap=50)
    row = first.cells[(first.cells["row"] == "GAG-0") & (first.cells["column"] == "RCAP")].iloc[0]
    assert row["ours"] == pytest.approx(0.0115)
    assert row["note"] == "Ours is the variant black of black, mean."


def test_images_are_counted_by_metric() -> None:
    methods = methods_of("gag-ablation")
    mosaics = scores(methods, ["MAE"])
    mosaics = mosaics[mosaics["image"] != "image 0"].assign(image=lambda table: "mosaic of " + table["image"])
    [first] = tables({"imagenet-s": pd.concat([scores(methods, ["RCAP"]), mosaics])}, n_bootstrap=50)
    assert "| RCAP (n = 4) " in markdown(first)
    assert "| MAE (n = 3)<sup>" in markdown(first)


OF_TWO = {"A": {"SG": "SG-A", "IG": "IG-A"}, "G": {"SG": "SG-G", "IG": "IG-G"}}


def table(scores: dict[str, list[float]], metric: str = "RCAP") -> pd.DataFrame:
    return reliability.from_arrays({metric: scores}, levels="metric")


def by_variant(found: pd.DataFrame) -> pd.DataFrame:
    return found.set_index(["metric", "variant"])


def test_a_worked_example() -> None:
    scores = {"SG": [0.1, 0.3], "SG-A": [0.2, 0.6], "IG": [0.2, 0.2], "IG-A": [0.1, 0.3], "SG-G": [0.4, 0.4]}
    found = by_variant(ratios(table(scores), OF_TWO))
    # A: SG 0.4 / 0.2 = 2, IG 0.2 / 0.2 = 1. G: SG 0.4 / 0.2 = 2 alone. (A mean of the images' ratios for G would be
    # (4 + 4 / 3) / 2.)
    assert found.loc[("RCAP", "A"), ["ratio", "images", "over", "left_out"]].tolist() == [1.5, 2, ("SG", "IG"), ()]
    assert found.loc[("RCAP", "G"), ["ratio", "images", "over", "left_out"]].tolist() == [2.0, 2, ("SG",), ()]
    assert found[["low", "high"]].isna().all(axis=None), "two images are too few to tell"


def test_the_interval_is_the_jackknifes_on_the_logarithm() -> None:
    rng = np.random.default_rng(0)
    scores = {name: rng.exponential(size=8) for name in ("SG", "SG-A", "IG", "IG-A")}
    [row] = ratios(table(scores), {"A": OF_TWO["A"]}, 0.9).to_dict("records")

    def mean_ratio(images: list[int]) -> float:
        return float(
            np.mean([scores[f"{name}-A"][images].mean() / scores[name][images].mean() for name in ("SG", "IG")])
        )

    everything = list(range(8))
    logs = [np.log(mean_ratio([i for i in everything if i != out])) for out in everything]
    reach = np.exp(scipy.stats.t.ppf(0.95, 6) * np.sqrt(7) * np.std(logs))
    whole = mean_ratio(everything)
    assert (row["ratio"], row["low"], row["high"]) == pytest.approx((whole, whole / reach, whole * reach))


@pytest.mark.parametrize(
    "original", [[-0.1, 0.3, 0.0, -0.2], [0.0, 0.0, 0.0, 0.5], [-1.0, -2.0, -1.0, -3.0], [0.0] * 4]
)
def test_an_original_whose_mean_may_be_0_is_left_out_and_named(original: list[float]) -> None:
    scores = {"SG": [0.1, 0.2, 0.3, 0.2], "SG-A": [0.2, 0.4, 0.6, 0.4], "IG": original, "IG-A": [0.5] * 4}
    [row] = ratios(table(scores), OF_TWO).to_dict("records")
    assert (row["ratio"], row["over"], row["left_out"]) == (2, ("SG",), ("IG",))
    alone = {name: values for name, values in scores.items() if name.startswith("IG")}
    [row] = ratios(table(alone), OF_TWO).to_dict("records")
    assert (row["over"], row["left_out"], row["images"]) == ((), ("IG",), 0)
    assert np.isnan([row["ratio"], row["low"], row["high"]]).all()


def test_an_image_without_a_score_counts_for_no_method() -> None:
    scores = {"SG": [0.1, 0.3, 0.5], "SG-A": [0.2, 0.6, np.nan]}
    [row] = ratios(table(scores), OF_TWO).to_dict("records")
    assert (row["ratio"], row["images"]) == (pytest.approx(2), 2)
    [one] = ratios(table({"SG": [0.1], "SG-A": [0.3]}), OF_TWO).to_dict("records")
    assert (one["ratio"], one["images"], np.isnan(one["low"])) == (pytest.approx(3), 1, True)


def test_metrics_are_on_their_own_and_what_has_no_variant_has_no_row() -> None:
    scores = pd.concat([table({"SG": [1.0, 1.0], "SG-A": [2.0, 2.0]}, "DAUC"), table({"SG": [1.0, 1.0]}, "IAUC")])
    assert list(by_variant(ratios(scores, OF_TWO)).index) == [("DAUC", "A")]
    assert list(ratios(table({"other": [1.0, 2.0]}), OF_TWO).columns)[:3] == ["metric", "variant", "ratio"]


@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(st.tuples(st.floats(0.1, 1), st.floats(0.1, 1)), min_size=4, max_size=6),
    factor=st.floats(0.01, 100),
)
def test_the_unit_of_a_metric_changes_nothing(values: list[tuple[float, float]], factor: float) -> None:
    original, variant = map(list, zip(*values, strict=True))
    columns = ["ratio", "low", "high"]
    [plain] = ratios(table({"SG": original, "SG-A": variant}), OF_TWO)[columns].to_numpy()
    scaled = {"SG": [factor * each for each in original], "SG-A": [factor * each for each in variant]}
    [other] = ratios(table(scaled), OF_TWO)[columns].to_numpy()
    np.testing.assert_allclose(plain, other, rtol=1e-9)
