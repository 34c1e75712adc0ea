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
import dataclasses
import json
import os
import shlex
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from focal_loss._command import urls
from focal_loss._command.arguments import UsageError, parser
from focal_loss._command.errors import UserError, first_line, printable
from focal_loss._command.sources import Source
from focal_loss._command.terminal import formulas, progress, say, tell


def run_fit(options: argparse.Namespace, command: str) -> None:
    present(options.data)
    from focal_loss._command import doubts, files, parts, store

    out = files.checked(options.out, options.force, store.in_the_way)
    if out in Path(os.path.realpath(options.data)).parents:
        raise UserError(f"{options.data} lies in {out}, which would be replaced; choose another --out")
    with ExitStack() as stack:
        data, train = parts.loaded(options, stack)
        data.notes.extend(doubts.about(data))
        search_and_write(options, command, out, data, train)


def search_and_write(
    options: argparse.Namespace, command: str, out: Path, data: Any, train: Callable[..., Any] | None
) -> None:
    from focal_loss._command import division, files, page, store, summary
    from focal_loss._command.report.render import render

    count = 1 if train else division.repeats(data, division.Question.of(options), options.repeats)
    search = search_of(options, data, options.seed, train is None)
    say_what_was_read(data)
    results = list(searched(options, data, search, train, count))
    result, rows = results[0], summary.comparisons(results)
    title = f"{options.data.name}: {data.target.name} = {data.target.positive}"
    html = render(page.content(results, rows, title, command))
    with files.replacing(out, options.force, store.in_the_way) as new:
        result.stored().save(new)
        metrics = {row.name: dataclasses.asdict(row) for row in rows}
        measured = {"metrics": metrics, "decision": summary.decision(result)}
        (new / "metrics.json").write_text(json.dumps(measured, indent=1))
        write_trials(page.trials(result), new / "trials.parquet")
        (new / "report.html").write_text(html, encoding="utf-8")
    lines = [summary.answer(rows[0]), summary.worth(result, rows[0]), summary.caution(results)]
    lines.append(summary.choice(result, rows[0]))
    lines.append(f"Report: {options.out / 'report.html'}")
    tell("\n".join(printable(line) for line in lines if line))


def search_of(options: argparse.Namespace, data: Any, seed: int, trains_here: bool) -> Any:
    from focal_loss._command.search import Search, Settings

    settings = Settings(options.engine, options.gamma, options.pos_weight, options.metric, options.folds, seed)
    learned, seen = len(data.train.y) if trains_here else 0, data.searched
    return Search(seen.X, seen.y, seen.weight, data.folds, settings, options.jobs, options.storage, learned)


def searched(
    options: argparse.Namespace, data: Any, search: Any, train: Callable[..., Any] | None, count: int
) -> Iterator[Any]:
    """The result of each of so many held-out parts, the first of which is that of `data`."""
    from focal_loss._command import division, fit
    from focal_loss._command.search import LOSSES

    trials = len(LOSSES) * options.trials
    seconds = None if options.time_limit is None else options.time_limit / count
    with progress(count * trials, options.metric) as report:
        for k in range(count):
            if k:
                seed = options.seed + k
                again = dataclasses.replace(division.Question.of(options), seed=seed)
                data = division.load(Source.given(options), again)
                search = search_of(options, data, seed, train is None)

            def shown(done: int, best: float | None, before: int = k * trials) -> None:
                report(before + done, best)

            yield fit.fit(data, search, trials=options.trials, seconds=seconds, report=shown, train=train)


def say_what_was_read(data: Any) -> None:
    from focal_loss._command import summary

    target = data.target
    positives = f"{target.labels.sum()} of them with {target.name} = {target.positive}"
    say(f"{len(target.labels)} rows, {positives}{summary.by_weight(data)}", *data.notes)


def write_trials(trials: list[Any], path: Path) -> None:
    import pandas as pd

    pd.DataFrame([vars(trial) for trial in trials]).to_parquet(path)


def run_predict(options: argparse.Namespace) -> None:
    present(options.data, options.directory)
    from focal_loss._command import files, predict, store

    needs_outcomes = options.precision is not None or options.recall is not None
    stored = store.Stored.load(options.directory, quickly=options.own_process and not needs_outcomes)
    threshold, remarks = chosen_threshold(stored, options)
    source = Source(options.data, not options.no_header, options.encoding)
    frame, notes = predict.answers(stored, source, options.keep, threshold)
    say(*notes, *remarks, *formulas(*options.keep, stored.positive, stored.negative))
    if options.out is None:
        tell(frame.to_csv(index=False).removesuffix("\n"), exact=True)
        return
    needed = [*options.directory.iterdir(), *([] if source.is_stream else [options.data])]
    if options.out.exists() and any(options.out.samefile(path) for path in needed):
        raise UserError(f"{options.out} is what is predicted from; choose another --out")
    with files.writing(options.out) as path:
        frame.to_csv(path, index=False)


def present(data: Path | None, directory: Path | None = None) -> None:
    """Refuse a mistyped path before the libraries are imported, which takes seconds."""
    if directory is not None and not directory.exists():
        raise UserError(f"{directory} holds no model: there is no such directory")
    if data is not None and str(data) != "-" and not data.exists():
        raise UserError(f"{data} is no file")


def run_export(options: argparse.Namespace) -> None:
    present(None, options.directory)
    from focal_loss._command import export

    tell(printable(str(export.write(options.directory, options.out))))


def chosen_threshold(stored: Any, options: argparse.Namespace) -> tuple[float, list[str]]:
    """The threshold, and a remark on what it rests on if a precision or a recall is asked for."""
    if options.threshold is not None:
        return float(options.threshold), []
    if options.cost is not None:
        return float(options.cost), []
    if options.precision is None and options.recall is None:
        return float(stored.threshold), []
    if options.recall is not None:
        found = stored.outcomes.for_recall(options.recall)
        basis = found.basis("positive rows were flagged out of fold")
        return found.threshold, [f"{basis}: a recall of at least {found.rate:.3g}, with 90 % confidence"]
    found = stored.outcomes.for_precision(options.precision)
    if found is None:
        most = stored.outcomes.most_precise()
        least = f"the highest is {most:g}" if most else "there are too few, or none can be told apart"
        raise UserError(f"no precision of {options.precision:g} can be promised from the rows out of fold; {least}")
    basis = found.basis("rows that were flagged out of fold were positive")
    return found.threshold, [f"{basis}: a precision of at least {found.rate:.3g}, with 90 % confidence"]


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
