"""The rows that are held out, and the folds of the others: at random, by group, forward in time, or both.

A split must be like the use of the model. Where rows of one patient stand on both sides, a model that knows the patient
looks like one that knows the disease; where rows of one month do, one that knows the campaign.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, train_test_split

from focal_loss._command.errors import UserError

Array = Any
TEST_SHARE = 0.2
Folds = tuple[tuple[Array, Array], ...]  # (rows to learn from, rows to predict), of the rows that the search sees
SEARCHED, RARE = 200_000, 1_000  # rows that the search sees of larger tables, and the fewest of the rarer class of them


@dataclass(frozen=True)
class Split:
    """How rows are parted.

    `group` and `time` are whole numbers, one for each row: rows of one group stay together, and held out is the latest
    time. Either may be None.
    """

    labels: Array  # of bool
    group: Array | None
    time: Array | None
    folds: int
    seed: int

    def held_out(self) -> tuple[Array, Array]:
        """The rows of the training part and those of the held-out part, both ascending.

        With groups and times together, the training part lacks the rows of groups that are held out.
        """
        rows = np.arange(len(self.labels))
        if self.time is not None:
            late = self.time >= latest(self.time, TEST_SHARE)
            early = ~late if self.group is None else ~late & ~np.isin(self.group, self.group[late])
            return rows[early], rows[late]
        if self.group is not None:
            parts = StratifiedGroupKFold(round(1 / TEST_SHARE), shuffle=True, random_state=self.seed)
            return next(parts.split(rows, self.labels, self.group))
        train, test = train_test_split(rows, test_size=TEST_SHARE, stratify=self.labels, random_state=self.seed)
        return np.sort(train), np.sort(test)

    def sample(self, rows: Array, wanted: int | None) -> Array:
        """Positions in `rows`, ascending, of a random sample of so many of them, with the same share of positives;
        unless told, of `enough`.
        """
        labels = self.labels[rows]
        wanted = enough(labels) if wanted is None else wanted
        if wanted >= len(rows):
            return np.arange(len(rows))
        rng = np.random.default_rng(self.seed)
        both = (np.flatnonzero(labels), np.flatnonzero(~labels))
        positives = round(wanted * len(both[0]) / len(rows))
        return np.sort(
            np.concatenate([rng.choice(both[0], positives, False), rng.choice(both[1], wanted - positives, False)])
        )

    def within(self, rows: Array) -> Folds:
        """The folds of a training part, as positions in `rows`.

        In time there is one more block than folds: each block but the first is predicted from all before it.
        """
        labels, shuffled = self.labels[rows], {"shuffle": True, "random_state": self.seed}
        if self.time is not None:
            return self._forward(rows)
        if self.group is not None:
            folds = StratifiedGroupKFold(self.folds, **shuffled)
            return tuple(folds.split(np.zeros(len(rows)), labels, self.group[rows]))
        return tuple(StratifiedKFold(self.folds, **shuffled).split(np.zeros(len(rows)), labels))

    def _forward(self, rows: Array) -> Folds:
        assert self.time is not None
        time = self.time[rows]
        ends = [latest(time, 1 - k / (self.folds + 1)) for k in range(1, self.folds + 1)]
        found = []
        for begin, end in zip(ends, [*ends[1:], np.inf], strict=True):
            late = (time >= begin) & (time < end)
            early = time < begin
            if self.group is not None:
                early &= ~np.isin(self.group[rows], self.group[rows][late])
            found.append((np.flatnonzero(early), np.flatnonzero(late)))
        return tuple(found)


def enough(labels: Array) -> int:
    """The number of rows that a search sees of so many: 200,000, or more where these hold few rows of a class."""
    rarer = max(1, min(labels.sum(), (~labels).sum()))
    return max(SEARCHED, int(np.ceil(RARE * len(labels) / rarer)))


def latest(time: Array, share: float) -> Any:
    """The earliest time of about this share of the rows, the latest ones. Rows of one time stay together."""
    return np.sort(time)[round((1 - share) * len(time))]


def refuse_one_class(split: Split, train: Array, test: Array, folds: Folds, names: tuple[str, str]) -> None:
    """Refuse a part, or a fold, without both classes.

    Raises
    ------
    UserError
        If a part holds one class only, with the class that it lacks, out of `names` of the negatives and positives.
    """
    parts = [("the training part", split.labels[train]), ("the held-out part", split.labels[test])]
    for learned, predicted in folds:
        parts += [("a fold", split.labels[train][predicted]), ("what a fold learns from", split.labels[train][learned])]
    for which, labels in parts:
        if not len(labels) or labels.all() or not labels.any():
            lacking = names[0] if len(labels) and labels.all() else names[1]
            by = " and ".join(f"--{name}" for name in ("group", "time") if getattr(split, name) is not None)
            remedy = "give fewer --folds" if "fold" in which else "collect more, or split by another column"
            raise UserError(f"by {by or 'chance'} {which} holds no row that is {lacking!r}; {remedy}")
