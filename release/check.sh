#!/usr/bin/env bash
# The release checklist: run it on the commit that is to be released, and upload dist/ only if it ends with "ready".
#
#     bash release/check.sh [--quick]
#
# --quick leaves out what downloads: the install of the wheel into an empty environment and the hosts' sources.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() { echo "not ready: $1" >&2; exit 1; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# One version everywhere, and a dated section of the changelog that says what is in it.
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
grep -q "^version: $version\$" CITATION.cff || fail "CITATION.cff has another version than pyproject.toml, $version"
grep -q "^__version__ = \"$version\"\$" captum_gag/__init__.py || fail "captum_gag/__init__.py has another version"
grep -qE "^## \[$version\] - [0-9]{4}-[0-9]{2}-[0-9]{2}\$" CHANGELOG.md || fail "CHANGELOG.md has no dated section [$version]"
[ -z "$(git status --porcelain)" ] || fail "there are changes that are not committed"

python -m pip install --quiet build twine check-wheel-contents
rm -rf dist
python -m build --quiet .
twine check --strict dist/*
check-wheel-contents dist/*.whl

# The wheel holds the package and nothing else: all of it that is tracked.
python - dist/*.whl <<'PYTHON' || fail "the wheel does not hold what git tracks in captum_gag/"
import subprocess, sys, zipfile

inside = {name for name in zipfile.ZipFile(sys.argv[1]).namelist() if ".dist-info/" not in name}
tracked = set(subprocess.run(["git", "ls-files", "captum_gag"], check=True, capture_output=True, text=True).stdout.split())
for name in sorted(inside ^ tracked):
    print("only in the wheel:" if name in inside else "not in the wheel:", name)
sys.exit(inside != tracked)
PYTHON

if [ "${1:-}" != "--quick" ]; then
    # The README's first command, from the wheel, where nothing of this checkout can be found.
    python -m venv "$scratch/venv"
    "$scratch/venv/bin/pip" install --quiet "$(echo dist/*.whl)[demo]"
    (cd "$scratch" && venv/bin/captum-gag demo && test -s captum-gag-demo/coffee-explanation.png)
    PYTHONPATH='' python release/contributions.py "$scratch/contributions"
fi
echo "ready: $(ls dist/*)"
