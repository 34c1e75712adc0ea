"""The sections that the docstrings of all boosters' objectives, metrics and classifiers share.

They stand between the lines above `Parameters` and the `Examples`, which each booster has of its own.
"""

from __future__ import annotations

import ast
import textwrap
from itertools import groupby

from docstrings import filled

GAMMA = """gamma : float{or_more}
    The focusing parameter, at least 0. The higher it is, the less an easy example counts; 0 is cross-entropy."""
POS_WEIGHT = """pos_weight : float, optional
    The weight of the positives. 1 if None."""
CLASS_WEIGHT = """class_weight : float or sequence of K floats, optional
    The weight of each class. 1 if None."""
HESSIAN = """hessian : {'majorizer', 'exact', 'relative_floor'}
    The denominator of Newton steps. The focal loss is not convex: its Hessian is negative for the worst mistakes
    (below a margin of about -2.8 at gamma = 2), where such a step would go the wrong way. 'majorizer' leaves its only
    negative term out and is positive everywhere; 'exact' is the Hessian itself; 'relative_floor' is the Hessian
    where that is at least a quarter of the gradient's size, else that quarter. docs/boosting.md has the evidence."""
NAME = """name : str, optional
    The name in the library's records. If None, 'focal_loss' with the options, such as 'focal_loss(gamma=2)', so that
    several can be recorded at once."""
RAISES = """TypeError, ValueError
    If an option has the wrong type or is out of range. When it is called: if labels are missing or invalid, or shapes
    do not match."""
LIN = """T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
   arXiv:1708.02002, equation 4 and appendix B."""
CALIBRATION = """N. Charoenphakdee, J. Vongkulbhisal, N. Chairatanakul and M. Sugiyama, "On focal loss for
   class-posterior probability estimation: a theoretical perspective", CVPR 2021, arXiv:2011.09172."""

START = """{{start}} `focal_loss.calibration.{prior}` is the best constant score. The booster predicts
scores; `focal_loss.calibration.{posterior}` turns them into probabilities."""


def sections(parameters: list[str], returns: str, notes: str) -> str:
    return "\n\n".join(
        [
            "Parameters\n----------\n" + "\n".join(parameters),
            f"Returns\n-------\n{returns}",
            f"Raises\n------\n{RAISES}",
            f"Notes\n-----\n{notes}",
            f"References\n----------\n.. [1] {LIN}",
        ]
    )


def objective(gamma: str, weight: str, prior: str, posterior: str) -> str:
    returns = "objective : callable\n    {form} It can be pickled."
    return sections([gamma, weight, HESSIAN], returns, START.format(prior=prior, posterior=posterior))


def metric(gamma: str, weight: str) -> str:
    returns = "metric : callable\n    The weighted mean of the loss [1]_ of raw scores. {form} It can be pickled."
    return sections([gamma, weight, NAME], returns, "Less is better. It goes with the objective of the same arguments.")


BINARY, CATEGORICAL = (GAMMA.format(or_more=more) for more in ("", " or sequence of K floats"))

