"""The `focal-loss` command: does focal loss help on this table, and with which gamma?

    focal-loss fit DATA --target COLUMN       search, compare with cross-entropy, write a model and a report
    focal-loss predict DIR DATA               probabilities and decisions of such a model
    focal-loss export DIR --to onnx           the model in a file that needs no Python
    focal-loss curve                          the loss over the probability, for several gamma
    focal-loss demo                           fit on data that comes with scikit-learn

User errors print one line to stderr and exit with status 2.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shlex
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NoReturn

from focal_loss._command import urls
from focal_loss._command.errors import UserError, first_line, printable
from focal_loss._dispatch.frameworks import BOOSTERS

METRICS = ("average_precision", "roc_auc", "log_loss", "brier", "f1")


# ---------------------------------------------------------------------------------------------------------------
# Arguments
# ---------------------------------------------------------------------------------------------------------------


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
    whole_command = Parser(prog="focal-loss", description=str(__doc__).splitlines()[0])
    commands = whole_command.add_subparsers(dest="command", required=True, metavar="{fit,predict,export,curve,demo}")
    add_fit(commands.add_parser("fit", help="search, compare with cross-entropy, write a model and a report"))
    add_predict(commands.add_parser("predict", help="probabilities and decisions of a model"))
    export = commands.add_parser("export", help="write such a model in a format that needs no Python")
    export.add_argument("directory", type=Path, metavar="DIR", help="the output of `focal-loss fit`")
    export.add_argument("--to", choices=("onnx",), required=True)
    export.add_argument("--out", type=Path, metavar="FILE", help="(default: model.onnx in DIR)")
    curve = commands.add_parser("curve", help="the loss over the probability, for several gamma")
    curve.add_argument("--gamma", type=number(0), nargs="+", default=[0.0, 0.5, 1.0, 2.0, 5.0], metavar="G")
    curve.add_argument("--out", type=Path, default=Path("focal_loss.png"), help=".png or .svg (default: %(default)s)")
    demo = commands.add_parser("demo", help="fit on data that comes with scikit-learn")
    demo.add_argument("--out", type=Path, default=Path("build/demo/fit"), help="(default: %(default)s)")
    demo.add_argument("--trials", type=whole(1), default=8, metavar="N", help="(default: %(default)s)")
    demo.add_argument("--force", action="store_true", help="replace an earlier DIR")
    return whole_command


def add_fit(fit: argparse.ArgumentParser) -> None:
    fit.add_argument("data", type=Path, metavar="DATA", help="a CSV file, also .gz or .bz2, or Parquet, or a directory")
    fit.add_argument(
        "--dask", metavar="local|ADDRESS", help="train on a directory of Parquet files, here or by a scheduler of Dask"
    )
    fit.add_argument(
        "--sample-rows", type=whole(1), default=200_000, metavar="N",
        help="with --dask, the rows that the search and the metrics see (default: %(default)s)",
    )  # fmt: skip
    fit.add_argument("--target", required=True, metavar="COLUMN", help="the column to predict")
    fit.add_argument("--positive", metavar="VALUE", help="the class to find (default: 1, true, or the rarer of two)")
    fit.add_argument("--engine", choices=BOOSTERS, default="lightgbm", help="(default: %(default)s)")
    fit.add_argument("--gamma", type=number(0, 20, "auto"), metavar="auto|G", help="(default: auto)")
    fit.add_argument("--pos-weight", type=number(1e-3, 1e6, "auto"), metavar="auto|W", help="(default: auto)")
    fit.add_argument("--metric", choices=METRICS, default="average_precision", help="(default: %(default)s)")
    fit.add_argument(
        "--trials", type=whole(1), default=30, metavar="N", help="trials of each loss (default: %(default)s)"
    )
    fit.add_argument("--folds", type=whole(2), default=5, metavar="K", help="(default: %(default)s)")
    fit.add_argument(
        "--time-limit", type=number(0), metavar="SECONDS", help="start no trial after it, except the first of each loss"
    )
    fit.add_argument(
        "--storage", metavar="URL", help="a database of trials, such as sqlite:///trials.db, to resume from"
    )
    fit.add_argument(
        "--jobs", type=whole(1, 1024), default=os.cpu_count() or 1, metavar="N", help="threads (default: all)"
    )
    fit.add_argument("--seed", type=whole(0), default=0, metavar="S", help="(default: %(default)s)")
    fit.add_argument("--drop-missing", action="store_true", help="leave out rows whose target is missing")
    fit.add_argument("--out", type=Path, default=Path("focal-loss"), metavar="DIR", help="(default: %(default)s)")
    fit.add_argument("--force", action="store_true", help="replace an earlier DIR")


def add_predict(predict: argparse.ArgumentParser) -> None:
    predict.add_argument("directory", type=Path, metavar="DIR", help="the output of `focal-loss fit`")
    predict.add_argument("data", type=Path, metavar="DATA", help="a CSV file, also .gz or .bz2, or Parquet")
    predict.add_argument("--out", type=Path, metavar="FILE", help="a CSV file (default: standard output)")
    predict.add_argument(
        "--keep", nargs="+", default=[], metavar="COLUMN", help="copy these columns before the answers"
    )
    rule = predict.add_mutually_exclusive_group()
    rule.add_argument("--threshold", type=number(0, 1), metavar="T", help="flag rows of at least this probability")
    rule.add_argument("--precision", type=number(0, 1), metavar="P", help="flag as many rows as this precision allows")
    rule.add_argument("--recall", type=number(0, 1), metavar="R", help="flag as few rows as this recall needs")
    rule.add_argument("--cost", type=costs, metavar="FP:FN", help="costs of a false alarm and a miss")


# ---------------------------------------------------------------------------------------------------------------
# Commands
# ---------------------------------------------------------------------------------------------------------------


def run_fit(options: argparse.Namespace, command: str) -> None:
    present(options.data)
    from focal_loss._command import files, parts, store

    out = files.checked(options.out, options.force, store.in_the_way)
    if out in Path(os.path.realpath(options.data)).parents:
        raise UserError(f"{options.data} lies in {out}, which would be replaced; choose another --out")
    with ExitStack() as stack:
        data, train = parts.loaded(options, stack)
        search_and_write(options, command, out, data, train)


def search_and_write(
    options: argparse.Namespace, command: str, out: Path, data: Any, train: Callable[..., Any] | None
) -> None:
    from focal_loss._command import files, fit, store, summary
    from focal_loss._command.report.render import render
    from focal_loss._command.search import Search, Settings

    settings = Settings(options.engine, options.gamma, options.pos_weight, options.metric, options.folds, options.seed)
    search = Search(data.train.X, data.train.y, settings, options.jobs, options.storage)
    say_what_was_read(data)
    with progress(2 * options.trials, options.metric) as report:
        result = fit.fit(data, search, trials=options.trials, seconds=options.time_limit, report=report, train=train)
    rows = summary.comparisons(result)
    title = f"{options.data.name}: {data.target.name} = {data.target.positive}"
    page = render(summary.page(result, rows, title, command))
    with files.replacing(out, options.force, store.in_the_way) as new:
        result.stored().save(new)
        measured = {"metrics": {row.name: vars(row) for row in rows}, "decision": summary.decision(result)}
        (new / "metrics.json").write_text(json.dumps(measured, indent=1))
        write_trials(summary.trials(result), new / "trials.parquet")
        (new / "report.html").write_text(page, encoding="utf-8")
    lines = [summary.answer(rows[0]), summary.caution(result), summary.choice(result)]
    lines.append(f"Report: {options.out / 'report.html'}")
    tell("\n".join(printable(line) for line in lines if line))


def tell(text: str, exact: bool = False) -> None:
    """Print a result to standard output. Characters that its encoding lacks are escaped, unless `exact`.

    Raises
    ------
    UserError
        If the text cannot be written.
    """
    if sys.stdout is None:
        raise UserError("standard output is closed")
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(text if exact else text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:
        raise
    except UnicodeEncodeError as error:
        sign = error.object[error.start]
        raise UserError(f"standard output is {encoding}, which has no {sign!a}; give --out, or PYTHONUTF8=1") from error
    except OSError as error:
        raise UserError(f"cannot write to standard output: {error.strerror}") from error


def say(*lines: str) -> None:
    """Print remarks to standard error."""
    for line in lines if sys.stderr is not None else ():
        print(printable(line), file=sys.stderr)


def say_what_was_read(data: Any) -> None:
    target = data.target
    positives = f"{target.labels.sum()} of them with {target.name} = {target.positive}"
    say(f"{len(target.labels)} rows, {positives}", *data.notes)


def write_trials(trials: list[Any], path: Path) -> None:
    import pandas as pd

    pd.DataFrame([vars(trial) for trial in trials]).to_parquet(path)


@contextmanager
def progress(total: int, metric: str) -> Iterator[Callable[[int, float | None], None]]:
    """A bar on standard error, with the best score so far."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("trials"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total)

        def report(done: int, best: float | None) -> None:
            shown = "" if best is None else f"best {metric} of focal loss {best:.4f}"
            bar.update(task, completed=done, description=shown)

        yield report


