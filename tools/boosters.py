"""The source of the boosters' objectives and metrics, and the sections that their classifiers' docstrings share.

A function is written from its options in `focal_loss._boosting.declared` and from the booster's own text. The sections
of a classifier stand between the lines above `Parameters` and the `Examples`, which each booster has of its own.
"""

from __future__ import annotations

import ast
import textwrap
from itertools import groupby

from booster_words import WORDS as OWN_WORDS
from docstrings import entry, filled, option_parameters

from focal_loss._boosting import declared
from focal_loss._core.declare import Options

RAISES = """TypeError, ValueError
    If an option has the wrong type or is out of range. When it is called: if labels are missing or invalid, or shapes
    do not match."""
LIN = """T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
   arXiv:1708.02002, equation 4 and appendix B."""
CALIBRATION = """N. Charoenphakdee, J. Vongkulbhisal, N. Chairatanakul and M. Sugiyama, "On focal loss for
   class-posterior probability estimation: a theoretical perspective", CVPR 2021, arXiv:2011.09172."""

START = """{{start}} `focal_loss.calibration.{prior}` is the best constant score. The booster predicts
scores; `focal_loss.calibration.{posterior}` turns them into probabilities."""


PRIORS = {"binary": "prior_logit", "categorical": "categorical_prior_logits"}
POSTERIORS = {"binary": "posterior_from_logits", "categorical": "categorical_posterior_from_logits"}


def sections(options: type[Options], returns: str, notes: str) -> str:
    return "\n\n".join(
        [
            "Parameters\n----------\n" + "\n".join(entry(name, o) for name, (o, _) in options.declared().items()),
            f"Returns\n-------\n{returns}",
            f"Raises\n------\n{RAISES}",
            f"Notes\n-----\n{notes}",
            f"References\n----------\n.. [1] {LIN}",
        ]
    )


def contract(name: str, options: type[Options]) -> str:
    """The sections of an objective or a metric, with places for the texts that differ between boosters."""
    kind, _, what = name.partition("_focal_")
    if what == "objective":
        returns = "objective : callable\n    {form} It can be pickled."
        return sections(options, returns, START.format(prior=PRIORS[kind], posterior=POSTERIORS[kind]))
    returns = "metric : callable\n    The weighted mean of the loss [1]_ of raw scores. {form} It can be pickled."
    return sections(options, returns, "Less is better. It goes with the objective of the same arguments.")


CONTRACTS = {name: contract(name, options) for name, options in declared.FUNCTIONS.items()} | {
    "classifier": "\n\n".join(
        [
            "Parameters\n----------\n"
            + "\n".join(
                [
                    entry("gamma", declared.GAMMA),
                    """pos_weight : float, optional
    The weight of the positives, the second of the two sorted classes. 1 if None.""",
                    """class_weight : dict or 'balanced', optional
    The weight of each class, as everywhere in scikit-learn. `pos_weight` multiplies it.""",
                    entry("hessian", declared.HESSIAN),
                    """calibrated : bool or 'cv'
    Whether `predict_proba` gives class posteriors. A focal loss is lowest at scores that are closer to 1/2 than the
    class frequencies are, and class weights move them too; both are undone in closed form [2]_. If False,
    `predict_proba` gives the sigmoid or softmax of the scores. {folds}""",
                    "{more}{rest}",
                ]
            ),
            """Attributes
----------
classes_ : array, shape (K,)
    The labels, sorted. They may be strings, numbers or booleans.
start_score_ : float or array, shape () or (K,)
    The best constant score, at which training starts. It is part of the model and of every prediction.{attributes}""",
            """Raises
------
TypeError, ValueError
    By `fit`, before training starts: for a parameter of the wrong type or out of range, labels that are missing or
    of one class only, or weights that are all 0 for a class.""",
            "Notes\n-----\n{notes}",
            f"References\n----------\n.. [1] {LIN}\n.. [2] {CALIBRATION}",
        ]
    ),
}

# The texts that differ between boosters. `more` and `rest` hold parameters of the classifier.
NOTES = """`fit`, `predict` and all other methods take what those of {parent} take: weights, evaluation sets, early
stopping, categorical columns, missing values, pandas and Arrow tables. Metrics of probabilities, by name or as
functions, see the probabilities that `predict_proba` would give."""
NOTES_OF_DASK = """`X`, the labels and the weights are arrays or dataframes of Dask with the same partitions, and
results are arrays of Dask, computed when they are asked for. One count of the labels over the cluster gives the
classes, the start score and the class weights; labels and weights stay in its memory. Metrics see the probabilities
that `predict_proba` would give. Each is the mean over the rows of all workers; a function is called with the rows of
each worker, and the mean of its results weighs them by their weights, which is exact for a mean over rows."""
FOLDS = """'cv' also divides the scores by one temperature. It is the one of least log loss for scores out of fold:
    `fit` trains five more models, of as many rounds, each on four of five stratified folds of the rows. Trees that have
    learned their rows by heart need it; rows must not depend on each other. Metrics during training see posteriors
    without it. After training, `set_params` may switch
    between the three, to 'cv' only if the fit was one."""
