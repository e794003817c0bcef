import shutil
import sys
from pathlib import Path

import pytest

from captum_gag.runs.config import Config
from captum_gag.runs.execution import begin, execute
from captum_gag.runs.store import Run

# So that tiny:model is a package.module:callable.
sys.path.append(str(Path(__file__).parents[1]))

HOSTILE = "<script>alert(1)<img src=x onerror=alert(2)>\"'&.png"
"""As a file, as a metric and as a title."""
CLOSING = "</script><script>alert(3)</script>"
SUITE = {
    "title": CLOSING,
    "methods": ["GAG-85", "GAG-0", "SG", "VG", "SG^sharp", "Random"],
    "metrics": {
        "RCAP": {"type": "RCAP", "lower_bound": 50, "interval": 25},
        "DAUC": {"type": "Deletion", "n_steps": 4},
        CLOSING: {"type": "AOPC", "n_steps": 5},
        "MAE": {"type": "SegmentationMAE"},
    },
    "n_samples": 3,
}


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """Seven images, the first of a hostile name, the last no image at all."""
    from tiny import image

    folder = tmp_path_factory.mktemp("photographs")
    for number, name in enumerate([HOSTILE, "b.png", "c.png", "d.png", "e.png", "f.png"]):
        image(number).save(folder / name)
    (folder / "g.png").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="session")
def run(tmp_path_factory, photographs):
    """A run with maps, of which one image failed."""
    data = {"type": "folder", "root": str(photographs)}
    config = Config(suite=SUITE, model={"type": "tiny:model"}, data=data, device="cpu", save_maps=True)
    made, bench = begin(tmp_path_factory.mktemp("run") / "run", config)
    execute(made, bench=bench, say=lambda text: None)
    return made


@pytest.fixture
def copied(run, tmp_path):
    """The run, to be spoilt."""
    return Run(Path(shutil.copytree(run.directory, tmp_path / "run")))


@pytest.fixture
def reconfigured(copied):
    """The run as if its config had been another from the start."""

    def change(**options):
        stored = copied._description
        # Its records stay those of this run.
        copied._description = stored._replace(config={**stored.config, **options})
        return copied

    return change
