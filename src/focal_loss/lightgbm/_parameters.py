"""The parameters of LightGBM that have no effect on this loss, and those to use instead."""

from __future__ import annotations

from typing import Any

import lightgbm

from focal_loss._boosting.classifier import ALPHA, LABELS, OBJECTIVE, POSITIVES


def _names() -> dict[str, str]:
    """LightGBM's own name of each alias of its parameters; empty in a version that keeps its list elsewhere."""
    try:
        known = lightgbm.basic._ConfigAliases._get_all_param_aliases()
    except AttributeError:
        return {}
    return {alias: name for name, aliases in known.items() for alias in aliases}


NAMES = _names()

ANOTHER = "it belongs to another objective of LightGBM"
COMMAND = "it belongs to LightGBM's command line"
OWN = "LightGBM knows the classes of its own objectives only; give `bagging_fraction`, with `class_weight`"
ONE_MACHINE = "the start score would be of one machine's rows; take `FocalDaskLGBMClassifier`"
EARLY_STOP = dict.fromkeys(
    ("pred_early_stop", "pred_early_stop_freq", "pred_early_stop_margin"),
    "LightGBM stops predictions early for its own objectives only; give `num_iteration` to `predict`",
)
REFUSED = {
    "objective": OBJECTIVE,
    "is_unbalance": "give `class_weight='balanced'`",
    "scale_pos_weight": POSITIVES,
    "num_class": LABELS,
    "boost_from_average": "training starts at the best constant score; to start at 0, give an `init_score` of zeros",
    **dict.fromkeys(("pos_bagging_fraction", "neg_bagging_fraction"), OWN),
    **dict.fromkeys(("linear_tree", "linear_lambda"), "the start score is part of the leaves, which must be constant"),
    "sigmoid": "the focal loss takes scores as they are",
    "alpha": ALPHA,
    **dict.fromkeys(("fair_c", "poisson_max_delta_step", "tweedie_variance_power", "reg_sqrt"), ANOTHER),
    **dict.fromkeys(("lambdarank_norm", "lambdarank_truncation_level", "label_gain", "objective_seed"), ANOTHER),
    **dict.fromkeys(("lambdarank_position_bias_regularization", "bagging_by_query", "eval_at"), ANOTHER),
    "multi_error_top_k": "give a function of labels and probabilities as `eval_metric`",
    "categorical_feature": "give it to `fit`",
    "refit_decay_rate": "LightGBM refits its own objectives only; give `init_model` to `fit`",
    **EARLY_STOP,
    **dict.fromkeys(("num_iteration_predict", "start_iteration_predict"), "give `num_iteration` to `predict`"),
    "predict_raw_score": "give `raw_score` to `predict`",
    "predict_leaf_index": "give `pred_leaf` to `predict`",
    "predict_contrib": "give `pred_contrib` to `predict`",
    **dict.fromkeys(("machines", "machine_list_filename", "num_machines"), ONE_MACHINE),
    "is_provide_training_metric": "give the training data to `fit` as an evaluation set",
    "metric_freq": "give `lightgbm.log_evaluation` to `fit` among the `callbacks`",
    "input_model": "give `init_model` to `fit`",
    **dict.fromkeys(("output_model", "snapshot_freq", "save_binary"), "use `save_model`"),
    **dict.fromkeys(("task", "config", "data", "valid", "output_result", "convert_model"), COMMAND),
    **dict.fromkeys(("convert_model_language", "header", "label_column", "weight_column", "group_column"), COMMAND),
    **dict.fromkeys(("ignore_column", "two_round", "pre_partition", "parser_config_file"), COMMAND),
    "precise_float_parser": COMMAND,
}
# LightGBM's defaults of those parameters; the others default to no value, or False.
DEFAULTS: dict[str, Any] = {
    "task": "train",
    "boost_from_average": True,
    "pos_bagging_fraction": 1.0,
    "neg_bagging_fraction": 1.0,
    "sigmoid": 1.0,
    "num_machines": 1,
    "metric_freq": 1,
    "multi_error_top_k": 1,
    "lambdarank_norm": True,
}