NO_FOLDS = "'cv' is for the classifiers of one machine, and refused."
ATTRIBUTES = """
temperature_ : float
    The temperature of a fit with ``calibrated="cv"``: 1, with a warning, if the scores determine none."""
CALLED = """A function of scores and data, as ``train`` calls it, or of labels, scores and optional weights, as
    the estimators call it, including those for Dask."""
REST = """**kwargs
    Every parameter of {parent}. `fit` refuses one that has no effect on this loss, and says what to give instead."""
REST_OF_SKLEARN = """\
learning_rate, max_iter, max_leaf_nodes, max_depth, min_samples_leaf, l2_regularization, max_features
    The steps and the trees: parameters of {parent}, as are the rest.
max_bins, categorical_features, monotonic_cst, interaction_cst
    The columns.
warm_start, early_stopping, scoring, validation_fraction, n_iter_no_change, tol, verbose, random_state
    The course of training. `scoring="loss"` is the focal loss."""
NOTES_OF_SKLEARN = """`fit`, `predict` and all other methods take what those of {parent} take: weights, validation
data, early stopping, categorical columns, missing values, constraints, pandas and polars tables. Scorers see the
probabilities that `predict_proba` would give. The loss reaches the trees by private names of scikit-learn: the import
raises `ImportError` for a version that lacks one."""
WORDS = {
    "lightgbm": {
        "start": "LightGBM reads a missing label as 0 before any objective sees it. The booster starts at a "
        "score of 0, or at the `init_score` that its data hold:",
        "form": CALLED,
        "more": "",
        "parent": "`lightgbm.LGBMClassifier`",
    },
    "xgboost": {
        "start": "The booster starts at a score of 0.5, or at the `base_score` or `base_margin` that it is given:",
        "form": CALLED,
        "more": """min_split_loss : float, optional
    The least gain of a split: XGBoost's own parameter, which it also calls `gamma`.
""",
        "parent": "`xgboost.XGBClassifier`",
    },
    "catboost": {
        "start": "The booster starts at a score of 0, or at the `baseline` that its data hold:",
        "form": "An object with the methods that CatBoost calls.",
        "more": "",
        "parent": "`catboost.CatBoostClassifier`",
    },
    "sklearn": {
        "more": "",
        "rest": REST_OF_SKLEARN,
        "notes": NOTES_OF_SKLEARN,
        "parent": "`sklearn.ensemble.HistGradientBoostingClassifier`",
    },
}
DASK_WORDS = {
    "lightgbm": {
        "parent": "`lightgbm.DaskLGBMClassifier`",
        "more": """client : distributed.Client, optional
    The client of the cluster. If None, the current one.
""",
    },
    "xgboost": {
        "parent": "`xgboost.dask.DaskXGBClassifier`",
        "more": WORDS["xgboost"]["more"]
        + """coll_cfg : xgboost.collective.Config, optional
    How the workers find each other.
""",
    },
}
DASK_CLASSES = {"lightgbm": "FocalDaskLGBMClassifier", "xgboost": "FocalDaskXGBClassifier"}
CLASSES = {
    "lightgbm": "FocalLGBMClassifier",
    "xgboost": "FocalXGBClassifier",
    "catboost": "FocalCatBoostClassifier",
    "sklearn": "FocalHistGradientBoostingClassifier",
}


def contracts(booster: str, **more: str) -> dict[str, str]:
    """The sections of a booster's objectives, metrics and classifier, by name; `more` are other texts."""
    found = dict(CONTRACTS)
    for word, text in (
        {"notes": NOTES, "rest": REST, "folds": FOLDS, "attributes": ATTRIBUTES} | WORDS[booster] | more
    ).items():
        found = {name: contract.replace(f"{{{word}}}", text) for name, contract in found.items()}
    return found


def classifiers() -> dict[str, dict[str, str]]:
    """The sections of the classifiers, by file and by class."""
    found = {f"{b}/_estimator.py": {name: contracts(b)["classifier"]} for b, name in CLASSES.items()}
    for booster, name in DASK_CLASSES.items():
        words = contracts(booster, notes=NOTES_OF_DASK, folds=NO_FOLDS, attributes="", **DASK_WORDS[booster])
        found[f"{booster}/_dask.py"] = {name: words["classifier"]}
    return found


def function(booster: str, name: str) -> str:
    options = declared.FUNCTIONS[name]
    first, example = OWN_WORDS[booster][name]
    text = "\n\n".join([first, wrapped(contracts(booster)[name]), f"Examples\n--------\n{example}"])
    text = textwrap.indent(text, "    ", lambda line: bool(line.strip())).strip()
    values = ", ".join(f"{option}={option}" for option in options.declared())
    spec = f"declared.{options.__name__}({values})"
    body = f"return objective_of({spec}.loss)"
    if name.endswith("metric"):
        body = f"options = {spec}\n    return metric_of(options.loss, options.record)"
    return f'''def {name}({", ".join(option_parameters(options, 1))}) -> Any:
    """{text}
    """
    {body}
'''


def regions() -> dict[str, dict[str, str]]:
    """The generated text, by file and by name of its region."""
    return {
        f"{booster}/_objectives.py": {"functions": "\n\n".join(function(booster, name) for name in declared.FUNCTIONS)}
        for booster in OWN_WORDS
    }


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
