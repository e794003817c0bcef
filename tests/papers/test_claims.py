"""Claims on score tables of which the verdict is known: by construction, in closed form, and the paper's own means."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from scoring import call, config_of, run_of

from captum_gag import reliability
from captum_gag.papers.claims import as_lines, claims, decisive, save_claims, side_by_side
from captum_gag.papers.published import huang_liu
from captum_gag.runs.spec import Suite, make_suite, read_suite

RISES = "RCAP rises with p"
BEST = "GAG-85 is the best gradient method by RCAP"
REVERSED = "reversed maps are far worse by RCAP"
FLAT = "DAUC and IAUC are flat in p"
LIFTS = "the guide lifts every method's RCAP"

METRICS = {"RCAP": {"type": "RCAP"}, "DAUC": {"type": "Deletion"}, "IAUC": {"type": "Insertion"}}
HOLDING = {"GAG-0": 1.0, "GAG-45": 1.2, "GAG-85": 1.4, "SG": 0.5, "SG-G": 0.8, "SG^R": 0.1}
"""Mean RCAP with which every claim holds."""


def suite_of(methods: Any) -> Suite:
    return make_suite({"methods": methods, "metrics": METRICS})


def table(by_metric: Mapping[str, Mapping[str, float | Sequence[float]]], n: int = 30) -> pd.DataFrame:
    """Return scores of n images, each method's times what the image is worth: ratios of means are the same for any."""
    worth = np.linspace(0.5, 1.5, n)
    scores = {metric: {name: worth * each for name, each in methods.items()} for metric, methods in by_metric.items()}
    return reliability.from_arrays(scores, levels="metric")


def scaled(rcap: Mapping[str, float], dauc: Mapping[str, float] = {}, n: int = 30) -> pd.DataFrame:
    return table({"RCAP": rcap, "DAUC": {**dict.fromkeys(rcap, 0.1), **dauc}, "IAUC": dict.fromkeys(rcap, 0.7)}, n)


def verdicts(rows: pd.DataFrame) -> dict[str, str]:
    return dict(decisive(rows)[["claim", "verdict"]].itertuples(index=False, name=None))


def test_every_claim_holds_where_it_was_built_to() -> None:
    rows = claims(scaled(HOLDING), suite_of(list(HOLDING)))
    assert verdicts(rows) == dict.fromkeys([RISES, BEST, REVERSED, FLAT, LIFTS], "holds")
    tested = rows[rows["verdict"] != "not tested"]
    ratios = tested[~tested["statistic"].str.startswith("Spearman")]
    np.testing.assert_allclose(ratios["value"], [1.4, 2.8, 0.2, 1, 1, 1, 1, 1.6])
    np.testing.assert_allclose(ratios[["low", "high"]], np.repeat(ratios[["value"]], 2, axis=1))
    assert set(tested["images"]) == {30}


@pytest.mark.parametrize(
    ("rcap", "dauc", "claim", "value"),
    [
        ({"GAG-85": 0.9}, {}, RISES, -0.5),  # Spearman's rho of (0, 45, 85) and (1, 1.2, 0.9)
        ({"SG": 2.0}, {}, BEST, 0.7),
        ({"SG^R": 0.3}, {}, REVERSED, 0.6),
        ({}, {"GAG-45": 0.11}, FLAT, 1.1),
        ({}, {"GAG-85": 0.09}, FLAT, 0.9),
        ({"SG-G": 0.4}, {}, LIFTS, 0.8),
    ],
)
def test_a_claim_fails_where_it_was_built_to(
    rcap: dict[str, float], dauc: dict[str, float], claim: str, value: float
) -> None:
    rows = decisive(claims(scaled({**HOLDING, **rcap}, dauc), suite_of(list(HOLDING))))
    found = rows[rows["claim"] == claim].iloc[0]
    assert (found["verdict"], round(found["value"], 9)) == ("fails", value)


@pytest.mark.parametrize(
    ("case", "failing"), [("imagenet-s", []), ("isic", [REVERSED]), ("places365", [])], ids=lambda each: str(each)
)
def test_the_papers_own_means(case: str, failing: list[str]) -> None:
    published = pd.concat(huang_liu(number, case) for number in (1, 2)).drop_duplicates(["method", "metric"])
    published = published[(published["method"] != "Grad-CAM") & published["metric"].isin(list(METRICS))]
    means = {
        str(metric): dict(zip(rows["method"], rows["value"], strict=True))
        for metric, rows in published.groupby("metric")
    }
    found = verdicts(claims(table(means), suite_of(list(published["method"].unique()))))
    assert found.pop(LIFTS) == "not tested"
    assert [claim for claim, verdict in found.items() if verdict != "holds"] == failing


