"""Two fixed, made-up reports: a search on a table with few positives, and a hostile one."""

from __future__ import annotations

import dataclasses

import numpy as np

from focal_loss._command.report.data import (
    Bins,
    Comparison,
    Curve,
    Estimate,
    Outcomes,
    Report,
    Row,
    Swarm,
    Table,
    Trial,
)

ROWS = 4000
NAMES = ("transaction_amount", "minutes_since_last", "country_of_card", "merchant", "weekday", "is_new_device")
HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    '"><img src=x onerror=alert(3)>',
    "$\\frac{1}{2}$ _a_^b",
    "{{ 7 * 7 }} {% raw %}",
    "</title></style><b>&amp;",
    "\x00\x1b\ud800\u2028\u202e<!--",
    "a" * 300,
]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def counts(y: np.ndarray, p: np.ndarray, thresholds: np.ndarray) -> Outcomes:
    flagged = p >= thresholds[:, None]
    tp, fp = (flagged & y).sum(axis=1), (flagged & ~y).sum(axis=1)
    columns = (tp, fp, y.sum() - tp, (~y).sum() - fp)
    return Outcomes(thresholds.tolist(), *(column.tolist() for column in columns))


def curves(y: np.ndarray, score: np.ndarray) -> tuple[Curve, Curve]:
    hit = y[np.argsort(-score)]
    tp, fp = np.cumsum(hit), np.cumsum(~hit)
    recall, precision, alarms = tp / y.sum(), tp / (tp + fp), fp / (~y).sum()
    return (
        Curve([0.0, *recall.tolist()], [1.0, *precision.tolist()]),
        Curve([0.0, *alarms.tolist()], [0.0, *recall.tolist()]),
    )


def bins(y: np.ndarray, p: np.ndarray) -> Bins:
    groups = [group for group in np.array_split(np.argsort(p), 10) if len(group)]
    return Bins(
        [float(p[group].mean()) for group in groups],
        [float(y[group].mean()) for group in groups],
        [len(group) for group in groups],
    )


def search(generator: np.random.Generator) -> list[Trial]:
    found = []
    for number in range(80):
        gamma = None if number % 2 else round(float(generator.uniform(0, 5)), 3)
        score = 0.72 + generator.normal(0, 0.006) + (0 if gamma is None else 0.03 - 0.008 * (gamma - 1.8) ** 2)
        loss = "cross-entropy" if gamma is None else "focal"
        found.append(Trial(number, loss, gamma, round(float(generator.uniform(0.5, 8)), 2), float(score)))
    return found


def swarms(generator: np.random.Generator) -> list[Swarm]:
    """Contributions that rise with the value, fall with it, or depend on a word."""
    found = []
    for k, name in enumerate(NAMES):
        rank = generator.random(400)
        added = (3 * (rank - 0.5) * (-1) ** k + generator.normal(0, 0.5, 400)) * 0.75**k
        ranks = [None] * 400 if k in (2, 3) else rank.round(3).tolist()
        found.append(Swarm(name, added.round(3).tolist(), ranks))
    return found


def measures(y: np.ndarray, p: np.ndarray) -> list[float]:
    """Average precision, ROC AUC, log loss, Brier score."""
    hit = y[np.argsort(-p)]
    rank = np.flatnonzero(hit) + 1
    precision = np.arange(1, len(rank) + 1) / rank
    auc = 1 - (rank - np.arange(1, len(rank) + 1)).mean() / (~y).sum()
    return [precision.mean(), auc, -np.log(np.where(y, p, 1 - p)).mean(), np.square(p - y).mean()]


