"""Writes generated regions into files that are otherwise written by hand, between two marks that name the tool."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "focal_loss"
COMMENTS = {".md": "<!-- {} -->", ".hpp": "// {}", ".cpp": "// {}"}  # else "# {}"


def spliced(text: str, path: Path, tool: str, name: str, content: str) -> str:
    """The text with `content` between the marks of that name, which must occur once."""
    form = COMMENTS.get(path.suffix, "# {}")
    begin = form.format(f"<{tool}: {name}> Written by tools/{tool}.py; `make {tool}` writes it anew.")
    end = form.format(f"</{tool}: {name}>")
    pattern = re.compile(rf"(?m)^([ ]*){re.escape(begin)}\n.*?^[ ]*{re.escape(end)}\n", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise SystemExit(f"there must be one region {begin} ... {end} in {path.name}")
    return pattern.sub(lambda match: f"{match[1]}{begin}\n{content}{match[1]}{end}\n", text)


def formatted(text: str, path: Path) -> str:
    for command in (["format"], ["check", "--select", "I", "--fix-only", "--quiet"], ["format"]):
        whole = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(path), "-"]
        text = subprocess.run(whole, input=text, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return text


def written(path: Path, tool: str, parts: dict[str, str]) -> str:
    """The text of a file with these contents in its regions."""
    text = path.read_text(encoding="utf-8")
    for name, content in parts.items():
        text = spliced(text, path, tool, name, content)
    return formatted(text, path) if path.suffix in (".py", ".pyi") else text


def write(texts: dict[Path, str], tool: str, source: str) -> None:
    """Write the files or, to check, name those that would change."""
    stale = {
        path: text for path, text in texts.items() if not path.exists() or text != path.read_text(encoding="utf-8")
    }
    if "--check" in sys.argv and stale:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        raise SystemExit(f"not what {source}: {names}; run `make {tool}`")
    for path, text in stale.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
