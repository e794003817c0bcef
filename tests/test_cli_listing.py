"""``captum-gag list``, wrong names, and the options of all commands: answered without torch, each declared once."""

import json
import subprocess
import sys
from importlib.metadata import version
from inspect import signature

import pytest
import typer
from typer.testing import CliRunner

from captum_gag import names
from captum_gag.cli import app
from captum_gag.options import unknown
from captum_gag.runs.config import SETTINGS, Config

HEAVY = {"torch", "captum", "quantus", "matplotlib", "torchvision", "scipy"}


def answers(*arguments, columns=250):
    return CliRunner().invoke(app, ["list", *arguments], env={"COLUMNS": str(columns)})


def run_apart(commands, heavy):
    """Run commands in a process of their own; return its outputs and which heavy packages it imported."""
    code = (
        "import sys, json; from typer.testing import CliRunner; from captum_gag.cli import app\n"
        f"results = [CliRunner().invoke(app, each) for each in {commands!r}]\n"
        "outputs = [[each.exit_code, each.output] for each in results]\n"
        f"print(json.dumps([outputs, sorted({heavy!r} & set(sys.modules))]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_names_for_people_and_for_machines_without_loading_torch():
    kinds = ["methods", "metrics", "suites", "data", "models"]
    asked = [["list", what, *form] for what in kinds for form in ([], ["--json"])]
    outputs, heavy = run_apart(asked, HEAVY | {"pandas"})
    assert heavy == []
    for (_, people), (_, machines) in zip(outputs[::2], outputs[1::2], strict=True):
        rows = json.loads(machines)
        assert len(rows) >= 7
        assert all(row["name"] in people for row in rows)


def test_version_and_help_import_nothing_heavy():
    [[said, (status, help)], heavy] = run_apart([["--version"], ["explain", "--help"]], HEAVY | {"numpy"})
    assert said == [0, f"captum-gag {version('captum-gag')}\n"]
    assert (status, heavy) == (0, [])
    assert all(
        each.opts[-1] in help for each in dict(commands(typer.main.get_command(app)))["captum-gag explain"].params
    )


def test_every_name_stands_for_what_it_names():
    assert [row["name"] for row in json.loads(answers("methods", "--json").output)] == list(names.METHODS)
    for types in (names.DATASETS, names.MODELS):
        assert all(each.load().type == name for name, each in types.items())
    for each in names.METRICS.values():
        assert each.load()().higher_is_better == each.higher_is_better


@pytest.mark.parametrize(
    ("kind", "name", "option", "expected"),
    [
        ("methods", "GAG-70", "percentile", {"type": "float", "default": 70, "range": ">= 0, <= 100"}),
        ("methods", "captum:Occlusion", "sliding_window_shapes", {}),
        ("methods", "SG^R", "retain", {}),
        ("metrics", "RCAP", "lower_bound", {"type": "float"}),
        ("metrics", "quantus:Sparseness", "abs", {}),
        ("data", "isic", "root", {}),
        ("data", "planted:object", "kind", {}),
        ("data", "imagenet-s:DIR", "root", {}),
        *(("models", "torchvision", option, {}) for option in ("name", "weights", "output", "image_size")),
        ("models", "resnet18", "weights", {}),
        ("models", "timm:resnet18", "weights", {}),
    ],
)
def test_options_of_a_type_are_listed_with_type_default_range_and_help(kind, name, option, expected):
    listed = {row["name"]: row for row in json.loads(answers(kind, name, "--json").output)}
    assert expected.items() <= listed[option].items()
    assert ":" in name or all(row["help"] for row in listed.values())


@pytest.mark.parametrize("columns", [20, 80])
@pytest.mark.parametrize(
    "asked", [["methods", "captum:Occlusion"], ["metrics", "RCAP"], ["models", "resnet18"], ["methods"]]
)
def test_nothing_is_cut_short_in_a_narrow_terminal(asked, columns):
    output = answers(*asked, columns=columns).output
    assert "\N{HORIZONTAL ELLIPSIS}" not in output
    assert all(row["name"] in output for row in json.loads(answers(*asked, "--json").output))


def test_a_suite_is_listed_with_its_methods_and_metrics_and_a_type_without_options_is_reported():
    assert json.loads(answers("suites", "quick", "--json").output)[0]["metrics"] == ["RCAP"]
    assert answers("data", "demo").output == "demo has no options\n"
    assert json.loads(answers("data", "demo", "--json").output) == []


def test_a_suite_of_someone_else_steers_no_terminal(tmp_path):
    (tmp_path / "red.toml").write_text('title = "\\u001b[31mred"\nmethods = ["SG"]\n[metrics.RCAP]\n')
    output = answers("suites", str(tmp_path / "red.toml")).output
    assert "\x1b" not in output
    assert "\\x1b[31mred" in output


def test_a_misspelt_name_is_refused_before_torch_is_imported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "method.toml").write_text('methods = ["SGG"]\n[metrics.RCAP]\n')
    (tmp_path / "metric.toml").write_text('methods = ["SG"]\n[metrics.RCAPP]\n')
    run = ["run", "quick", "--out", "RUN"]
    refusals = {
        "there is no suite 'quik'": ["run", "quik", "--out", "RUN"],
        "unknown method 'SGG'": ["run", "method.toml", "--out", "RUN"],
        "unknown metric 'RCAPP'": ["run", "metric.toml", "--dry-run"],
        "nowhere: no such folder": [*run, "--data", "nowhere"],
        "nowhere: no such folder; expected the directory of isic": [*run, "--data", "isic:nowhere"],
        "an argument is empty": [*run, "--data", ""],
        "unknown method to compare with 'GAGG'": [*run, "--until", "decided", "--against", "GAGG"],
        "unknown model 'resnet19'; did you mean resnet18": [*run, "--model", "resnet19"],
        "device 'gpu' must be auto": [*run, "--device", "gpu"],
        "--alpha 1.5 must be > 0, < 1": [*run, "--alpha", "1.5", "--until", "decided"],
        "--shard 'half' must be I/N": [*run, "--shard", "half"],
        "--shard '3/2' must be I/N": [*run, "--shard", "3/2"],
        "unknown method 'GAGG'": ["explain", "it.png", "--method", "GAGG"],
        "unknown model 'resnet20'": ["explain", "it.png", "--model", "resnet20"],
        "device 'GPU' must be auto": ["explain", "it.png", "--device", "GPU"],
        "unknown method 'VGG'": ["papers", "figure", "maps", "it.png", "--method", "VGG"],
        "nothing: holds no run": ["resume", "nothing"],
        "nil: holds no run": ["table", "nil"],
        "void: holds no run": ["report", "void"],
        "none: holds no run": ["papers", "claims", "none"],
        "neither: holds no run": ["papers", "tables", "neither"],
        "no.csv: cannot be read": ["reliability", "no.csv"],
        "no: cannot be read as scores: there is no such file or folder": ["reliability", "no"],
    }
    results, heavy = run_apart(list(refusals.values()), HEAVY - {"scipy"})
    for (status, output), message in zip(results, refusals, strict=True):
        assert (status, len(output.splitlines())) == (2, 1), output
        assert message in output
    assert heavy == []