def run_predict(options: argparse.Namespace) -> None:
    present(options.data, options.directory)
    from focal_loss._command import files, predict, store

    plain = options.precision is None and options.recall is None
    stored = store.Stored.load(options.directory, quickly=plain and options.own_process)
    threshold = chosen_threshold(stored, options)
    frame, notes = predict.answers(stored, options.data, options.keep, threshold)
    say(*notes, *formulas(*options.keep, stored.positive, stored.negative))
    if options.out is None:
        tell(frame.to_csv(index=False).removesuffix("\n"), exact=True)
        return
    needed = [options.data, *options.directory.iterdir()]
    if options.out.exists() and any(options.out.samefile(path) for path in needed):
        raise UserError(f"{options.out} is what is predicted from; choose another --out")
    with files.writing(options.out) as path:
        frame.to_csv(path, index=False)


def present(data: Path | None, directory: Path | None = None) -> None:
    """Refuse a mistyped path before the libraries are imported, which takes seconds."""
    if directory is not None and not directory.exists():
        raise UserError(f"{directory} holds no model: there is no such directory")
    if data is not None and not data.exists():
        raise UserError(f"{data} is no file")


def run_export(options: argparse.Namespace) -> None:
    present(None, options.directory)
    from focal_loss._command import export

    tell(printable(str(export.write(options.directory, options.out))))