CONTRACTS = {
    "binary_focal_objective": objective(BINARY, POS_WEIGHT, "prior_logit", "posterior_from_logits"),
    "categorical_focal_objective": objective(
        CATEGORICAL, CLASS_WEIGHT, "categorical_prior_logits", "categorical_posterior_from_logits"
    ),
    "binary_focal_metric": metric(BINARY, POS_WEIGHT),
    "categorical_focal_metric": metric(CATEGORICAL, CLASS_WEIGHT),
    "classifier": "\n\n".join(
        [
            "Parameters\n----------\n"
            + "\n".join(
                [
                    BINARY,
                    """pos_weight : float, optional
    The weight of the positives, the second of the two sorted classes. 1 if None.""",
                    """class_weight : dict or 'balanced', optional
    The weight of each class, as everywhere in scikit-learn. `pos_weight` multiplies it.""",
                    HESSIAN,
                    """calibrated : bool
    Whether `predict_proba` gives class posteriors. A focal loss is lowest at scores that are closer to 1/2 than the
    class frequencies are, and class weights move them too; both are undone in closed form [2]_. If False,
    `predict_proba` gives the sigmoid or softmax of the scores.""",
                    """{more}**kwargs
    Every parameter of {parent}. `fit` refuses one that has no effect on this loss, and says what to give instead.""",
                ]
            ),
            """Attributes
----------
classes_ : array, shape (K,)
    The labels, sorted. They may be strings, numbers or booleans.
start_score_ : float or array, shape () or (K,)
    The best constant score, at which training starts. It is part of the model and of every prediction.""",
            """Raises
------
TypeError, ValueError
    By `fit`, before training starts: for a parameter of the wrong type or out of range, labels that are missing or
    of one class only, or weights that are all 0 for a class.""",
            """Notes
-----
`fit`, `predict` and all other methods take what those of {parent} take: weights, evaluation sets, early stopping,
categorical columns, missing values, pandas and Arrow tables. Metrics of probabilities, by name or as functions, see
the probabilities that `predict_proba` would give.""",
            f"References\n----------\n.. [1] {LIN}\n.. [2] {CALIBRATION}",
        ]
    ),
}

# The texts that differ between boosters. `more` holds parameters of the classifier.
CALLED = """A function of scores and data, as ``train`` calls it, or of labels, scores and optional weights, as
    the estimators call it, including those for Dask."""
WORDS = {
    "lightgbm": {
        "start": "LightGBM reads a missing label as 0 before any objective sees it. The booster starts at a "
        "score of 0, or at the `init_score` that its data hold:",
        "form": CALLED,
        "parent": "`lightgbm.LGBMClassifier`",
        "more": "",
    },
    "xgboost": {
        "start": "The booster starts at a score of 0.5, or at the `base_score` or `base_margin` that it is given:",
        "form": CALLED,
        "parent": "`xgboost.XGBClassifier`",
        "more": """min_split_loss : float, optional
    The least gain of a split: XGBoost's own parameter, which it also calls `gamma`.
""",
    },
    "catboost": {
        "start": "The booster starts at a score of 0, or at the `baseline` that its data hold:",
        "form": "An object with the methods that CatBoost calls.",
        "parent": "`catboost.CatBoostClassifier`",
        "more": "",
    },
}
CLASSES = {"lightgbm": "FocalLGBMClassifier", "xgboost": "FocalXGBClassifier", "catboost": "FocalCatBoostClassifier"}


def files() -> dict[str, dict[str, str]]:
    """The shared sections, by file and by function or class."""
    found: dict[str, dict[str, str]] = {}
    for booster, words in WORDS.items():
        contracts = dict(CONTRACTS)
        for word, text in words.items():
            contracts = {name: contract.replace(f"{{{word}}}", text) for name, contract in contracts.items()}
        found[f"{booster}/_estimator.py"] = {CLASSES[booster]: contracts.pop("classifier")}
        found[f"{booster}/_objectives.py"] = contracts
    return found


def wrapped(contract: str) -> str:
    """A contract with its descriptions and notes wrapped to the width of a docstring."""
    sections = []
    for section in contract.split("\n\n"):
        title, line, *lines = section.split("\n")
        done: list[str] = []
        for indented, group in groupby(lines, key=lambda line: line.startswith("    ")):
            text = list(group)
            if indented:
                done.append(filled("\n".join(text)))
            else:
                done += [textwrap.fill(" ".join(text), 116)] if title == "Notes" else text
        sections.append("\n".join([title, line, *done]))
    return "\n\n".join(sections)


def with_sections(text: str, sections: dict[str, str]) -> str:
    """The source of a file with the sections of some docstrings written anew."""
    for name, contract in sections.items():
        tree = ast.parse(text)
        node = next(n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name == name)
        first, last = node.body[0].lineno - 1, node.body[0].end_lineno
        lines = text.split("\n")
        begin, end = (lines.index(f"    {title}", first, last) for title in ("Parameters", "Examples"))
        lines[begin:end] = [
            *textwrap.indent(wrapped(contract), "    ", lambda line: bool(line.strip())).split("\n"),
            "",
        ]
        text = "\n".join(lines)
    return text
