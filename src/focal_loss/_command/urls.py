"""URLs of databases, of which no password is printed, however it is mistyped: not in a message, a report, a record.

What cannot be a secret is listed, not what is one: of a URL that is not written as one should be, no part is shown.
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
# A path may hold any sign, but not both of those between which a password stands.
FILE = re.compile(r"(?P<file>sqlite:///([^?@]*|[^?:]*))(?P<query>\?.*)?", re.DOTALL)
PLAIN = re.compile(r"[^:@?&=;\s]*")  # a name or a path
SUSPECT = re.compile(r"://|:[^@]*@|(pass\w*|pwd|token|secret)=", re.IGNORECASE)


def shown(url: str) -> str:
    """Without its password; of a URL that is mistyped the dialect at most."""
    file = FILE.fullmatch(url)
    if file or PLAIN.fullmatch(url):
        return url if not file or not file["query"] else f"{file['file']}?{HIDDEN}"
    found = URL.fullmatch(url)
    if found is None:
        return "".join(re.findall(r"^[a-z][\w+.-]*://", url)) + HIDDEN
    user = "" if found["user"] is None else f"{found['user']}{':' + HIDDEN if found['password'] else ''}@"
    port = found["port"] or "" if user else f":{HIDDEN}" if found["port"] else ""  # which may be a password, without @
    return f"{found['scheme']}{user}{found['host']}{port}{found['name'] or ''}{'?' + HIDDEN if found['query'] else ''}"


def secret(url: str) -> str:
    """What `shown` does not show."""
    file = FILE.fullmatch(url)
    if file or PLAIN.fullmatch(url):
        return file["query"] or "" if file else ""
    found = URL.fullmatch(url)
    if found is None:
        return re.sub(r"^[a-z][\w+.-]*://", "", url)
    parts = (found["password"], found["query"], None if found["user"] is not None else found["port"])
    return " ".join(part for part in parts if part)


def said_of(url: str, error: BaseException) -> str:
    """What a library says in its first line, unless that repeats what is not to be shown."""
    text, kept = first_line(error), secret(url)
    words = set(re.findall(r"\w+", f"{kept} {unquote(kept)} {kept!a}".lower()))
    told = set(re.findall(r"\w+", text.lower()))
    if not any(word in told or (len(word) > 2 and word in text.lower()) for word in words):
        return text
    return f"{type(error).__name__}, in words that repeat a part of the URL; {FORM}"


def censored(text: str, arguments: Iterable[str]) -> str:
    """A message about arguments, one of which may be a URL that stands where something else should."""
    for argument in arguments:
        for form in (argument, repr(argument)[1:-1], str(Path(argument))):
            text = text.replace(form, argument_shown(argument)) if SUSPECT.search(argument) else text
    return text


def argument_shown(argument: str, is_url: bool = False) -> str:
    """An argument of the command, as it may be read by others."""
    name, sign, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    return name + sign + (shown(value) if is_url or SUSPECT.search(argument) else value)
