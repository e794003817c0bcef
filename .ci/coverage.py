"""Report the lines and branches that tests run through, by room, and fail where they are less than is asked for.

python .ci/coverage.py COVERAGE.json
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path, PurePath

LEAST = 0.95
"""Of the branches outside of cli; the commands are run in processes of their own, which are not measured."""


def main() -> None:
    """Read the JSON file of coverage that is the only argument."""
    rooms: dict[str, Counter[str]] = {}
    for file, found in json.loads(Path(sys.argv[1]).read_text())["files"].items():
        within = PurePath(file).parts[1:]
        rooms.setdefault(within[0] if len(within) > 1 else "(top)", Counter()).update(
            {name: each for name, each in found["summary"].items() if isinstance(each, int)}
        )
    outside = sum((each for room, each in rooms.items() if room != "cli"), Counter())
    for room, each in {**rooms, "outside of cli": outside}.items():
        print(f"{room:15} lines {_share(each, 'covered_lines', 'num_statements'):7.2%}", end="  ")
        print(f"branches {_share(each, 'covered_branches', 'num_branches'):7.2%} of {each['num_branches']}")
    if _share(outside, "covered_branches", "num_branches") < LEAST:
        sys.exit(f"less than {LEAST:.0%} of the branches outside of cli are covered")


def _share(found: Counter[str], part: str, whole: str) -> float:
    return found[part] / found[whole] if found[whole] else 1.0


if __name__ == "__main__":
    main()