def formulas(*written: str) -> list[str]:
    """Remarks on words that a spreadsheet would take for formulas. They are data, and are written unchanged."""
    return [
        f"{word!r} begins as a formula does, and is written as it is: open the file as text, not in a spreadsheet"
        for word in written
        if re.match(r"[=+\-@\t\r\n]", word) and not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", word)
    ]


def chosen_threshold(stored: Any, options: argparse.Namespace) -> float:
    if options.threshold is not None:
        return float(options.threshold)
    if options.cost is not None:
        return float(options.cost)
    if options.recall is not None:
        return float(stored.outcomes.for_recall(options.recall))
    if options.precision is None:
        return float(stored.threshold)
    found = stored.outcomes.for_precision(options.precision)
    if found is None:
        raise UserError(f"no threshold had a precision of {options.precision:g} out of fold; ask for less")
    return float(found)


def run_curve(options: argparse.Namespace) -> None:
    import matplotlib as mpl
    import numpy as np

    from focal_loss._command import files
    from focal_loss.numpy import binary_focal_loss

    form = options.out.suffix.lower().removeprefix(".")
    if form not in ("png", "svg"):
        raise UserError(f"--out must end in .png or .svg, got {options.out.name}")
    mpl.use("Agg")
    from matplotlib import pyplot

    probabilities = np.linspace(0, 1, 501)[1:]
    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for gamma in options.gamma:
        label = rf"$\gamma$ = {gamma:g}{'' if gamma else ' (cross-entropy)'}"
        axes.plot(probabilities, binary_focal_loss(1, probabilities, gamma=gamma), label=label)
    axes.set(xlim=(0, 1), ylim=(0, 4), xlabel=r"Probability of positive class $\hat{p}$", ylabel="Loss")
    axes.set_title(r"Focal loss $L(1, \hat{p})$ for different $\gamma$")
    axes.legend(loc="upper right", frameon=False)
    with files.writing(options.out) as path:
        figure.savefig(path, dpi=130, format=form)
    tell(str(options.out))


def run_demo(options: argparse.Namespace) -> None:
    from sklearn.datasets import load_diabetes

    bundle = load_diabetes(as_frame=True)
    table = bundle.data.assign(fast=bundle.target > bundle.target.quantile(0.85))
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "diabetes.csv"
        table.to_csv(path, index=False)
        share, rows = f"{table.fast.mean():.0%}", len(table)
        tell(f"Who of {rows} diabetes patients (Efron et al., 2004) is of the {share} that fare worst in a year?")
        given = ["fit", str(path), "--target", "fast", "--trials", str(options.trials), "--jobs", "1"]
        given += ["--out", str(options.out), *(["--force"] if options.force else [])]
        run_fit(parser().parse_args(given), "focal-loss demo")


def written(given: Sequence[str]) -> str:
    """The command line for the report, to be run again, with passwords hidden."""
    before = ("", *given)
    is_url = (name == "--storage" or value.startswith("--storage=") for name, value in zip(before, given, strict=False))
    return shlex.join(["focal-loss", *map(urls.argument_shown, given, is_url)])


def line_of(error: BaseException) -> str:
    """The line that the command prints for an error."""
    if isinstance(error, UsageError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return f"focal-loss: {error.name} is not installed: pip install 'focal-loss[cli]'"
    if isinstance(error, MemoryError):
        return f"focal-loss: there is not enough memory, {first_line(error)}; give fewer rows or columns"
    if isinstance(error, OSError):  # the system refuses a path
        return f"focal-loss: {error.filename or 'a file'}: {error.strerror or first_line(error)}"
    return f"focal-loss: {error}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    commands: dict[str, Callable[..., None]] = {
        "fit": run_fit,
        "predict": run_predict,
        "export": run_export,
        "curve": run_curve,
        "demo": run_demo,
    }
    try:
        options = parser().parse_args(given, argparse.Namespace(own_process=arguments is None))
        warnings.filterwarnings("ignore", module="optuna|lightgbm|xgboost|catboost|sklearn")
        more = (written(given),) if options.command == "fit" else ()
        commands[options.command](options, *more)
    except BrokenPipeError:  # as under `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    except (UserError, ModuleNotFoundError, MemoryError, OSError) as error:
        say(urls.censored(line_of(error), given))
        return 2
    return 0