def comparisons(y: np.ndarray, models: dict[str, np.ndarray]) -> list[Comparison]:
    """Comparisons of "focal" with "cross-entropy", with made-up intervals."""
    names = [("average precision", True), ("ROC AUC", True), ("log loss", False), ("Brier score", False)]
    widths = (0.0391, 0.0172, 0.0042, 0.00151)
    values = {loss: measures(y, p) for loss, p in models.items()}
    floors = [y.mean(), 0.5, *measures(y, np.full(len(y), y.mean()))[2:]]
    found = []
    for k, ((name, upward), width) in enumerate(zip(names, widths, strict=True)):
        estimates = {loss: Estimate(float(v[k]), v[k] - 2 * width, v[k] + 2 * width) for loss, v in values.items()}
        middle = values["focal"][k] - values["cross-entropy"][k]
        ends = float(middle - width), float(middle + 0.9 * width)
        found.append(Comparison(name, estimates, "cross-entropy", *ends, float(floors[k]), upward))
    return found


def example() -> Report:
    generator = np.random.default_rng(7)
    logit = generator.normal(-7.6, 4.0, ROWS)
    y = generator.random(ROWS) < sigmoid(logit)
    noisy = logit + generator.normal(0, 1.3, ROWS)
    focal, baseline = sigmoid(0.97 * logit - 0.1), sigmoid(1.1 * noisy + 0.3)
    weighted = sigmoid(1.05 * noisy + 0.6 + generator.normal(0, 0.5, ROWS))
    models = {"focal": focal, "weighted cross-entropy": weighted, "cross-entropy": baseline}
    compared = comparisons(y, models)
    first = compared[0]
    ours, theirs = (first.models[loss].value for loss in ("focal", "cross-entropy"))
    curve_of = {"cross-entropy": curves(y, noisy), "weighted cross-entropy": curves(y, weighted)}
    curve_of["focal"] = curves(y, logit)
    thresholds = np.unique([0.048, *sigmoid(np.linspace(-8.5, 4.5, 299))])
    return Report(
        title="Focal loss on transactions.csv",
        answer="Focal loss ranks better here than cross-entropy.",
        paragraphs=[
            f"By average precision on 4,000 rows that the search never saw, the focal model reaches {ours:.3f} "
            f"and the engine’s own cross-entropy {theirs:.3f}. The 95 % interval of the difference, "
            f"{first.low:.3f} to {first.high:.3f}, does not hold 0.",
            "Its scores are not probabilities by themselves. The model that was saved turns them into probabilities.",
        ],
        facts=[
            ("gamma", "1.82"),
            ("weight of positives", "2.4"),
            ("threshold", "0.048"),
            ("rows", "20,000"),
            ("positive", f"{y.mean():.1%}"),
        ],
        comparisons=compared,
        precision_recall={name: pair[0] for name, pair in curve_of.items()},
        roc={name: pair[1] for name, pair in curve_of.items()},
        reliability={
            "cross-entropy": bins(y, baseline),
            "focal, scores": bins(y, sigmoid(0.5 * logit)),
            "focal, calibrated": bins(y, focal),
        },
        ranking=Table(
            ("Held-out rows", "Focal", "Weighted cross-entropy", "Cross-entropy"),
            [
                Row("Lift of the top 1 %", "times the share of positives", ("24.5", "22.6", "22.6")),
                Row("Precision of the top 1 %", "share of positives among these", ("0.950", "0.875", "0.875")),
                Row("Lift of the top 10 %", "times the share of positives", ("9.4", "9.0", "9.1")),
                Row("Precision of the top 10 %", "share of positives among these", ("0.365", "0.350", "0.353")),
                Row("Gini", "2 ROC AUC − 1; 0: chance", ("0.958", "0.926", "0.932")),
                Row("KS", "widest gap of both rates", ("0.868", "0.830", "0.839")),
            ],
        ),
        calibration=Table(
            ("Held-out rows", "Cross-entropy", "Focal, scores", "Focal, calibrated"),
            [
                Row("Expected calibration error", "mean distance, in 15 equal bins", ("0.0122", "0.0851", "0.00312")),
                Row("Slope", "1: right; below: too extreme", ("0.78", "2.01", "1.04")),
            ],
        ),
        trials=search(generator),
        metric="average precision",
        outcomes=counts(y, focal, thresholds),
        rates=Table(
            ("At the stored threshold", "Held-out rows", "Share", "95 % interval"),
            [
                Row("Sensitivity", "of the positives, how many are flagged", ("147 of 155", "0.948", "0.901 to 0.974")),
                Row(
                    "Specificity",
                    "of the negatives, how many are not flagged",
                    ("3,516 of 3,845", "0.914", "0.905 to 0.923"),
                ),
            ],
        ),
        promises=Table(
            ("To have", "Threshold", "Alarms per 1,000 rows", "What is promised"),
            [
                Row("Precision of 80 %", "", ("0.412", "16.1", "at least 80.9 % (213 of 250 flagged were positive)")),
                Row("Precision of 95 %", "", ("–", "–", "no threshold promises it; the highest is 91 %")),
                Row("Recall of 80 %", "", ("0.131", "62.3", "at least 80.2 % (512 of 620 positives were flagged)")),
                Row("Recall of 95 %", "", ("0.028", "160", "at least 95.1 % (597 of 620 positives were flagged)")),
            ],
        ),
        threshold=0.048,
        cost_fp=1.0,
        cost_fn=20.0,
        importance=[(f"{NAMES[k % 6]}_{k}" if k >= 6 else NAMES[k], 420 * 0.82**k) for k in range(26)],
        swarms=swarms(generator),
        columns=Table(
            ("Column", "Kind", "Missing", "Values"),
            [
                Row("transaction_amount", "", ("number", "–", "0.5 to 12400")),
                Row(
                    "minutes_since_last",
                    "holds numbers; '?' among them counts as missing",
                    ("number", "3.1 %", "0 to 525600"),
                ),
                Row("country_of_card", "", ("category", "0.4 %", "61 categories")),
                Row("is_new_device", "", ("boolean", "–", "8.2 % true")),
                *(Row(f"merchant_{k}", "", ("number", "–", f"0 to {k}")) for k in range(9, 19)),
            ],
        ),
        settings=[
            ("engine", "lightgbm"),
            ("metric", "average_precision"),
            ("trials", "40 for each loss"),
            ("folds", "5"),
            ("seed", "0"),
            ("learning_rate", "0.0731"),
            ("num_leaves", "41"),
        ],
        command="focal-loss fit transactions.csv --target is_fraud --engine lightgbm --metric average_precision "
        "--trials 40 --folds 5 --seed 0 --out model",
        versions=[("focal-loss", "0.1.0"), ("lightgbm", "4.7.0"), ("optuna", "4.5.0"), ("Python", "3.11")],
    )


