"""The published numbers are the papers', all of them, and refuse what is not in them."""

from __future__ import annotations

from typing import Any

import pytest

from captum_gag.errors import InputError
from captum_gag.papers.published import HUANG_LIU, huang_liu, huang_liu_cases, means, tomsett
from captum_gag.runs.spec import SuiteFile, make_suite, read_suite

METRICS = {"Log-Cosh Dice", "MAE", "RCAP", "DAUC", "IAUC"}
SMALL: dict[str, Any] = {"methods": ["SG"], "metrics": {"RCAP": {}}}


@pytest.mark.parametrize(("table", "rows"), [(1, 9), (2, 14), (3, 5)])
@pytest.mark.parametrize(("case", "columns"), [("imagenet-s", 5), ("isic", 3), ("places365", 3)])
def test_every_cell_of_a_table_is_there_once(table: int, rows: int, case: str, columns: int) -> None:
    found = huang_liu(table, case)
    assert found.pivot(index="method", columns="metric", values="value").shape == (rows, columns)
    assert len(found) == rows * columns
    assert set(found["metric"]) <= METRICS
    assert found["value"].notna().all()


@pytest.mark.parametrize(
    ("table", "case", "method", "metric", "value"),
    [
        (1, "imagenet-s", "GAG-45", "RCAP", 0.357661),
        (2, "imagenet-s", "Blur IG^R", "IAUC", 0.315826),
        (2, "isic", "VarGrad", "RCAP", 0.508),
        (3, "places365", "GA", "RCAP", 3.32),
        (3, "imagenet-s", "-", "DAUC", 1.08),
    ],
)
def test_cells_as_the_paper_prints_them(table: int, case: str, method: str, metric: str, value: float) -> None:
    found = huang_liu(table, case).set_index(["method", "metric"])["value"]
    assert found[method, metric] == pytest.approx(value, abs=5e-4)


def test_the_second_papers_tables_are_whole() -> None:
    alpha, rho = tomsett(1), tomsett(2)
    # F, and MoRF and LeRF at five lengths; two perturbations; with and without edges.
    assert len(alpha) == (1 + 2 * 5) * 2 * 2
    assert ((alpha["low_99.9"] <= alpha["alpha"]) & (alpha["alpha"] <= alpha["high_99.9"])).all()
    assert rho.groupby(["metric_a", "metric_b"], sort=False).size().tolist() == [5, 5, 5, 5]
    # Who changes what is returned changes no one else's.
    alpha.loc[0, "alpha"] = 9
    assert tomsett(1).loc[0, "alpha"] == 0.18


def test_a_suite_is_compared_with_the_column_of_its_case() -> None:
    suite = SuiteFile(**read_suite("gag-comparison"))
    isic = SuiteFile(**read_suite("gag-comparison"), case="isic")
    assert means(suite)["RCAP"]["GAG-85"] == 0.437721
    assert means(isic)["RCAP"]["GAG-85"] == 0.571426
    assert "MAE" not in means(isic)
    # Where several suites have means of a metric, the first counts.
    assert (means(isic, suite)["RCAP"], means(isic, suite)["MAE"]) == (means(isic)["RCAP"], means(suite)["MAE"])


@pytest.mark.parametrize(("suite", "table"), [("gag-ablation", 1), ("gag-comparison", 2)])
def test_the_papers_suites_have_every_row_and_metric_of_their_table(suite: str, table: int) -> None:
    made = make_suite(read_suite(suite))
    printed = huang_liu(table, "imagenet-s")
    assert set(printed["method"]) <= set(made.methods)
    assert set(printed["metric"]) == {entry.label for entry in made.metrics}
    # Whether higher is better is as the paper's arrows say.
    better = {entry.label: entry.metric.higher_is_better for entry in made.metrics}
    assert better == {"Log-Cosh Dice": False, "MAE": False, "RCAP": True, "DAUC": False, "IAUC": True}


def test_means_may_be_of_several_tables_and_said_ones_count_more() -> None:
    said = {"paper": HUANG_LIU, "table": [1, 2], "source": "mine", "RCAP": {"SG": 0.5}}
    found = means(SuiteFile(**SMALL, published=said))
    assert found["RCAP"]["SG"] == 0.5
    assert (found["RCAP"]["GAG-15"], found["RCAP"]["IG"], found["source"]) == (0.308646, 0.044868, "mine")
    assert means(SuiteFile(**SMALL, published={"RCAP": {"SG": 1}}, case="isic")) == {"RCAP": {"SG": 1}}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"paper": "other", "table": 1}, "paper = 'other', table = 1 has no means"),
        ({"paper": HUANG_LIU}, "has no means; expected paper = 'huang-liu-2024' with table = 1 or 2"),
        ({"paper": HUANG_LIU, "table": 3}, "table = 3 has no means"),
        ({"paper": HUANG_LIU, "table": 4}, "huang-liu-2024 has no table 4; expected 1, 2, 3"),
        ({"RCAP": 3}, "published RCAP is 3; expected a table of means by method"),
        ({"RCAP": {"SG": "high"}}, "published RCAP is {'SG': 'high'}; expected a table of means by method"),
    ],
)
def test_what_is_no_published_value_is_refused(said: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        means(SuiteFile(**SMALL, published=said))


def test_an_unknown_case_is_refused_with_those_that_are() -> None:
    assert huang_liu_cases() == ["imagenet-s", "isic", "places365"]
    with pytest.raises(InputError, match="unknown case 'imagenet'; did you mean imagenet-s"):
        means(SuiteFile(**SMALL, case="imagenet"))
    with pytest.raises(InputError, match="has no case 'cifar'; expected imagenet-s, isic, places365"):
        huang_liu(1, "cifar")
