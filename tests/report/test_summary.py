"""The first lines and the cards say what ``reliability.verdict`` says, and nothing on a page contradicts it."""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from captum_gag import reliability
from captum_gag.report.captions import notes
from captum_gag.report.score_page import save_reliability
from captum_gag.report.summary import cards, sentences, summarised
from captum_gag.report.tables import printed_cells

MOVED = {"GAG moved": ("GAG", "displaced")}


def table(scores: dict[str, list[float]], metric: str = "RCAP") -> pd.DataFrame:
    """Return scores by one metric; "GAG moved" is the displaced control."""
    moved = {name: of for name, of in MOVED.items() if name in scores}
    return reliability.from_arrays(
        {metric: scores}, levels="metric", controls=dict.fromkeys(moved, "displaced"), transforms=moved
    )


def spread(level: float, n: int = 20) -> list[float]:
    return list(level + np.random.default_rng(0).normal(size=n) / 100)


ZIGZAG = (-1.0) ** np.arange(20) * (1 + np.arange(20) / 100)
ANSWERS = {
    "decided": ({"SG": spread(0.2), "GAG": spread(0.5), "Sobel": spread(0.1)}, "By RCAP: GAG (decided)."),
    "open": (
        {"GAG": list(ZIGZAG + 0.1), "SG": list(-ZIGZAG), "IG": list(ZIGZAG - 9)},
        "By RCAP: GAG or SG may be best (open).",
    ),
    "a control": (
        {"SG": spread(0.2), "GAG": spread(0.5), "Sobel": spread(0.9)},
        "By RCAP: cannot tell. No explanation beats Sobel.",
    ),
    "gaps": (
        {"SG": spread(0.2), "GAG": [*spread(0.5)[:12], *[np.nan] * 8]},
        "By RCAP: cannot tell. Scores are missing of 20 images: GAG of 8.",
    ),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_the_first_line_and_the_card_are_the_verdict(case: str) -> None:
    scores, expected = ANSWERS[case]
    summary = summarised(table(scores))
    pd.testing.assert_frame_equal(summary.verdicts, reliability.verdict(table(scores)))
    assert sentences(summary.verdicts) == [expected]
    [card], [verdict] = cards(summary), summary.verdicts.to_dict("records")
    assert (card["state"], card["reason"]) == (verdict["state"], verdict["reason"])
    assert card["methods"] == ([] if verdict["state"] == "cannot tell" else verdict["tied"])
    bold = {name: "**" in text for name, text in printed_cells(summary.rows, "**{}**".format)["RCAP"].items()}
    assert [name for name in bold if bold[name]] == sorted(card["methods"], key=list(scores).index)


def test_within_a_margin_two_are_practically_the_same() -> None:
    noise = np.random.default_rng(0).normal(size=40) / 1000
    summary = summarised(table({"GAG": list(0.5 + noise), "SG": list(0.5 - noise)}), margin=0.01)
    [card] = cards(summary)
    assert (card["state"], sorted(card["methods"])) == ("open", ["GAG", "SG"])
    assert card["reason"].startswith("Practically the same as ")
    assert "\N{ALMOST EQUAL TO}" in "".join(printed_cells(summary.rows)["RCAP"])


def test_metrics_with_one_answer_share_a_line() -> None:
    scores = pd.concat([table(ANSWERS["decided"][0], metric) for metric in ("RCAP", "IAUC")])
    assert sentences(summarised(scores).verdicts) == ["By RCAP and IAUC: GAG (decided)."]


def test_decisions_take_the_place_of_tests_in_a_run_until_decided(tmp_path: Path) -> None:
    scores = table({"GAG": spread(0.5, 60), "SG": spread(0.2, 60), "Sobel": spread(0.1, 60)})
    decided = reliability.sequential(scores)
    summary = summarised(scores, decided=decided)
    assert sentences(summary.verdicts) == ["By RCAP: GAG (decided)."]
    assert summary.rows[["p", "rank_low", "difference"]].isna().all(axis=None)
    assert "*" not in "".join(printed_cells(summary.rows)["RCAP"])
    assert not any("sign test" in note for note in notes(summary.rows))
    assert "fixed beforehand" in summary.assumption
    still = summarised(scores, decided=decided.assign(decision="open"))
    assert sentences(still.verdicts) == ["By RCAP: GAG or SG may be best (open)."]


LEVELS = st.lists(st.sampled_from([0.2, 0.3, 0.31, 0.5]), min_size=2, max_size=4)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    levels=LEVELS,
    n=st.integers(3, 30),
    noise=st.sampled_from([0.01, 0.1]),
    gaps=st.integers(0, 6),
    seed=st.integers(0, 9),
)
def test_nothing_on_a_page_contradicts_its_verdict(
    tmp_path: Path, levels: list[float], n: int, noise: float, gaps: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    scores = {f"m{place}": (level + noise * rng.normal(size=n)).clip(0, 1) for place, level in enumerate(levels)}
    scores["m0"][: min(gaps, n - 2)] = np.nan
    scores["Sobel"] = (0.25 + noise * rng.normal(size=n)).clip(0, 1)
    summary = summarised(table(scores), n_bootstrap=200)
    [verdict], rows = summary.verdicts.to_dict("records"), summary.rows.set_index("method")
    starred = {name for name in rows.index if rows.loc[name, "decision"] == "better"}
    if verdict["state"] == "decided":
        assert starred == set(scores) - {"Sobel", verdict["best"]}
        assert rows.loc[verdict["best"], ["rank_low", "rank_high"]].tolist() == [1, 1]
    elif verdict["state"] == "open":
        assert starred.isdisjoint(verdict["tied"])
    else:
        assert not starred
        assert rows["p"].isna().all()
    assert rows["low"].dropna().between(0, 1).all()
    assert rows["high"].dropna().between(0, 1).all()
    # One mean of a method by a metric, with one interval, on the whole page.
    checks = reliability.report(table(scores), n_bootstrap=200)
    save_reliability(checks, tmp_path, summary)
    page = html.unescape((tmp_path / "report.html").read_text(encoding="utf-8"))
    text = re.sub(r"<script.*?</script>|<style.*?</style>|<svg.*?</svg>|<[^>]*>", " ", page, flags=re.DOTALL)
    means = [f"{mean:.3f}" for mean in rows["mean"].dropna()]
    for mean in set(means):
        assert len(set(re.findall(rf"{mean}\*? (\[[\d., ]+\])", text))) <= means.count(mean)
    # What is said of a metric is its mark.
    words = {"yes": "reliable:", "no": "unreliable:", "unsure": "inconclusive:"}
    said = {mark for mark, word in words.items() if re.search(rf"(?<!un){word}", text)}
    assert said <= set(checks.marks["reliable"])
