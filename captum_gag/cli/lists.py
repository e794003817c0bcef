"""What the commands list, kept in a file, since to make it takes torch, and seconds.

A test says when to write it again: ``python -c "from captum_gag.cli import lists; lists.keep()"``.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

KEPT = Path(str(files("captum_gag.cli").joinpath("lists.json")))


def listed(name: str) -> list[dict[str, Any]]:
    """Return a list for people and machines, from the file where that is of the Captum that is installed.

    Args:
        name: "methods", "types", "transforms", "metrics" or "suites".
    """
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    # The types are all classes of Captum, of which each version has its own.
    if name == "types" and kept["captum"] != version("captum"):
        kept = made()
    return list(kept[name])


def made() -> dict[str, Any]:
    """Return what there is now, as JSON holds it: the lists by name, and for which version of Captum."""
    from captum_gag.attr import catalogue
    from captum_gag.files import plain
    from captum_gag.metrics.catalogue import rows
    from captum_gag.runs.spec import make_suite, read_suite, suite_names

    suites = [
        {
            "name": name,
            "title": suite.title,
            "methods": list(suite.methods),
            "metrics": [" ".join(filter(None, (each.label, each.variant))) for each in suite.metrics],
        }
        for name, suite in ((name, make_suite(read_suite(name))) for name in suite_names())
    ]
    found = {
        "captum": version("captum"),
        "methods": catalogue.rows(),
        "transforms": catalogue.transforms(),
        "metrics": rows(),
        "suites": suites,
        "types": catalogue.types(),
    }
    return dict(json.loads(json.dumps(plain(found), default=str)))


def keep() -> None:
    """Write the file."""
    KEPT.write_text(json.dumps(made(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
