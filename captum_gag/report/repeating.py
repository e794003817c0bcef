"""How a run can be repeated: the command, and what else decided its numbers."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

import pandas as pd

from captum_gag.runs.store import Run


def command(run: Run) -> str:
    """Return the command that, with the suite, repeats the run."""
    config = run.config
    words = ["captum-gag", "run", "suite.toml"]
    for section, (name, options) in (("model", name_of(config.model)), ("data", name_of(config.data))):
        words += [f"--{section}", name]
        # A string of JSON is one of TOML.
        for key, value in options.items():
            words += ["--set", f"{section}.{key}={json.dumps(value, ensure_ascii=False)}"]
    for key in ("limit", "confidence", "seed", "device", "dtype", "threads"):
        value = getattr(config, key)
        words += [] if value is None else [f"--{key}", str(value)]
    if config.until == "decided":
        words += ["--until", "decided", "--alpha", str(config.alpha), "--against", config.against]
    return shlex.join([*words, *(["--save-maps"] if config.save_maps else []), "--out", "RUN"])


def name_of(spec: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return what the command line calls a model or a data set, and the options that are left to say."""
    options = {key: value for key, value in spec.items() if key != "type"}
    for key in ("name", "root"):
        if key in options and ":" not in spec["type"]:
            return f"{spec['type']}:{options.pop(key)}", options
    return str(spec["type"]), options


def facts(run: Run, scores: pd.DataFrame, n_bootstrap: int, seed: int) -> dict[str, str]:
    """Return by name what else decided the numbers, and what they cost."""
    identity = "; ".join(f"{name}: {value}" for name, value in run.identity.items())
    hours = scores["seconds"].sum() / 3600
    return {
        "Made with": identity,
        "Computing": f"{hours:.2f} hours in all",
        "Intervals of means": f"{n_bootstrap:,} resamples of the images, seed {seed}",
        "Directory": str(run.directory.absolute()),
    }
