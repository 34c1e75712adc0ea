"""Arguments of the `focal-loss` command."""

from __future__ import annotations

import argparse
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from focal_loss import __version__
from focal_loss._command.errors import UserError
from focal_loss._command.sources import text_encoding
from focal_loss._dispatch.frameworks import BOOSTERS

METRICS = ("average_precision", "roc_auc", "log_loss", "brier", "f1")
ABOUT = "The `focal-loss` command: does focal loss help on this table, and with which gamma?"


def number(low: float, high: float = math.inf, word: str | None = None) -> Callable[[str], float | None]:
    """The type of an argument: a number in [low, high], or a word that stands for None."""

    def parse(text: str) -> float | None:
        if text == word:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high or math.isinf(value):
            allowed = f"a number of at least {low:g}" if high == math.inf else f"a number in [{low:g}, {high:g}]"
            raise argparse.ArgumentTypeError(f"must be {allowed}{f' or {word}' if word else ''}, got {text!r}")
        return value

    return parse


def whole(low: int, high: int = 2**31 - 1) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch("-?[0-9]{1,10}", text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"must be a whole number in [{low}, {high}], got {text!r}")
        return int(text)

    return parse


def costs(text: str) -> float:
    """Turn FP:FN into the threshold of least expected cost, if probabilities are calibrated."""
    parts = text.split(":")
    try:
        alarm, miss = map(float, parts)
    except ValueError:
        alarm = miss = 0.0
    if not (alarm > 0 and miss > 0 and math.isfinite(alarm + miss)):
        raise argparse.ArgumentTypeError(f"must be two positive numbers such as 1:20, got {text!r}")
    return alarm / (alarm + miss)


class UsageError(UserError):
    """An invalid command line; the message names the subcommand."""