def test_an_interval_that_holds_the_limit_is_undecided() -> None:
    spread = {**HOLDING, "GAG-85": np.tile([0.1, 0.92], 15)}
    found = verdicts(claims(table({"RCAP": spread}), suite_of(list(HOLDING))))
    assert [found[BEST], found[LIFTS]] == ["undecided", "holds"]


def test_intervals_are_those_of_the_delta_method_and_of_students_t() -> None:
    rng = np.random.default_rng(0)
    n = 400
    scores = {"GAG-0": rng.uniform(0.5, 1.5, n), "GAG-45": rng.uniform(0.6, 1.6, n), "SG": rng.uniform(0.3, 0.7, n)}
    scores["GAG-85"] = scores["SG"] * 2 + rng.uniform(0, 0.5, n)
    found = claims(reliability.from_arrays({"RCAP": scores}), suite_of(["GAG-0", "GAG-45", "GAG-85", "SG"])).set_index(
        "statistic"
    )
    line = np.stack([scores[f"GAG-{p}"] for p in (0, 45, 85)], 1)
    rho = np.array([scipy.stats.spearmanr([0, 45, 85], each).statistic for each in line])
    ratio = scores["GAG-85"].mean() / scores["SG"].mean()
    residuals = (scores["GAG-85"] - ratio * scores["SG"]) / scores["SG"].mean()
    for statistic, value, error in (
        ("Spearman's rho of p and RCAP, mean over the images, > 0", rho.mean(), scipy.stats.sem(rho)),
        ("mean RCAP of GAG-85 / SG > 1", ratio, scipy.stats.sem(residuals)),
    ):
        row = found.loc[statistic]
        assert row["value"] == pytest.approx(value)
        ends = value + np.array([-1.96, 1.96]) * error
        np.testing.assert_allclose([row["low"], row["high"]], ends, atol=0.2 * error)


