"""Looking at someone's run does not run what it names."""

import json
import shutil
from pathlib import Path

import pytest
from scoring import call, config_of, run_of

from captum_gag.errors import InputError
from captum_gag.names import imported, nothing_imported

BOMB = "from pathlib import Path\nPath(__file__).with_name('it was run').touch()\n"
LOOKS = {
    "table": ["table"],
    "compare": ["table", "--compare", "GAG-85", "SG"],
    "worst": ["table", "--worst", "3"],
    "report": ["report"],
    "reliability": ["reliability", "--out", "reliability"],
    "claims": ["papers", "claims"],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    suite = {
        "methods": ["GAG-85", "SG", "Random"],
        "metrics": {"RCAP": {}, "DAUC": {"type": "Deletion"}},
        "n_samples": 3,
    }
    return run_of(tmp_path_factory.mktemp("made") / "run", config_of(suite, save_maps=True)).directory


@pytest.fixture
def trapped(made, tmp_path, monkeypatch, user_module):
    """A run whose every name is of a module that says so when it is imported."""
    monkeypatch.chdir(tmp_path)
    user_module("bomb", BOMB)
    shutil.copytree(made, "run")
    said = json.loads(Path("run/run.json").read_text())
    config = said["config"]
    config["model"], config["data"] = {"type": "bomb:model", "output": "bomb:output"}, {"type": "bomb:data"}
    own = {"own": {"type": "bomb:method"}, "sharp": {"of": "own", "transform": "sharpen"}, "bomb:method^R": {}}
    config["suite"]["methods"] = {"GAG-85": {}, "SG": {}, "Random": {}, **own}
    config["suite"]["metrics"] = {"RCAP": {"type": "bomb:Metric"}, "DAUC": {"type": "Deletion"}}
    config["suite"]["truth"] = ["RCAP"]
    Path("run/run.json").write_text(json.dumps(said))
    return tmp_path


@pytest.mark.parametrize("look", LOOKS)
def test_nothing_that_it_names_is_imported(trapped, look):
    result = call(*LOOKS[look], "run")
    assert not (trapped / "it was run").exists()
    assert result.exit_code == 0, result.output


def test_the_context_ends():
    with nothing_imported(), pytest.raises(InputError, match="is code that the run names"):
        imported("json:loads", "model")
    assert imported("json:loads", "model") is json.loads
