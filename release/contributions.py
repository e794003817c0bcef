"""Make the patches that Captum and Quantus could take, and try them on the sources that these publish.

    python release/contributions.py OUT

Needs torch, and the package index for the hosts' source distributions. OUT/captum and OUT/quantus hold a patch each. A
host's own tests are not in its source distribution; the tests of the patch are run in the patched sources.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent


class Insertion(NamedTuple):
    """A line of a patch to a file that the host has.

    Attributes:
        file: Its path.
        before: The line that comes after the new one.
        line: The new one.
    """

    file: str
    before: str
    line: str


CONTRIBUTIONS = {
    "captum": (
        Insertion(
            "captum/attr/__init__.py",
            "from captum.attr._core.guided_backprop_deconvnet import Deconvolution, GuidedBackprop",
            "from captum.attr._core.guided_absolute_grad import GuidedAbsoluteGrad",
        ),
        Insertion("captum/attr/__init__.py", '    "GuidedBackprop",', '    "GuidedAbsoluteGrad",'),
    ),
    "quantus": (
        Insertion(
            "quantus/metrics/faithfulness/__init__.py",
            "from quantus.metrics.faithfulness.region_perturbation import RegionPerturbation",
            "from quantus.metrics.faithfulness.rcap import RCAP",
        ),
        Insertion("quantus/helpers/constants.py", '        "Infidelity": Infidelity,', '        "RCAP": RCAP,'),
        Insertion(
            "README.md",
            "    <li><b>Sufficiency </b>",
            '    <li><b>RCAP </b><a href="https://arxiv.org/abs/2404.15564">(Huang and Liu, 2024)</a>: recovers the '
            "most salient pixels on a baseline, and multiplies the share of the saliency there by the probability "
            "of the class",
        ),
    ),
}


def unpacked(host: str, into: Path) -> Path:
    """Download the newest sources of a host, and return the folder that they are in."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", f"--no-binary={host}", "--dest", str(into)]
    subprocess.run([*pip, host], check=True)
    (archive,) = into.glob(f"{host}-*.tar.gz")
    with tarfile.open(archive) as members:
        members.extractall(into, filter="data")
    return into / archive.name.removesuffix(".tar.gz")


def insert(sources: Path, new: Insertion) -> None:
    """Insert a line once before the line that begins as it says."""
    path = sources / new.file
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    places = [place for place, line in enumerate(lines) if line.startswith(new.before)]
    if len(places) != 1:
        raise SystemExit(f"{new.file} has {len(places)} lines that begin with {new.before!r}; expected one")
    path.write_text("".join([*lines[: places[0]], new.line + "\n", *lines[places[0] :]]), encoding="utf-8")


def git(sources: Path, *words: str) -> str:
    """Run git in the sources, and return what it prints."""
    identity = ["-c", "user.name=captum-gag", "-c", "user.email=captum-gag@invalid"]
    return subprocess.run(["git", *identity, *words], cwd=sources, check=True, stdout=subprocess.PIPE, text=True).stdout


def contribute(host: str, out: Path) -> Path:
    """Write the patch of a host, and run its tests in the patched sources.

    Returns:
        The patch, against the sources of the version in its name.
    """
    with tempfile.TemporaryDirectory() as scratch:
        sources = unpacked(host, Path(scratch))
        git(sources, "init", "--quiet")
        git(sources, "add", "--all", "--force")
        git(sources, "commit", "--quiet", "--message", "As published")
        for path in sorted((HERE / host).rglob("*.*")):
            if path.suffix != ".pyc":
                place = sources / path.relative_to(HERE / host)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(path.read_bytes())
        for new in CONTRIBUTIONS[host]:
            insert(sources, new)
        git(sources, "add", "--all", "--force")
        patch = out / host / f"{sources.name}.patch"
        patch.parent.mkdir(parents=True, exist_ok=True)
        patch.write_text(git(sources, "diff", "--cached"), encoding="utf-8")
        tests = [str(path.relative_to(HERE / host)) for path in sorted((HERE / host).rglob("test_*.py"))]
        # Its own settings may name plugins that are not installed.
        command = [sys.executable, "-m", "pytest", "--quiet", "-c", os.devnull, "--rootdir", str(sources), *tests]
        subprocess.run(command, cwd=sources, check=True, env={**os.environ, "PYTHONPATH": str(sources)})
    return patch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    for host in CONTRIBUTIONS:
        print(contribute(host, out))


if __name__ == "__main__":
    main()
