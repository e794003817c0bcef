import shutil
from pathlib import Path

import pytest
from scoring import config_of, folder_of, run_of

from captum_gag.runs.store import Run

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
    folder = tmp_path_factory.mktemp("photographs")
    (folder / "g.png").write_bytes(b"no image")
    return folder_of(folder, HOSTILE, "b.png", "c.png", "d.png", "e.png", "f.png")


@pytest.fixture(scope="session")
def run(tmp_path_factory, photographs):
    """A run with maps, of which one image failed."""
    return run_of(tmp_path_factory.mktemp("run") / "run", config_of(SUITE, data=photographs, save_maps=True))


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
