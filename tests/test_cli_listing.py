"""``captum-gag methods``, ``metrics`` and ``suites``: the lists are true, and there at once."""

import json
import re
import subprocess
import sys
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from captum_gag.cli import app, lists


def of(*arguments):
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "250"})
    assert result.exit_code == 0, result.output
    return result.output


def test_methods_lists_the_catalogue():
    from captum_gag.attr.catalogue import rows

    output = of("methods")
    for name in (row["name"] for row in rows()):
        assert re.search(rf"^ +{re.escape(name)} ", output, re.MULTILINE), name


@pytest.mark.parametrize("command", ["suites", "metrics", "methods"])
def test_lists_for_people_and_for_machines_without_loading_torch(command):
    if command == "methods" and json.loads(lists.KEPT.read_text(encoding="utf-8"))["captum"] != version("captum"):
        pytest.skip("the types are made from the Captum that is installed")
    code = (
        "import sys; from typer.testing import CliRunner; from captum_gag.cli import app\n"
        f"print(*(CliRunner().invoke(app, ['{command}', *more]).output for more in ([], ['--json'])), sep='|||')\n"
        "sys.exit(bool({'torch', 'captum', 'quantus', 'matplotlib', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    people, _, machines = done.stdout.partition("|||")
    listed = json.loads(machines)
    assert len(listed["methods"] if command == "methods" else listed) >= 7
    assert len(people.splitlines()) >= 7


def test_what_is_listed_is_what_there_is():
    kept, now = json.loads(lists.KEPT.read_text(encoding="utf-8")), lists.made()
    if kept["captum"] != now["captum"]:
        del kept["captum"], kept["types"], now["captum"], now["types"]
    assert kept == now, 'write it again: python -c "from captum_gag.cli import lists; lists.keep()"'


def test_classes_of_another_captum_are_listed_as_they_are(monkeypatch):
    monkeypatch.setattr(lists, "version", lambda _: "0.0.1")
    monkeypatch.setattr(lists, "made", lambda: {"types": [{"type": "captum:New"}]})
    assert lists.listed("types") == [{"type": "captum:New"}]
    assert lists.listed("metrics")[0]["type"] == "RCAP"


def test_every_option_is_listed_with_type_default_range_and_help():
    listed = json.loads(of("methods", "--json"))["types"] + json.loads(of("metrics", "--json"))
    options = {(each["type"], option["name"]): option for each in listed for option in each["options"]}
    assert options["GAG", "percentile"]["default"] == 85
    assert options["GAG", "percentile"]["range"] == ">= 0, <= 100"
    assert options["captum:Occlusion", "sliding_window_shapes"]["required"]
    assert options["RCAP", "lower_bound"]["type"] == "float"
    assert all(option["help"] for option in options.values())
