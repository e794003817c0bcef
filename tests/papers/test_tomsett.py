"""The second paper's tables have its rows and columns, its printed values, and the checks' own numbers."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from captum_gag import reliability
from captum_gag.papers.layout import markdown
from captum_gag.papers.tomsett import METHODS, tables


@pytest.fixture(scope="module")
def scores():
    rng = np.random.default_rng(0)
    ease = rng.random(15)
    parts = []
    for metric, steps in (("Faithfulness", [None]), ("AOPC MoRF", [20, 100]), ("AOPC LeRF", [100])):
        for variant in ("mean", "uniform_rgb"):
            for each in steps:
                drawn = {name: ease + rng.random(15) + 0.3 * place for place, name in enumerate(METHODS)}
                drawn |= {"GAG-85": rng.random(15), "Random": rng.random(15)}
                parts.append(reliability.from_arrays({metric: drawn}).assign(variant=variant, steps=each))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def found(scores):
    made = {each.name: each for each in tables(scores)}
    assert all(table.title in markdown(table) for table in made.values())
    return made


def test_table_1_is_alpha_with_and_without_edges(scores, found):
    cells = found["tomsett-2019-table-1"].cells
    assert len(cells) == 44
    assert list(cells["row"].unique()[:2]) == ["Faithfulness", "AOPC MoRF L=20"]
    of_paper = scores[scores["method"].isin(METHODS)]
    for edges, methods in (("with", of_paper), ("without", of_paper[of_paper["method"] != "Sobel"])):
        alpha = reliability.inter_rater(methods)
        cell = cells.query(f"row == 'AOPC MoRF L=100' and column == '{edges} edges, uniform RGB'").iloc[0]
        expected = alpha.loc["AOPC MoRF (uniform_rgb) L=100"]
        assert cell[["ours", "low", "high"]].tolist() == expected[["alpha", "low", "high"]].tolist()
    printed = cells.query("row == 'AOPC MoRF L=100' and column == 'with edges, mean'")["published"]
    assert printed.tolist() == [0.48]
    assert cells.query("row == 'AOPC MoRF L=40'")["ours"].isna().all()


def test_table_2_is_rho_of_scores_as_they_are(scores, found):
    cells = found["tomsett-2019-table-2"].cells
    assert len(cells) == 20
    assert list(cells["row"].unique()) == list(METHODS)
    column = "AOPC MoRF (mean) / AOPC LeRF (mean)"
    [cell] = cells.query(f"row == 'DeepSHAP' and column == '{column}'").to_dict("records")
    assert cell["published"] == 0.77
    of_method = scores.query("method == 'DeepSHAP' and variant == 'mean' and steps == 100")
    morf, lerf = (of_method.query(f"metric == 'AOPC {name}'").set_index("image")["score"] for name in ("MoRF", "LeRF"))
    assert cell["ours"] == pytest.approx(scipy.stats.spearmanr(morf, lerf[morf.index]).statistic)
    assert cell["images"] == 15


def test_other_scores_give_no_table():
    assert tables(reliability.from_arrays({"RCAP": {"GAG-85": [1.0, 2.0], "Sobel": [2.0, 1.0]}})) == []
