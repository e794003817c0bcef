import pytest

from captum_gag.errors import InputError
from captum_gag.runs.spec import digest, load_suite, make_suite, suite_names

RCAP = {"metrics": {"RCAP": {}}}


@pytest.mark.parametrize("name", suite_names())
def test_every_suite_that_comes_along_can_be_built(name):
    suite = load_suite(name)
    assert suite.title
    for metric in suite.metrics:
        metric.build(((0.5,) * 3, (0.5,) * 3))
    published = {key for key in suite.published if key != "source"}
    assert published <= {metric.label for metric in suite.metrics}
    for metric in published:
        assert set(suite.published[metric]) <= {method.label for method in suite.methods}


def test_the_papers_tables_are_there():
    assert {
        "gag-ablation",
        "gag-comparison",
        "gag-processing",
        "gag-propositions",
        "metric-reliability",
        "quick",
    } <= set(suite_names())
    reliability = load_suite("metric-reliability")
    assert sum(method.label.startswith("Random:") for method in reliability.methods) == 100
    assert [label for metric in reliability.metrics[:1] for label in metric.labels] == [
        f"AOPC MoRF (mean) L={length}" for length in (20, 40, 60, 80, 100)
    ]


def test_ones_own_toml_file(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        'methods = ["gag", {name = "SG", n_samples = 50, label = "SG of 50"}]\nn_samples = 10\n'
        '[metrics.Sparse]\ntype = "quantus:Sparseness"\n[metrics.RCAP]\nlower_bound = 80\n'
    )
    suite = load_suite(str(path))
    assert [(each.label, each.n_samples) for each in suite.methods] == [("GAG-85", 10), ("SG of 50", 50)]
    assert suite.metrics[1].build(((0.5,), (0.5,))).lower_bound == 80


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "at least one entry under methods"),
        ({"methods": ["SG"], **RCAP, "metod": 1}, "unknown key 'metod'; expected confidence"),
        ({"methods": ["GAG-101"], **RCAP}, "There is no method 'GAG-101'"),
        ({"methods": ["SG", "sg"], **RCAP}, "method 'SG' comes twice; give one of them a label"),
        ({"methods": ["SG"], "metrics": {"X": {}}}, "metric 'X' has type 'X'; expected RCAP"),
        (
            {"methods": ["SG"], "metrics": {"RCAP": {"interval": 7}}},
            "metric 'RCAP': lower_bound is 50.0 and interval 7",
        ),
        (
            {"methods": ["SG"], "metrics": {"X": {"type": "quantus:Nothing"}}},
            "metric 'quantus:Nothing' cannot be imported.*no attribute 'Nothing'",
        ),
    ],
)
def test_what_has_no_meaning_is_refused(data, message):
    with pytest.raises(InputError, match=message):
        make_suite(data)


def test_an_unknown_suite_and_a_broken_file_are_named(tmp_path):
    with pytest.raises(InputError, match="there is no suite 'fast'; expected gag-ablation"):
        load_suite("fast")
    (tmp_path / "broken.toml").write_text("methods = [")
    with pytest.raises(InputError, match=r"suite .*broken\.toml: "):
        load_suite(str(tmp_path / "broken.toml"))


def test_digest_knows_parameters_and_not_their_order():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
