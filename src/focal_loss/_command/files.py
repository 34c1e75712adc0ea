"""Files and directories that are written completely or not at all."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from focal_loss._command.errors import UserError

AT_FDCWD, RENAME_EXCHANGE = -100, 2  # constants of Linux


def checked(directory: Path, force: bool, in_the_way: Callable[[Path], str]) -> Path:
    """The directory to write, with links resolved, after a check that it can be made or replaced, before any work is
    done.

    `in_the_way` describes the content of a directory that must not be replaced, or returns "".

    Raises
    ------
    UserError
        If the directory exists and must not be replaced, or cannot be written.
    """
    try:
        if directory.exists() and not directory.is_dir():
            raise UserError(f"{directory} is a file; choose another --out")
        directory = Path(os.path.realpath(directory))  # replaces the target of a link, not the link
        if directory.is_symlink():
            raise UserError(f"{directory} is a link to itself; choose another --out")
        str(directory).encode()
        here = Path.cwd()
        if directory in (here, *here.parents) or os.path.ismount(directory):
            raise UserError(f"{directory} cannot be replaced while it is in use; choose another --out")
        _check_replaceable(directory, force, in_the_way)
        there = next(parent for parent in directory.parents if parent.exists())
        with tempfile.TemporaryDirectory(prefix=f".{directory.name}.", dir=there):
            return directory
    except UnicodeEncodeError as error:  # boosters cannot write to such a path
        raise UserError(f"{directory} has a name that is not UTF-8; choose another --out") from error
    except OSError as error:
        raise UserError(f"cannot write to {directory}: {error.strerror}") from error


def _check_replaceable(directory: Path, force: bool, in_the_way: Callable[[Path], str]) -> None:
    if not directory.exists():
        return
    if not force:
        raise UserError(f"{directory} exists; choose another --out, or replace it with --force")
    what = in_the_way(directory)
    if what:
        raise UserError(f"{directory} holds {what}; choose another --out")


@contextmanager
def replacing(directory: Path, force: bool, in_the_way: Callable[[Path], str]) -> Iterator[Path]:
    """A temporary directory beside one that was `checked`. It takes that one's place at the end, if no error occurred.

    Raises
    ------
    UserError
        If something could not be written. If only the final renaming fails, because something else appeared in the
        place, the temporary directory stays, and the message names it.
    """
    new = None
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
        yield new
    except OSError as error:
        _remove(new)
        raise UserError(f"cannot write to {directory}: {error.strerror or error}") from error
    except BaseException:
        _remove(new)
        raise
    try:
        _check_replaceable(directory, force, in_the_way)
        new.chmod(_mode(directory, 0o777))
        _exchange(new, directory)
    except (OSError, UserError) as error:
        raise UserError(f"{error}; what this fit found is in {new}") from error


def _remove(directory: Path | None) -> None:
    if directory is not None:
        shutil.rmtree(directory, ignore_errors=True)


def _mode(path: Path, usual: int) -> int:
    """The permissions of an existing path, or those of a new one."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return usual & ~mask


def _exchange(new: Path, directory: Path) -> None:
    """Put `new` in the place of `directory`, atomically on Linux; elsewhere the old one is renamed first."""
    if not directory.exists():
        new.rename(directory)
        return
    if sys.platform == "linux":
        rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
        paths = (os.fsencode(new), os.fsencode(directory))
        if rename is not None and rename(AT_FDCWD, paths[0], AT_FDCWD, paths[1], RENAME_EXCHANGE) == 0:
            _remove(new)  # now the old one
            return
        if ctypes.get_errno() not in (0, errno.EINVAL, errno.ENOSYS):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    aside = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    directory.rename(aside / "old")
    try:
        new.rename(directory)
    except OSError:
        (aside / "old").rename(directory)
        raise
    _remove(aside)


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, which takes its place at the end if no error occurred.

    Raises
    ------
    UserError
        If something could not be written.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if path.exists() and not path.is_file():  # a pipe, or /dev/null
            yield path
            return
        path = Path(os.path.realpath(path))  # replaces the target of a link, not the link
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        try:
            yield Path(name)
            os.chmod(name, _mode(path, 0o666))
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"cannot write to {path}: {error.strerror or error}") from error
