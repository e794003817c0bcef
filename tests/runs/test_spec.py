"""Suites: those that come along, a user's own, and what is refused before anything is computed."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from captum_gag.errors import InputError
from captum_gag.papers.published import means
from captum_gag.runs.config import Config
from captum_gag.runs.spec import SuiteFile, make_suite, read_suite, suite_names
from captum_gag.runs.suite_file import ORDERINGS, labelled, require_names

RCAP: dict[str, Any] = {"metrics": {"RCAP": {}}}


@pytest.mark.parametrize("name", suite_names())
def test_every_suite_that_comes_along_can_be_built(name: str) -> None:
    suite = make_suite(read_suite(name), ((0.5,) * 3, (0.5,) * 3))
    assert suite.title
    published = means(SuiteFile(**read_suite(name)))
    published.pop("source", None)
    assert set(published) <= {entry.label for entry in suite.metrics}
    for of_metric in published.values():
        # Those of a table of the paper may be of more methods than the suite has.
        assert set(of_metric) & set(suite.methods)


def test_the_papers_tables_are_there() -> None:
    papers = {"gag-ablation", "gag-comparison", "gag-processing", "gag-propositions", "metric-reliability"}
    assert papers <= set(suite_names())
    suite = make_suite(read_suite("metric-reliability"))
    assert suite.methods["Random orderings"].control == "random"
    assert vars(suite.methods["Random orderings"])["n"] == 100
    assert [(each.label, each.variant) for each in suite.metrics[:2]] == [
        ("AOPC MoRF", "mean"),
        ("AOPC MoRF", "uniform_rgb"),
    ]
    assert suite.metrics[0].steps == (20, 40, 60, 80, 100)


def test_ones_own_toml_file(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        """
        n_samples = 10
        [methods]
        "gag" = {}
        "SG of 50" = { type = "SG", n_samples = 50 }
        "GAG, relative" = { type = "GAG-70", guide = "relative", noise_level = 0.1 }
        "Occlusion" = { type = "captum:Occlusion", sliding_window_shapes = [3, 4, 4] }
        "reversed" = { of = "GAG, relative", transform = "reverse", swap = 0.2 }
        [metrics.Sparse]
        type = "quantus:Sparseness"
        [metrics.RCAP]
        lower_bound = 80
        """
    )
    suite = make_suite(read_suite(str(path)))
    methods: dict[str, Any] = suite.methods
    assert [methods["gag"].percentile, methods["gag"].nt_samples, methods["SG of 50"].n_samples] == [85, 10, 50]
    relative = methods["GAG, relative"]
    assert (relative.percentile, relative.guide, relative.noise_level) == (70, "relative", 0.1)
    assert suite.bases == {"reversed": "GAG, relative", "gag displaced": "gag"}
    assert methods["reversed"].of is relative
    metric: Any = suite.metrics[1].metric
    assert metric.lower_bound == 80


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "SuiteFile needs methods"),
        ({"methods": ["SG"]}, "SuiteFile needs metrics"),
        ({"methods": [], **RCAP}, "at least one entry under methods"),
        ({"methods": 3, **RCAP}, "methods is 3"),
        ({"methods": [3], **RCAP}, "method 3 has no meaning"),
        ({"methods": ["SG"], "metrics": ["RCAP"]}, "metrics is"),
        ({"methods": ["SG"], **RCAP, "confidence": "high"}, "confidence is 'high'"),
        ({"methods": ["SG"], **RCAP, "confidence": math.nan}, "confidence is nan"),
        ({"methods": ["SG"], **RCAP, "n_samples": 0}, "n_samples is 0"),
        ({"methods": ["SG"], **RCAP, "title": 3}, "title is 3"),
        ({"methods": ["SG"], **RCAP, "title": date(2024, 1, 1)}, "title is"),
        ({"methods": [{"of": "none", "transform": "reverse"}], **RCAP}, "none"),
        ({"methods": {"a": {"of": 3, "transform": 3}}, **RCAP}, "3"),
        ({"methods": {"a": {"type": 3}}, **RCAP}, "unknown method '3'"),
        ({"methods": [{"type": "SG", "n_samples": "many"}], **RCAP}, "n_samples is 'many'"),
        ({"methods": ["SG"], **RCAP, "metod": 1}, "unknown option 'metod'; did you mean methods"),
        ({"methods": ["SG"], **RCAP, "random_orderings": "3"}, "random_orderings is '3', expected a valid integer"),
        ({"methods": ["GAG-101"], **RCAP}, "GAG-101"),
        ({"methods": [{"nam": "SG"}], **RCAP}, "has no meaning; expected a name, or a table with type"),
        (
            {"methods": {"SG": {"n_sample": 50}}, **RCAP},
            "method 'SG': .*unknown option 'n_sample'; did you mean n_samples",
        ),
        ({"methods": ["SG", "SG"], **RCAP}, "method 'SG' comes twice; give one of them a label"),
        ({"methods": {ORDERINGS: {"type": "Random"}}, **RCAP, "random_orderings": 2}, f"method '{ORDERINGS}' comes tw"),
        (
            {"methods": {"a": {"of": "b", "transform": "reverse"}, "b": {"of": "a", "transform": "reverse"}}, **RCAP},
            "itself",
        ),
        ({"methods": {"a": {"of": "SG", "transform": "turn"}}, **RCAP}, "turn"),
        ({"methods": {"SG": 3}, **RCAP}, "method 'SG' is 3; expected a table of options"),
        ({"methods": ["SG"], "metrics": {"X": {}}}, "metric 'X': .*unknown metric 'X'"),
        ({"methods": ["SG"], "metrics": {"RCAP": 3}}, "metric 'RCAP' is 3; expected a table of options"),
        ({"methods": ["SG"], "metrics": {"X": {"type": 3}}}, "unknown metric '3'"),
        ({"methods": ["SG"], "metrics": {"X": {"type": "json:loads"}}}, "metric 'X': .*json:loads"),
        ({"methods": ["SG"], "metrics": {"X": {"type": "math:pi"}}}, "metric 'X': .*math:pi"),
        ({"methods": ["SG"], "metrics": {"RCAP": {"lower_bound": {"a": 1}}}}, "lower_bound is"),
        ({"methods": ["SG"], "metrics": {"AOPC": {"steps": ["a"]}}}, "expected a list of integers of at least 1"),
        ({"methods": ["SG"], "metrics": {"AOPC": {"steps": [2], "n_steps": "many"}}}, "many"),
        ({"methods": ["SG"], "metrics": {"RCAP": {"variants": 3}}}, "has variants 3; expected tables of options"),
        ({"methods": ["SG"], "metrics": {"RCAP": {"interval": 7}}}, "metric 'RCAP': lower_bound is 50 and interval 7"),
        ({"methods": ["SG"], "metrics": {"RCAP": {"lower_bond": 7}}}, "metric 'RCAP': .*did you mean lower_bound"),
        ({"methods": ["SG"], "metrics": {"RCAP": {"steps": [3]}}}, "no steps that could get a record"),
        ({"methods": ["SG"], "metrics": {"AOPC": {"steps": [0]}}}, "expected a list of integers of at least 1"),
        ({"methods": ["SG"], "metrics": {"AOPC": {"steps": [9], "n_steps": 5}}}, "steps .9., but takes n_steps = 5"),
        ({"methods": ["SG"], "metrics": {"AOPC": {"variants": [1]}}}, "expected tables of options by name"),
        ({"methods": ["SG"], "metrics": {"X": {"type": "quantus:Nothing"}}}, "quantus:Nothing"),
    ],
)
def test_what_has_no_meaning_is_refused_in_one_line(data: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_suite(data)
    # What the command line asks before, of names alone, raises nothing else.
    with suppress(InputError):
        require_names(SuiteFile(**data))
        means(SuiteFile(**data))
        dict(labelled(SuiteFile(**data)))


@pytest.mark.parametrize("truth", ["Mass", "DAUC"])
def test_a_truth_is_a_metric_of_the_suite_without_variants(truth: str) -> None:
    metrics = {"RCAP": {}, "DAUC": {"type": "Deletion", "variants": {"black": {"perturb_baseline": "black"}}}}
    assert make_suite({"methods": ["SG"], "metrics": metrics, "truth": ["RCAP"]}).truth == ("RCAP",)
    with pytest.raises(InputError, match=rf"truth '{truth}'.*RCAP"):
        make_suite({"methods": ["SG"], "metrics": metrics, "truth": [truth]})


@pytest.mark.parametrize(
    "text", [f"a = {'[' * 4000}", f"a = {'9' * 5000}", "a.b = 1\na = 2", "methods = [", "\0\1", '{"methods": ["SG"]}']
)
def test_toml_that_python_cannot_read_is_refused_in_a_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "suite.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"suite .*suite\.toml: cannot be read as TOML"):
        read_suite(str(path))
    with pytest.raises(InputError, match="there is no suite 'fast'; expected compare, gag-ablation"):
        read_suite("fast")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", 0), ("confidence", 1.1), ("confidence", -0.1), ("seed", -1), ("dtype", "float8"), ("threads", 0),
        ("batch_size", 0), ("until", "soon"), ("alpha", 0.0), ("alpha", 1.0), ("attribution_autocast", "float16"),
        ("metrics_autocast", "float32"),
    ],
)  # fmt: skip
def test_what_a_run_cannot_be_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"^Config: {name} is {value!r}, expected"):
        Config(suite={}, model={"type": "tiny:model"}, data={"type": "tiny:photos"}, **{name: value})