def commands(group, name="captum-gag"):
    """Yield every command that has parameters, with its name."""
    yield name, group
    for part, each in getattr(group, "commands", {}).items():
        yield from commands(each, f"{name} {part}")


def test_all_commands_together_have_at_most_90_options_and_arguments():
    counts = {name: len(each.params) for name, each in commands(typer.main.get_command(app))}
    assert sum(counts.values()) <= 90, counts


def test_the_command_line_has_the_declarations_of_the_config():
    params = {each.name: each for each in dict(commands(typer.main.get_command(app)))["captum-gag run"].params}
    assert [each.name for each in SETTINGS] == list(signature(Config).parameters)[3:]
    for each in SETTINGS:
        assert params[each.name].help == each.help
        assert params[each.name].opts == [each.flag]
        assert params[each.name].default == (None if each.unset else each.default)


def test_every_option_of_every_command_has_a_help():
    for name, each in commands(typer.main.get_command(app)):
        assert each.help or name == "captum-gag"
        assert all(param.help for param in each.params), name


def test_classifiers_of_torchvision_are_those_that_it_lists():
    import torchvision

    expected = torchvision.models.list_models(module=torchvision.models)
    assert sorted(names.torchvision_classifiers()) == sorted(expected)


def numbers(model, inputs, targets, n_samples, seed, sides: list[int] = [1, 2]):  # noqa: B006
    return inputs


def test_options_whose_values_are_numbers_under_another_name_or_lists(monkeypatch):
    rows = json.loads(answers("methods", "GAG-85 fast", "--json").output)
    assert {row["name"]: row["default"] for row in rows}["nt_samples"] == 6
    monkeypatch.setitem(sys.modules, "own_numbers", sys.modules[__name__])
    assert "1, 2" in answers("methods", "own_numbers:numbers").output
    assert "unknown option 'k'; expected none." in str(unknown("option", "k", []))
