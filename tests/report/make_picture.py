"""Photographs the example report into `docs/images/report.png`, or, given a folder, in both color schemes and as on a
phone into that.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from browser import chromium
from example_report import example
from PIL import Image

from focal_loss._command.report.render import render

ROOT = Path(__file__).parents[2]


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with chromium() as browser:
        for name, width, scheme in (("report", 900, "light"), ("dark", 900, "dark"), ("phone", 360, "light")):
            if name != "report" and folder is None:
                continue
            page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            page.set_content(render(example()))
            picture = Image.open(io.BytesIO(page.screenshot(full_page=True)))
            few = picture.convert("RGB").quantize(128, Image.Quantize.MAXCOVERAGE)  # keeps the rare colors
            few.save((folder or ROOT / "docs" / "images") / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
