"""Photograph the first screen of a page, as the README shows it.

    captum-gag run compare --data demo --save-maps --out RUN && captum-gag report RUN
    python release/screenshot.py RUN/report.html docs/report.png

Needs Chromium, at /usr/bin/chromium or where CHROMIUM says.
"""

from __future__ import annotations

import argparse
import io
import os
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

WIDTH, HEIGHT = 1240, 808


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    with sync_playwright() as playwright:
        path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(options.page.absolute().as_uri())
        page.wait_for_function("[...document.images].every(image => image.complete)")
        taken = page.screenshot()
        browser.close()
    # A palette is a quarter of the size.
    Image.open(io.BytesIO(taken)).convert("RGB").quantize(256).save(options.out, optimize=True)


if __name__ == "__main__":
    main()
