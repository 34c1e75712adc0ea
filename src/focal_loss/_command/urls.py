"""URLs of databases, whose passwords appear in no message, report or record, however they are mistyped.

The patterns list what cannot be a secret, rather than secrets: no part of a malformed URL is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

from focal_loss._command.errors import first_line

HIDDEN = "***"
FORM = "a URL reads dialect://user:password@host/name, with %40 for an @ in a password, %3A for a : and %2F for a /"
URL = re.compile(
    r"(?P<scheme>[a-z][\w+.-]*://)"
    r"((?P<user>[\w.-]*)(?P<password>:[^:/@?#]*)?@)?"
    r"(?P<host>[\w.-]*|\[[0-9a-f:.]+\])(?P<port>:\d+)?(?P<name>/[\w./-]*)?(?P<query>\?.*)?",
    re.DOTALL,
)
# A path may hold any character, but not both : and @, between which a password stands.
FILE = re.compile(r"(?P<file>sqlite:///([^?@]*|[^?:]*))(?P<query>\?.*)?", re.DOTALL)
PLAIN = re.compile(r"[^:@?&=;\s]*")  # a name or a path
SUSPECT = re.compile(r"://|:[^@]*@|(pass\w*|pwd|token|secret)=", re.IGNORECASE)


def shown(url: str) -> str:
    """A URL without its password; at most the dialect of a mistyped one."""
    file = FILE.fullmatch(url)
    if file or PLAIN.fullmatch(url):
        return url if not file or not file["query"] else f"{file['file']}?{HIDDEN}"
    found = URL.fullmatch(url)
    if found is None:
        return "".join(re.findall(r"^[a-z][\w+.-]*://", url)) + HIDDEN
    user = "" if found["user"] is None else f"{found['user']}{':' + HIDDEN if found['password'] else ''}@"
    port = found["port"] or "" if user else f":{HIDDEN}" if found["port"] else ""  # without @ it may be a password
    return f"{found['scheme']}{user}{found['host']}{port}{found['name'] or ''}{'?' + HIDDEN if found['query'] else ''}"


def secret(url: str) -> str:
    """The parts of a URL that `shown` hides."""
    file = FILE.fullmatch(url)
    if file or PLAIN.fullmatch(url):
        return file["query"] or "" if file else ""
    found = URL.fullmatch(url)
    if found is None:
        return re.sub(r"^[a-z][\w+.-]*://", "", url)
    parts = (found["password"], found["query"], None if found["user"] is not None else found["port"])
    return " ".join(part for part in parts if part)


def said_of(url: str, error: BaseException) -> str:
    """The first line of a library's error, unless it repeats a part that `shown` hides."""
    text, kept = first_line(error), secret(url)
    words = set(re.findall(r"\w+", f"{kept} {unquote(kept)} {kept!a}".lower()))
    told = set(re.findall(r"\w+", text.lower()))
    if not any(word in told or (len(word) > 2 and word in text.lower()) for word in words):
        return text
    return f"{type(error).__name__}, in words that repeat a part of the URL; {FORM}"


def censored(text: str, arguments: Iterable[str]) -> str:
    """A message without the secrets of arguments, since a URL may stand where another argument belongs."""
    for argument in arguments:
        for form in (argument, repr(argument)[1:-1], str(Path(argument))):
            text = text.replace(form, argument_shown(argument)) if SUSPECT.search(argument) else text
    return text


def argument_shown(argument: str, is_url: bool = False) -> str:
    """An argument of the command without secrets."""
    name, sign, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    return name + sign + (shown(value) if is_url or SUSPECT.search(argument) else value)