class Parser(argparse.ArgumentParser):
    """A parser that raises `UsageError` with one line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}; see {self.prog} --help")


def parser() -> Parser:
    whole_command = Parser(prog="focal-loss", description=ABOUT)
    whole_command.add_argument("--version", action="version", version=f"focal-loss {__version__}")
    commands = whole_command.add_subparsers(dest="command", required=True, metavar="{fit,predict,export,curve,demo}")
    add_fit(commands.add_parser("fit", help="search, compare with cross-entropy, write a model and a report"))
    add_predict(commands.add_parser("predict", help="probabilities and decisions of a model"))
    export = commands.add_parser("export", help="write such a model in a format that needs no Python")
    export.add_argument("directory", type=Path, metavar="DIR", help="the output of `focal-loss fit`")
    export.add_argument("--to", choices=("onnx",), required=True, help="the format")
    export.add_argument("--out", type=Path, metavar="FILE", help="(default: model.onnx in DIR)")
    curve = commands.add_parser("curve", help="the loss over the probability, for several gamma")
    curve.add_argument(
        "--gamma",
        type=number(0),
        nargs="+",
        default=[0.0, 0.5, 1.0, 2.0, 5.0],
        metavar="G",
        help="one curve for each (default: 0 0.5 1 2 5)",
    )
    curve.add_argument("--out", type=Path, default=Path("focal_loss.png"), help=".png or .svg (default: %(default)s)")
    demo = commands.add_parser("demo", help="fit on data that comes with scikit-learn")
    demo.add_argument(
        "--out", type=Path, default=Path("focal-loss-demo"), metavar="DIR", help="the output (default: %(default)s)"
    )
    demo.add_argument(
        "--trials", type=whole(1), default=8, metavar="N", help="trials of each loss (default: %(default)s)"
    )
    demo.add_argument("--force", action="store_true", help="replace an earlier DIR")
    return whole_command


def add_reading(command: argparse.ArgumentParser) -> None:
    command.add_argument("--no-header", action="store_true", help="the first line of the CSV file is data, not names")
    command.add_argument("--encoding", type=text_encoding, metavar="NAME", help="of the CSV file (default: UTF-8)")


def add_fit(fit: argparse.ArgumentParser) -> None:
    add_table(fit)
    add_division(fit.add_argument_group("which rows are held out"))
    add_search(fit.add_argument_group("the search"))
    add_dask(fit.add_argument_group("tables larger than memory"))
    fit.add_argument(
        "--out", type=Path, default=Path("focal-loss"), metavar="DIR", help="the output (default: %(default)s)"
    )
    fit.add_argument("--force", action="store_true", help="replace an earlier DIR")


def add_table(fit: argparse.ArgumentParser) -> None:
    fit.add_argument("data", type=Path, metavar="DATA", help="CSV, also .gz, .bz2, .zst, or Parquet, or - (stdin)")
    add_reading(fit)
    fit.add_argument("--target", required=True, metavar="COLUMN", help="the column to predict")
    fit.add_argument("--positive", metavar="VALUE", help="the class to find (default: 1, true, or the rarer of two)")
    fit.add_argument("--ignore", nargs="+", default=[], metavar="COLUMN", help="columns that are not learned from")
    fit.add_argument("--categorical", nargs="+", default=[], metavar="COLUMN", help="columns of words, such as codes")
    fit.add_argument("--weight", metavar="COLUMN", help="count each row as often as this column says")
    fit.add_argument("--drop-missing", action="store_true", help="leave out rows whose target is missing")
    decimals = "the sign before decimals, where a column leaves it open, as 1,500 does"
    fit.add_argument("--decimal", choices=[".", ","], metavar=".|,", help=decimals)


def add_division(rows: argparse._ArgumentGroup) -> None:
    rows.add_argument("--group", metavar="COLUMN", help="hold out whole groups, such as patients")
    rows.add_argument("--time", metavar="COLUMN", help="hold out the latest rows, and predict forward in every fold")
    rows.add_argument("--held-out", type=Path, metavar="FILE", help="rows to measure on, in a file of their own")
    parts = "held-out parts (default: 1, or 5 where one holds few rows)"
    rows.add_argument("--repeats", type=whole(1, 100), metavar="N", help=parts)


def add_search(search: argparse._ArgumentGroup) -> None:
    def add(name: str, what: str, **options: Any) -> None:
        search.add_argument(name, help=f"{what} (default: {options.pop('shown', '%(default)s')})", **options)

    of_positives, searched = "weight of the positives, that of negatives being 1", "auto, found by the search"
    add("--engine", "what grows the trees", choices=BOOSTERS, default="lightgbm")
    add("--gamma", "of the focal loss", type=number(0, 20, "auto"), metavar="auto|G", shown=searched)
    add("--pos-weight", of_positives, type=number(1e-3, 1e6, "auto"), metavar="auto|W", shown=searched)
    add("--metric", "by which trials are compared", choices=METRICS, default="average_precision")
    add("--trials", "trials of each loss", type=whole(1), default=30, metavar="N")
    add("--folds", "parts of the cross-validation", type=whole(2), default=5, metavar="K")
    add("--seed", "of the held-out rows and the search", type=whole(0), default=0, metavar="S")
    add("--jobs", "threads", type=whole(1, 1024), default=os.cpu_count() or 1, metavar="N", shown="all")
    limit = "end the search in time to train the final models within it"
    search.add_argument("--time-limit", type=number(0), metavar="SECONDS", help=limit)
    trials = "a database of trials, such as sqlite:///trials.db, to resume from"
    search.add_argument("--storage", metavar="URL", help=trials)


def add_dask(tables: argparse._ArgumentGroup) -> None:
    where = "train on a directory of Parquet files, here or by a scheduler of Dask"
    tables.add_argument("--dask", metavar="local|ADDRESS", help=where)
    rows = "rows of the search, and with --dask of the metrics (default: 200,000, or more where few are of a class)"
    tables.add_argument("--sample", type=whole(1), metavar="N", help=rows)


def add_predict(predict: argparse.ArgumentParser) -> None:
    predict.add_argument("directory", type=Path, metavar="DIR", help="the output of `focal-loss fit`")
    predict.add_argument("data", type=Path, metavar="DATA", help="CSV, also .gz, .bz2, .zst, or Parquet, or - (stdin)")
    add_reading(predict)
    predict.add_argument("--out", type=Path, metavar="FILE", help="a CSV file (default: standard output)")
    predict.add_argument(
        "--keep", nargs="+", default=[], metavar="COLUMN", help="copy these columns before the answers"
    )
    rule = predict.add_mutually_exclusive_group()
    rule.add_argument(
        "--threshold",
        type=number(0, 1),
        metavar="T",
        help="flag rows of at least this probability (default: that of the model)",
    )
    rule.add_argument("--precision", type=number(0, 1), metavar="P", help="flag as many rows as this allows")
    rule.add_argument("--recall", type=number(0, 1), metavar="R", help="flag as few rows as this needs")
    rule.add_argument("--cost", type=costs, metavar="FP:FN", help="costs of a false alarm and a miss")