def hostile() -> Report:
    """A report whose every string tries to be markup or code."""
    plain, name = example(), HOSTILE[0]
    pairs = [(text, text) for text in HOSTILE]
    return dataclasses.replace(
        plain,
        title=HOSTILE[5],
        answer=HOSTILE[1],
        paragraphs=HOSTILE,
        facts=pairs,
        comparisons=[dataclasses.replace(plain.comparisons[0], name=text) for text in HOSTILE],
        precision_recall=dict.fromkeys(HOSTILE, plain.precision_recall["focal"]),
        roc=dict.fromkeys(HOSTILE, plain.roc["focal"]),
        reliability=dict.fromkeys(HOSTILE, plain.reliability["cross-entropy"]),
        promises=Table(plain.promises.header, [Row(text, text, (text, text, text)) for text in HOSTILE]),
        metric=HOSTILE[6] + name + HOSTILE[3],
        importance=[(text, 1.0 - k / 10) for k, text in enumerate(HOSTILE)],
        swarms=[dataclasses.replace(plain.swarms[0], name=text) for text in HOSTILE],
        columns=Table(plain.columns.header, [Row(text, text, (text, text, text)) for text in HOSTILE * 2]),
        settings=pairs,
        command=f"focal-loss fit --target '{HOSTILE[1]}'",
        versions=pairs,
    )