@pytest.mark.parametrize(("rivals", "verdict"), [(["SG"], "fails"), (["SG", "IG", "Blur IG", "VG"], "undecided")])
def test_one_of_several_fails_only_by_the_corrected_interval(rivals: list[str], verdict: str) -> None:
    """The rival is 2.2 standard errors better: past 1.96, of 95 %, and not past 2.50, of 98.75 %."""
    n, spread = 400, 0.5
    better = 1 + 2.2 * spread / n**0.5 + spread * np.tile([-1, 1], n // 2)
    scores = {"GAG-85": 1.0, **dict.fromkeys(rivals, 0.5), "SG": better}
    flat = reliability.from_arrays({"RCAP": {name: np.broadcast_to(each, n) for name, each in scores.items()}})
    assert verdicts(claims(flat, suite_of(list(scores))))[BEST] == verdict


def test_few_images_decide_nothing() -> None:
    for n, verdict in ((5, "undecided"), (6, "holds")):
        rows = claims(scaled(HOLDING, n=n), suite_of(list(HOLDING)))
        assert set(verdicts(rows).values()) == {verdict}
    assert "5 images, too few to tell" in "".join(
        as_lines(claims(scaled(HOLDING, n=5), suite_of(list(HOLDING))).assign(network="x"))
    )
    assert "nan" not in "".join(as_lines(claims(scaled(HOLDING, n=1), suite_of(list(HOLDING))).assign(network="x")))


def test_only_images_with_both_scores_count() -> None:
    scores = scaled(HOLDING)
    scores.loc[(scores["method"] == "SG") & (scores["image"] == 3), "score"] = np.nan
    found = claims(scores, suite_of(list(HOLDING))).set_index("statistic")["images"]
    assert [found["mean RCAP of GAG-85 / SG > 1"], found["mean RCAP of GAG-85 / GAG-0 > 1"]] == [29, 30]


def test_methods_are_known_by_their_options_not_by_their_labels() -> None:
    named = {
        "a": {"type": "GAG", "percentile": 0.0},
        "b": {"type": "GAG", "percentile": 85.0},
        "GAG-0": {"type": "SG"},
        "GAG-85": {"type": "SG", "aggregation": "guided"},
        "c": {"of": "GAG-0", "transform": "reverse"},
    }
    scores = scaled({"a": 1.0, "b": 1.4, "GAG-0": 0.5, "GAG-85": 0.8, "c": 0.1})
    rows = claims(scores, suite_of(named))
    assert set(verdicts(rows).values()) == {"holds"}
    assert list(decisive(rows)["statistic"]) == [
        "mean RCAP of b / a > 1",
        "mean RCAP of b / GAG-0 > 1",
        "mean RCAP of c / GAG-0 < 0.5",
        "mean DAUC of b / a > 0.95 and < 1.05",
        "mean RCAP of GAG-85 / GAG-0 > 1",
    ]


@pytest.mark.parametrize(
    ("methods", "original"),
    [(["GB", "GB-G"], "GB"), (["GB", "GB-G", {"label": "noisy", "type": "SG", "backpropagation": "guided"}], "noisy")],
)
def test_the_guide_is_compared_with_the_mean_of_the_same_gradients_where_there_is_one(
    methods: list[Any], original: str
) -> None:
    rows = claims(scaled({"GB": 0.2, "GB-G": 0.6, "noisy": 0.5}), suite_of(methods))
    assert list(rows.loc[rows["claim"] == LIFTS, "statistic"]) == [f"mean RCAP of GB-G / {original} > 1"]


def test_what_a_run_lacks_is_said() -> None:
    rows = claims(scaled({"SG": 0.5, "SG-G": 0.6}), suite_of(["SG", "SG-G"]))
    assert verdicts(rows) == {**dict.fromkeys([RISES, BEST, REVERSED, FLAT], "not tested"), LIFTS: "holds"}
    assert list(rows.loc[rows["verdict"] == "not tested", "statistic"]) == [
        "the run has no GAG-p of two p",
        "the run has no GAG-85",
        "the run has no reversed maps together with their originals",
        "the run has no GAG-p of two p",
    ]
    without = claims(
        scaled(HOLDING), make_suite({"methods": list(HOLDING), "metrics": {"MAE": {"type": "SegmentationMAE"}}})
    )
    assert set(without["statistic"]) == {f"the run has no {metric}" for metric in ("RCAP", "DAUC", "IAUC")}


def test_the_suite_of_the_claims_has_all_that_they_take() -> None:
    suite = make_suite(read_suite("gag-claims"))
    rows = claims(scaled(dict.fromkeys(suite.methods, 1.0)), suite)
    assert "not tested" not in set(rows["verdict"])
    assert len(rows[rows["claim"] == BEST]) == 7
    assert len(rows[rows["claim"] == LIFTS]) == 5
    assert verdicts(rows) == {**dict.fromkeys([RISES, BEST, REVERSED, LIFTS], "fails"), FLAT: "holds"}


def test_networks_side_by_side(tmp_path: Path) -> None:
    some = [each for each in HOLDING if each != "SG^R"]
    rows = pd.concat(
        [
            claims(scaled(HOLDING), suite_of(list(HOLDING))).assign(network="one"),
            claims(scaled({**HOLDING, "SG": 2.0}), suite_of(some)).assign(network="two"),
        ],
        ignore_index=True,
    )
    cells = side_by_side(rows)
    assert list(cells.index) == [RISES, BEST, REVERSED, FLAT, LIFTS]
    assert cells.loc[BEST, "two"] == "fails: mean RCAP of GAG-85 / SG > 1: 0.700 [0.700, 0.700], 30 images"
    assert cells.loc[REVERSED, "two"] == "not tested: the run has no reversed maps together with their originals"
    [line] = [line for line in as_lines(rows) if line.startswith("  two: fails: mean RCAP of GAG-85")]
    assert line.endswith(
        "; the run has no VarGrad; the run has no IG; the run has no GB; the run has no Guided IG; "
        "the run has no Blur IG; the run has no VG"
    )
    csv, markdown = save_claims(rows, tmp_path / "new")
    assert len(pd.read_csv(csv)) == len(rows)
    assert markdown.read_text().splitlines()[0].split() == ["|", "claim", "|", "one", "|", "two", "|"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    suite = {"methods": ["GAG-0", "GAG-85", "SG"], "metrics": {"RCAP": {}}, "n_samples": 2}
    return run_of(tmp_path / "run", config_of(suite, limit=5)).directory


def test_command(run: Path, tmp_path: Path) -> None:
    copied, out = shutil.copytree(run, tmp_path / "copied"), tmp_path / "out"
    result = call("papers", "claims", str(run), str(copied), "--out", str(out))
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == RISES
    assert lines[1].startswith(f"  tiny:model ({run}): undecided: ")
    assert (out / "claims.md").is_file()
    printed = call("papers", "claims", str(run))
    assert printed.output.splitlines()[1].startswith("  tiny:model: undecided: ")
