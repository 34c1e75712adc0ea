"""The content of a report: plain numbers, strings, lists and dictionaries, which `dataclasses.asdict` turns into
JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Bins", "Comparison", "Curve", "Estimate", "Outcomes", "Report", "Row", "Swarm", "Table", "Trial"]


@dataclass(frozen=True)
class Estimate:
    """A value on the held-out part, and its 95 % interval by a bootstrap over the examples."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """One metric on the held-out part.

    Attributes
    ----------
    name : str
        The metric as a reader knows it, such as "average precision".
    models : dict of str to Estimate
        The metric of the best model of each loss, by the loss.
    rival : str
        The loss that the focal one is compared with, one of `models`.
    low, high : float
        The 95 % interval of focal - rival, by a paired bootstrap over the examples.
    floor : float
        The metric of no model: every example has the probability of the positives in training.
    higher_is_better : bool
        Whether more of it is better.
    """

    name: str
    models: dict[str, Estimate]
    rival: str
    low: float
    high: float
    floor: float
    higher_is_better: bool

    @property
    def difference(self) -> float:
        """The value of the focal loss less that of its rival."""
        return self.models["focal"].value - self.models[self.rival].value


@dataclass(frozen=True)
class Curve:
    """The points of a line, in the order in which it is drawn."""

    x: list[float]
    y: list[float]


@dataclass(frozen=True)
class Bins:
    """A reliability diagram.

    Attributes
    ----------
    mean : list of float
        The mean prediction in each bin that holds an example, ascending.
    frequency : list of float
        The fraction of positives in each.
    count : list of float
        The number of examples in each, or of independent examples of equal weight that tell as much.
    """

    mean: list[float]
    frequency: list[float]
    count: list[float]


@dataclass(frozen=True)
class Trial:
    """One trial of the search.

    Attributes
    ----------
    number : int
        The position in the order of trials, from 0.
    loss : {"focal", "weighted cross-entropy", "cross-entropy"}
        The loss of the training.
    gamma : float or None
        The focusing parameter; None for cross-entropy.
    pos_weight : float
        The weight of the positives.
    score : float
        The metric, out of fold.
    """

    number: int
    loss: Literal["focal", "weighted cross-entropy", "cross-entropy"]
    gamma: float | None
    pos_weight: float
    score: float


@dataclass(frozen=True)
class Outcomes:
    """Counts on the held-out part, or sums of weights, at each threshold of the calibrated probability.

    Attributes
    ----------
    thresholds : list of float
        Ascending, at most 400. An example is flagged if its probability is at least the threshold. The page's slider
        steps from one to the next over an axis of log odds, so they are best spaced evenly there.
    tp, fp, fn, tn : list of float
        Flagged positives, false alarms, misses, and the negatives that are not flagged, or the sums of their weights;
        one number per threshold.
    """

    thresholds: list[float]
    tp: list[float]
    fp: list[float]
    fn: list[float]
    tn: list[float]


@dataclass(frozen=True)
class Row:
    """One row of a table: its name, a note of a few words below the name or "", and one text for each other column."""

    name: str
    note: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table of texts: the names of its columns, that of the rows first, and the rows."""

    header: tuple[str, ...]
    rows: list[Row]


@dataclass(frozen=True)
class Swarm:
    """The contributions of one feature to the scores of some rows.

    Attributes
    ----------
    name : str
        The feature.
    added : list of float
        What it adds to the score of each row, in log odds; at least one row.
    ranks : list of (float or None)
        The rank of its value in each row, from 0, the lowest, to 1; None where the value is missing or a word.
    """

    name: str
    added: list[float]
    ranks: list[float | None]


@dataclass(frozen=True)
class Report:
    """Everything that a report shows.

    Attributes
    ----------
    title : str
        The heading of the page.
    answer : str
        The answer in one sentence.
    paragraphs : list of str
        Further sentences below the answer.
    facts : list of (str, str)
        Label and value of the main facts, such as rows, positives, gamma, weight and threshold.
    comparisons : list of Comparison
        The metrics, the chosen one first.
    precision_recall : dict of str to Curve
        Precision (y) over recall (x), of each model by its name.
    roc : dict of str to Curve
        The true positive rate (y) over the false positive rate (x).
    reliability : dict of str to Bins
        Such as "cross-entropy", "focal, scores" and "focal, calibrated".
    ranking, calibration : Table
        Lift, precision at the top, Gini and KS; calibration error and slope.
    trials : list of Trial
        The search.
    metric : str
        The metric that scored the trials, in words.
    outcomes : Outcomes
        Confusion counts over the threshold.
    rates : Table
        Sensitivity and specificity at the chosen threshold.
    promises : Table
        The thresholds that promise a precision or a recall.
    threshold : float
        The chosen threshold, which should be one of `outcomes`. The page starts at the nearest of them.
    cost_fp, cost_fn : float
        The costs of a false alarm and of a miss.
    importance : list of (str, float)
        Features and their importance, the most important first.
    swarms : list of Swarm
        The contributions of the most important features, those of most influence first.
    columns : Table
        The columns of the data that the model sees.
    settings : list of (str, str)
        Name and value of each setting.
    command : str
        The command that reproduces this report.
    versions : list of (str, str)
        The software and its versions.
    """

    title: str
    answer: str
    paragraphs: list[str]
    facts: list[tuple[str, str]]
    comparisons: list[Comparison]
    precision_recall: dict[str, Curve]
    roc: dict[str, Curve]
    reliability: dict[str, Bins]
    ranking: Table
    calibration: Table
    trials: list[Trial]
    metric: str
    outcomes: Outcomes
    rates: Table
    promises: Table
    threshold: float
    cost_fp: float
    cost_fn: float
    importance: list[tuple[str, float]]
    swarms: list[Swarm]
    columns: Table
    settings: list[tuple[str, str]]
    command: str
    versions: list[tuple[str, str]]
