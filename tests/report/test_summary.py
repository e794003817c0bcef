"""Cards say which explanation is best and whether that is decided; nothing else wins one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from captum_gag import reliability
from captum_gag.report.answers import Card, cards, sentences
from captum_gag.report.tables import comparison


def card(found: dict[str, list[float]], decided: pd.DataFrame | None = None) -> Card:
    [made] = cards(comparison(reliability.from_arrays({"RCAP": found}, levels="metric")), decided)
    return made


def spread(level: float, n: int = 20) -> list[float]:
    return list(level + np.random.default_rng(0).normal(size=n) / 100)


def test_an_explanation_ahead_of_all_others_is_decided() -> None:
    found = card({"SG": spread(0.2), "GAG": spread(0.5), "IG": spread(0.3), "Sobel": spread(0.1)})
    assert found[:3] == ("RCAP", "higher is better, 20 images", "GAG")
    assert found.state == "decided"
    assert found.rival.startswith("Runner-up: IG, 0.298 [")
    assert found.rival.endswith("effect +1.00.")


def test_the_effect_is_against_the_runner_up() -> None:
    # The differences are 1, -2, 3, 4 and 0: of 10 ranks, 1, 3 and 4 are above 0 and 2 is below.
    found = card({"A": [2, 2, 6, 8, 10], "B": [1, 4, 3, 4, 10], "C": [0, 0, 0, 0, 0]})
    assert found.rival.startswith("Runner-up: B, 4.400")
    assert found.rival.endswith("effect +0.60.")


@pytest.mark.parametrize(("n", "why"), [(20, "Not told from SG."), (3, "3 images: too few to conclude.")])
def test_what_is_not_told_apart_is_open(n: int, why: str) -> None:
    zigzag = (-1.0) ** np.arange(n) * (1 + np.arange(n) / 100)
    found = card({"GAG": list(zigzag + 0.1), "SG": list(-zigzag), "IG": list(zigzag - 9)})
    assert (found.best, found.state, found.why) == ("GAG", "open", why)


@pytest.mark.parametrize("control", ["Sobel", "Random", "Constant"])
def test_no_control_wins_a_card(control: str) -> None:
    found = card({"SG": spread(0.2), "GAG": spread(0.5), control: spread(0.9)})
    assert (found.best, found.score, found.state) == ("", "", "cannot tell")
    assert found.why == f"No method beats {control}."


def test_decisions_count_where_a_run_was_looked_at_until_decided() -> None:
    scores = {"GAG": spread(0.5, 60), "SG": spread(0.2, 60), "Sobel": spread(0.1, 60)}
    table = reliability.from_arrays({"RCAP": scores}, levels="metric")
    decided = reliability.sequential(table, against="GAG")
    [found] = cards(comparison(table), decided)
    assert (found.state, found.why) == ("decided", "Asked of GAG: better than SG.")
    [still] = cards(comparison(table), decided.assign(decision="open"))
    assert (still.state, still.why) == ("open", "Asked of GAG: open against SG.")
    [other] = cards(comparison(table), reliability.sequential(table, against="Sobel"))
    assert (other.state, other.best) == ("open", "GAG")


def test_cards_and_sentences_do_not_contradict_reliability() -> None:
    found = {"GAG": spread(0.5), "SG": spread(0.4), "Sobel": list(np.array(spread(0.5)) + 0.001)}
    scores = reliability.from_arrays({"RCAP": found}, levels="metric")
    checks = reliability.report(scores)
    assert checks.tables["baselines"]["beats_edges"].tolist() == [False, False]
    assert checks.marks["reliable"].tolist() == ["yes"]
    rows = comparison(scores)
    assert cards(rows, None)[0].why == "No method beats Sobel."
    [said, agreed] = sentences(rows, None, checks)
    assert "By RCAP no method beats Sobel" in said
    assert "differ" not in said
    assert agreed.endswith("by RCAP.")
