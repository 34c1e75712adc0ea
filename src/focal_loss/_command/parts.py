"""A table in several Parquet files, which need not fit into the memory of one machine: a sample of its rows, which the
search sees, and the training on all other rows, by Dask.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from focal_loss._command import boosters, delimited, division, fit, reading, splits, targets, weights
from focal_loss._command.columns import written
from focal_loss._command.errors import UserError, first_line, nearest
from focal_loss._command.search import Best, Loss, Search
from focal_loss._command.sources import Source

Array = Any
ALONE = ("group", "time", "held_out")  # options that split a table in memory
LABEL, WEIGHT = "label", "weight"  # the booster's columns are named otherwise
BATCH = 1 << 14  # rows in memory while a file is searched for those of the sample


def loaded(options: Any, stack: ExitStack) -> tuple[division.Data, fit.Train | None]:
    """The table that the options of the command name, and the function that trains on all of it, if that is Dask's.
    A connection to Dask lasts as long as the stack.

    Raises
    ------
    UserError
        If it cannot be learned from, or Dask cannot.
    """
    if options.dask is None:
        return division.load(Source.given(options), division.Question.of(options)), None
    given = [f"--{name.replace('_', '-')}" for name in (*ALONE, "repeats") if getattr(options, name) not in (None, 1)]
    if given:
        raise UserError(f"{given[0]} splits a table in memory, and --dask takes none; give one of them")
    if boosters.booster(options.engine).on_dask is None:
        raise UserError(f"{options.engine} does not learn by Dask; choose --engine lightgbm or xgboost")
    if not options.data.is_dir():
        raise UserError(f"{options.data} must be a directory of Parquet files with --dask")
    found = load(
        Source.given(options), division.Question.of(options), options.engine, options.sample or splits.SEARCHED
    )
    return found.data, found.trainer(stack.enter_context(connected(options.dask, options.jobs)))


@dataclass(frozen=True)
class Parts:
    """The files, the rows of each that are held out, and how the rest becomes columns, labels and weights."""

    files: tuple[Path, ...]
    held: tuple[Array, ...]
    data: division.Data
    engine: str
    weighing: weights.Weighing

    def read(self, k: int) -> pd.DataFrame:
        """The training rows of one file: the columns as the booster takes them, the labels, and weights if there are
        any.
        """
        table = reading.read(self.files[k])
        keep = np.ones(table.num_rows, bool)
        keep[self.held[k]] = False
        table = table.filter(pa.array(keep))
        table = table.filter(targets.known(table.column(self.data.target.name)))
        table, _ = self.weighing.above_0(table, Source.of(self.files[k]))
        (frame,) = self.data.schema.frames(table, self.files[k])
        X, _ = boosters.columns_for(self.engine, frame)
        words = written(table.column(self.data.target.name))
        labels = pa.compute.equal(words, self.data.target.positive).to_numpy(zero_copy_only=False)
        return self.joined(X, labels, self.weighing.read(table, Source.of(self.files[k])))

    def joined(self, X: pd.DataFrame, labels: Array, weight: Array | None) -> pd.DataFrame:
        """Columns, labels and weights in one table."""
        return X.assign(**{LABEL: labels}, **({} if weight is None else {WEIGHT: weight}))

    def trainer(self, client: Any) -> Callable[[Search, Loss, Best], Any]:
        """A function that trains the best trial of a loss on all files, for `fit.fit`."""
        frames = importlib.import_module("dask.dataframe")
        X, _ = boosters.columns_for(self.engine, self.data.train.X.iloc[:0])
        weight = weights.taken(self.data.train.weight, slice(0))
        meta = self.joined(X, np.empty(0, bool), weight)
        rows = client.persist(frames.from_map(self.read, range(len(self.files)), meta=meta))
        columns, labels = rows[list(X.columns)], rows[LABEL]
        if weight is not None:
            weight = weights.relative(rows[WEIGHT])

        def train(search: Search, loss: Loss, best: Best) -> Any:
            given = search.booster.parameters(best.parameters, best.rounds, search.jobs, search.settings.seed)
            given.pop(search.booster.jobs)  # each worker has its own number of threads
            assert search.booster.on_dask is not None
            model = search.booster.on_dask(client, **({} if loss == "focal" else {"gamma": 0.0}), **given)
            return model.fit(columns, labels, sample_weight=weight).to_local()

        return train


def load(place: Path | Source, asked: division.Question, engine: str, rows: int) -> Parts:
    """Draw the sample, and split it as `division.load` splits a table.

    Raises
    ------
    UserError
        If there is no Parquet file, or the files cannot be learned from.
    """
    place = Source.of(place)
    directory = place.path
    files = reading.parquet_files(directory)
    folder = next((path.parent for path in files if "=" in str(path.parent.relative_to(directory))), None)
    if folder:
        raise UserError(f"{folder} is a column of its own, which --dask cannot read; write it into the files")
    counted = {path: rows_of(path, files[0]) for path in files}
    files, sizes = tuple(path for path in files if counted[path]), [rows for rows in counted.values() if rows]
    whole = sum(sizes)
    if not whole:
        raise UserError(f"{directory} has no rows")
    chosen = np.sort(np.random.default_rng(asked.seed).choice(whole, min(rows, whole), replace=False))
    ends = np.cumsum(sizes)
    picked = [chosen[np.searchsorted(chosen, end - n) : np.searchsorted(chosen, end)] - (end - n)
              for end, n in zip(ends, sizes, strict=True)]  # fmt: skip
    sampled = [sample(path, rows, asked.target) for path, rows in zip(files, picked, strict=True)]
    drawn, missing = zip(*sampled, strict=True)
    if sum(missing) and not asked.drop_missing:
        raise targets.missing_target(asked.target, sum(missing), directory)
    table = pa.concat_tables(drawn)
    origin = np.column_stack([np.repeat(np.arange(len(files)), [len(p) for p in picked]), np.concatenate(picked)])
    there = targets.known(table.column(asked.target)).to_numpy(zero_copy_only=False)
    table, origin = table if there.all() else table.filter(pa.array(there)), origin[there]
    weighing, _ = division.weighing_of(table, asked, place)
    weightless = sum(without_weight(path, weighing, asked.target) for path in files)
    table, there = weighing.above_0(table, place)
    origin = origin[there]
    data, (train, test) = division.divided(table, replace(asked, drop_missing=True, sample=table.num_rows), place)
    held = tuple(origin[test][origin[test, 0] == k, 1] for k in range(len(files)))
    learned = whole - sum(missing) - weightless - len(test)
    data.notes.insert(
        0,
        f"{len(files)} files hold {whole} rows. The search saw a random sample of {len(train)}; the metrics, their "
        f"intervals and the test of the threshold are from {len(test)} other rows; then Dask trained the models on "
        f"{learned}, all but those, with the parameters and the number of rounds that the search chose",
    )
    data.notes.extend(weights.left_out(weightless))
    return Parts(files, held, data, engine, weighing)


def rows_of(path: Path, first: Path) -> int:
    """The number of rows of a file, which must have the columns of the first."""
    try:
        names, expected = (pyarrow.parquet.read_schema(file).names for file in (path, first))
        count = pyarrow.parquet.read_metadata(path).num_rows
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"cannot read {path}: {first_line(error)}") from error
    delimited.refuse_twins(names, path)
    reading.refuse_other_columns(path, names, first, expected)
    return int(count)


def sample(path: Path, rows: Array, target: str) -> tuple[pa.Table, int]:
    """These rows of a file, and the number of all its rows without a target; the file is never in memory as a whole."""
    columns, missing = [], 0
    try:
        # Buffers of a row group, and threads, would each take as much memory as the file does.
        file = pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=1 << 16)
        schema = file.schema_arrow
        if target not in schema.names:
            raise UserError(f"{path} has no column {target!r}; {nearest(target, schema.names)}")
        for field in schema:
            # However few rows are read at a time, their page is decoded as a whole, and the dictionary of its column.
            # Where a row group has few pages, those of all columns would take more memory than the file.
            found, begin = [], 0
            for batch in file.iter_batches(BATCH, columns=[field.name], use_threads=False):
                column = batch.column(field.name)
                low, high = np.searchsorted(rows, [begin, begin + len(column)])
                found.append(column.take(pa.array(rows[low:high] - begin)))
                begin += len(column)
                if field.name == target:
                    missing += len(column) - pa.compute.sum(targets.known(column)).as_py()
            columns.append(pa.chunked_array(found, field.type))
            reading.give_memory_back()  # or what its pages leave adds up to the file
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"cannot read {path}: {first_line(error)}") from error
    return pa.Table.from_arrays(columns, schema=schema), missing


def without_weight(path: Path, weighing: weights.Weighing, target: str) -> int:
    """The number of rows of a file that have a target and the weight 0. All weights are checked before the search.

    Raises
    ------
    UserError
        If a weight is missing, negative or infinite, or the file cannot be read.
    """
    if weighing.column is None:
        return 0
    nothing, missing, low, high = 0, 0, 1.0, 1.0
    try:
        file = pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=1 << 16)
        for batch in file.iter_batches(BATCH, columns=[weighing.name, target], use_threads=False):
            table = pa.Table.from_batches([batch])
            weight = weighing.numbers(table.filter(targets.known(table.column(target))), Source.of(path))
            nothing, missing = nothing + int((weight == 0).sum()), missing + int(np.isnan(weight).sum())
            least, most = weights.ends(weight)
            low, high = min(low, least), max(high, most)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"cannot read {path}: {first_line(error)}") from error
    weighing.refuse(missing, low, high, Source.of(path))
    reading.give_memory_back()
    return nothing


@contextmanager
def connected(address: str, threads: int) -> Iterator[Any]:
    """A client of a scheduler, or of one process on this machine for 'local'.

    Raises
    ------
    UserError
        If Dask is not installed, or there is no scheduler.
    """
    try:
        distributed = importlib.import_module("distributed")
        importlib.import_module("dask.dataframe")
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed: pip install 'focal-loss[dask]'") from error
    if address == "local":
        kind = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "memory_limit": 0}
        with (
            distributed.LocalCluster(n_workers=1, threads_per_worker=threads, **kind) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = distributed.Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot reach the scheduler {address}: {first_line(error)}") from error
    with client:
        yield client
