"""Builds the documentation into `build/site`, one folder for each version, with a list of the versions there.

`make docs` runs it. Warnings are errors.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from marks import ROOT
from packaging.version import Version

import focal_loss

SITE, CACHE = ROOT / "build" / "site", ROOT / "build" / "site-cache"
START = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>focal_loss</title>
<link rel="icon" href="data:,">
<meta http-equiv="refresh" content="0; url={newest}/index.html">
<a href="{newest}/index.html">focal_loss {newest}</a>
</html>
"""


def list_versions(site: Path) -> None:
    """Write the list that the pages read, and a page that opens the newest version."""
    versions = sorted((path.parent.name for path in site.glob("*/index.html")), key=Version, reverse=True)
    (site / "versions.js").write_text(f"window.focalLossVersions = {json.dumps(versions)};\n")
    (site / "index.html").write_text(START.format(newest=versions[0]))


def main() -> int:
    from sphinx.cmd.build import main as sphinx  # the list of versions needs no Sphinx

    built = SITE / focal_loss.__version__
    shutil.rmtree(built, ignore_errors=True)  # with the pages of names that are gone
    options = ["--fail-on-warning", "--keep-going", "--quiet", "--write-all", "-d", str(CACHE)]
    failed = sphinx([*options, *sys.argv[1:], str(ROOT / "docs"), str(built)])
    if not failed:
        list_versions(SITE)
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
