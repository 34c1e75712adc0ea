"""Every parameter of the libraries: honored, or refused with a remedy.

The tables name each one. They are compared with the libraries' own lists, so that a parameter of a later version fails
until it is added. `value`, or `(value, others)`, has an effect on a small table. A parameter in `PASSED` has none
there, and must only reach the library.
"""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import catboost
import lightgbm
import numpy as np
import pytest
import xgboost
from made import table
from sklearn.ensemble import HistGradientBoostingClassifier

from focal_loss.catboost import FocalCatBoostClassifier
from focal_loss.catboost import _parameters as of_catboost
from focal_loss.lightgbm import FocalLGBMClassifier
from focal_loss.lightgbm import _parameters as of_lightgbm
from focal_loss.sklearn import FocalHistGradientBoostingClassifier
from focal_loss.xgboost import FocalXGBClassifier
from focal_loss.xgboost._parameters import REFUSED as REFUSED_BY_XGBOOST

X, Y = table(400)
X[::9, 0] = np.nan
X[::5, 1] = 0.0

BAG = {"bagging_freq": 1, "bagging_fraction": 0.5}
DART = {"boosting": "dart", "drop_rate": 0.5, "n_estimators": 12}
GOSS = {"data_sample_strategy": "goss", "learning_rate": 0.5}
QUANTIZED = {"use_quantized_grad": True}
MONOTONE = {"monotone_constraints": [1, 0, -1, 1, 0]}

LIGHTGBM: dict[str, Any] = {
    "bagging_fraction": (0.5, {"bagging_freq": 1}), "bagging_freq": (1, {"bagging_fraction": 0.5}),
    "bagging_seed": (9, BAG), "bin_construct_sample_cnt": 20, "boosting": "dart", "cegb_penalty_split": 0.01,
    "cegb_penalty_feature_lazy": [0.1, 0, 0, 0, 0], "cegb_tradeoff": (9.0, {"cegb_penalty_split": 0.002}),
    "data_random_seed": (7, {"bin_construct_sample_cnt": 50}), "data_sample_strategy": ("goss", {"learning_rate": 0.5}),
    "drop_rate": (0.9, {"boosting": "dart"}), "drop_seed": (9, DART), "extra_seed": (9, {"extra_trees": True}),
    "extra_trees": True, "feature_contri": [0.1, 1, 1, 1, 1], "feature_fraction": 0.4, "feature_fraction_bynode": 0.4,
    "feature_fraction_seed": (9, {"feature_fraction": 0.4}), "interaction_constraints": [[0, 1], [2, 3, 4]],
    "lambda_l1": 1.0, "lambda_l2": 5.0, "learning_rate": 0.3, "max_bin": 5, "max_bin_by_feature": [3, 4, 5, 6, 7],
    "max_delta_step": 0.05, "max_depth": 2, "max_drop": (1, DART | {"drop_rate": 0.9}), "min_data_in_bin": 30,
    "min_data_in_leaf": 60, "min_gain_to_split": 1.0, "min_sum_hessian_in_leaf": 8.0,
    "monotone_constraints": [1, 0, 0, 0, 0], "monotone_constraints_method": ("advanced", MONOTONE),
    "monotone_penalty": (2.0, MONOTONE), "num_grad_quant_bins": (8, QUANTIZED), "num_iterations": 3, "num_leaves": 4,
    "other_rate": (0.4, GOSS), "path_smooth": 5.0, "quant_train_renew_leaf": (True, QUANTIZED), "seed": (9, BAG),
    "skip_drop": (0.0, DART), "stochastic_rounding": (False, QUANTIZED), "top_rate": (0.5, GOSS),
    "uniform_drop": (True, DART), "use_missing": False, "use_quantized_grad": True, "xgboost_dart_mode": (True, DART),
    "zero_as_missing": True,
}  # fmt: skip
PASSED_TO_LIGHTGBM: dict[str, Any] = {
    "auc_mu_weights": [0], "cat_l2": 1.0, "cat_smooth": 1.0, "cegb_penalty_feature_coupled": [5, 0, 0, 0, 0],
    "deterministic": True, "device_type": "cpu", "early_stopping_min_delta": 1.0, "early_stopping_round": 3,
    "enable_bundle": False, "feature_pre_filter": False, "first_metric_only": True, "force_col_wise": True,
    "force_row_wise": True, "forcedbins_filename": "", "forcedsplits_filename": "", "gpu_device_id": 0,
    "gpu_device_id_list": "", "gpu_platform_id": 0, "gpu_use_dp": True, "histogram_pool_size": 1.0,
    "is_enable_sparse": False, "local_listen_port": 12400, "max_cat_threshold": 2, "max_cat_to_onehot": 2,
    "metric": "auc", "min_data_per_group": 5, "num_gpu": 1, "num_threads": 1, "predict_disable_shape_check": True,
    "saved_feature_importance_type": 1, "time_out": 10, "top_k": 5, "tree_learner": "feature",
    "verbosity": -1,
}  # fmt: skip
OF_THE_ESTIMATOR = ("class_weight", "importance_type")  # ours, or read after training

# Parameters that the libraries' Python code, or ours, reads itself and passes on in another form.
READ_HERE = {"cat_features", "text_features", "embedding_features", "custom_loss", "early_stopping_rounds", "silent"}

LOSSGUIDE, SUBSAMPLE = {"grow_policy": "lossguide"}, {"subsample": 0.5}
XGBOOST: dict[str, Any] = {
    "base_score": 0.6, "colsample_bylevel": 0.4, "colsample_bynode": 0.4, "colsample_bytree": 0.4,
    "feature_weights": ([1, 0.01, 0.01, 0.01, 0.01], {"colsample_bytree": 0.4}),
    "grow_policy": ("lossguide", {"max_leaves": 4}), "interaction_constraints": "[[0, 1], [2, 3, 4]]",
    "learning_rate": 0.1, "max_bin": 5, "max_delta_step": 0.05, "max_depth": 2, "max_leaves": (3, LOSSGUIDE),
    "min_child_weight": 20.0, "min_split_loss": 3.0, "missing": 0.0, "monotone_constraints": "(1,0,0,0,0)",
    "n_estimators": 3, "num_parallel_tree": (2, SUBSAMPLE), "random_state": (9, SUBSAMPLE), "reg_alpha": 2.0,
    "reg_lambda": 9.0, "subsample": 0.5, "tree_method": "approx", "rate_drop": (0.5, {"booster": "dart"}),
}  # fmt: skip
PASSED_TO_XGBOOST: dict[str, Any] = {
    "booster": "dart", "callbacks": [], "device": "cpu", "early_stopping_rounds": 3, "enable_categorical": True,
    "eval_metric": "auc", "feature_types": ["q"] * 5, "importance_type": "gain", "max_cat_threshold": 2,
    "max_cat_to_onehot": 2, "multi_strategy": "multi_output_tree", "n_jobs": 1, "sampling_method": "uniform",
    "validate_parameters": True, "verbosity": 1,
}  # fmt: skip

GREEDY, ORDERED = {"grow_policy": "Lossguide"}, {"boosting_type": "Ordered"}
CATBOOST: dict[str, Any] = {
    "iterations": 3, "learning_rate": 0.1, "depth": 2, "l2_leaf_reg": 30.0, "rsm": 0.4, "border_count": 5,
    "feature_border_type": "Uniform", "per_float_feature_quantization": ["0:border_count=2"], "nan_mode": "Max",
    "leaf_estimation_iterations": 5, "leaf_estimation_method": "Gradient", "random_seed": 9, "random_strength": 9.0,
    "random_score_type": "Gumbel", "ignored_features": [0, 1],
    "bagging_temperature": (5.0, {"bootstrap_type": "Bayesian"}), "fold_len_multiplier": (1.2, ORDERED),
    "approx_on_full_history": (True, ORDERED), "boosting_type": "Ordered", "bootstrap_type": "Bernoulli",
    "subsample": 0.5, "mvs_reg": 5.0, "sampling_frequency": ("PerTreeLevel", {"subsample": 0.5}), "max_depth": 2,
    "n_estimators": 3, "num_boost_round": 3, "num_trees": 3, "colsample_bylevel": 0.4, "random_state": 9,
    "reg_lambda": 30.0, "eta": 0.1, "max_bin": 5, "grow_policy": "Lossguide", "min_data_in_leaf": (60, GREEDY),
    "min_child_samples": (60, GREEDY), "max_leaves": (3, GREEDY), "num_leaves": (3, GREEDY),
    "monotone_constraints": [1, 0, 0, 0, 0], "feature_weights": [0.01, 1, 1, 1, 1],
    "first_feature_use_penalties": [9.0, 0, 0, 0, 0], "per_object_feature_penalties": [0.5, 0, 0, 0, 0],
    "langevin": True, "diffusion_temperature": (10.0, {"langevin": True}), "eval_fraction": 0.3,
}  # fmt: skip
PASSED_TO_CATBOOST: dict[str, Any] = {
    "model_size_reg": 5.0, "input_borders": None, "output_borders": None, "fold_permutation_block": 4, "od_pval": 0.1,
    "od_wait": 2, "od_type": "Iter", "counter_calc_method": "Full", "thread_count": 1, "use_best_model": False,
    "best_model_min_trees": 2, "verbose": False, "silent": True, "logging_level": "Silent", "metric_period": 2,
    "ctr_leaf_count_limit": 2, "store_all_simple_ctr": True, "max_ctr_complexity": 1, "has_time": True,
    "allow_const_label": True, "one_hot_max_size": 3, "name": "x", "train_dir": "x", "custom_loss": "AUC",
    "custom_metric": "AUC", "eval_metric": "AUC", "save_snapshot": False, "snapshot_file": "s",
    "snapshot_interval": 5, "used_ram_limit": "1gb", "gpu_ram_part": 0.5, "pinned_memory_size": 100,
    "allow_writing_files": False, "final_ctr_computation_mode": "Skip", "simple_ctr": ["Borders"],
    "combinations_ctr": ["Borders"], "per_feature_ctr": None, "ctr_description": ["Borders"],
    "ctr_target_border_count": None, "task_type": "CPU", "device_config": None, "devices": "0",
    "sampling_unit": "Object", "dev_score_calc_obj_block_size": 50, "dev_efb_max_buckets": 4,
    "sparse_features_conflict_fraction": 0.5, "gpu_cat_features_storage": "CpuPinnedMemory",
    "data_partition": "FeatureParallel", "metadata": {"a": "b"}, "early_stopping_rounds": 2, "cat_features": [],
    "score_function": "L2", "leaf_estimation_backtracking": "No", "ctr_history_unit": None,
    "penalties_coefficient": 2.0, "text_features": [], "tokenizers": None, "dictionaries": None,
    "feature_calcers": None, "text_processing": None, "embedding_features": [], "callback": None,
    "fixed_binary_splits": None,
}  # fmt: skip

STOPS = {"early_stopping": True, "n_iter_no_change": 1}
SKLEARN: dict[str, Any] = {
    "learning_rate": 0.3, "max_iter": 3, "max_leaf_nodes": 4, "max_depth": 2, "min_samples_leaf": 60,
    "l2_regularization": 30.0, "max_features": 0.4, "max_bins": 5, "monotonic_cst": [1, 0, 0, 0, 0],
    "interaction_cst": [[0, 1], [2, 3, 4]], "early_stopping": True, "validation_fraction": (0.5, STOPS),
    "n_iter_no_change": (1, {"early_stopping": True, "tol": 1.0}), "tol": (1.0, STOPS), "random_state": (9, STOPS),
}  # fmt: skip
PASSED_TO_SKLEARN: dict[str, Any] = {
    "categorical_features": [False] * 5, "scoring": "roc_auc", "verbose": 1, "warm_start": True,
}  # fmt: skip


def without(parameters: dict[str, Any], names: dict[str, str], given: dict[str, Any]) -> dict[str, Any]:
    """The parameters without those for which an alias is given."""
    return {n: v for n, v in parameters.items() if names.get(n, n) not in {names.get(m, m) for m in given}} | given


def lightgbm_scores(cls: Any, **given: Any) -> np.ndarray:
    base = {"n_estimators": 6, "n_jobs": 1, "verbosity": -1, "min_child_samples": 5, "random_state": 3}
    model = cls(**without(base, of_lightgbm.NAMES, given))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LightGBM warns of aliases
        return model.fit(X, Y, **watched(given)).predict(X, raw_score=True)


def xgboost_scores(cls: Any, **given: Any) -> np.ndarray:
    base = {"n_estimators": 6, "n_jobs": 1, "max_depth": 3, "random_state": 3, "base_score": 0.3}
    if cls is xgboost.XGBClassifier and "min_split_loss" in given:
        given["gamma"] = given.pop("min_split_loss")
    evaluated = {"eval_set": [(X, Y)], "verbose": False} if "early_stopping_rounds" in given else {}
    return cls(**(base | given)).fit(X, Y, **evaluated).predict(X, output_margin=True)


def catboost_scores(cls: Any, **given: Any) -> np.ndarray:
    base = {"iterations": 6, "thread_count": 1, "depth": 3, "random_seed": 3, "learning_rate": 0.3}
    base |= {"allow_writing_files": False} | ({} if {"silent", "logging_level"} & set(given) else {"verbose": False})
    return cls(**without(base, of_catboost.NAMES, given)).fit(X, Y).predict(X, prediction_type="RawFormulaVal")


def sklearn_scores(cls: Any, **given: Any) -> np.ndarray:
    base = {"max_iter": 6, "min_samples_leaf": 5, "random_state": 3}
    return cls(**(base | given)).fit(X, Y)._raw_predict(X)


def watched(given: dict[str, Any]) -> dict[str, Any]:
    return {"eval_X": X, "eval_y": Y} if "early_stopping_round" in given else {}


BOOSTERS: dict[str, Any] = {
    "lightgbm": (lightgbm_scores, lightgbm.LGBMClassifier, FocalLGBMClassifier, LIGHTGBM, PASSED_TO_LIGHTGBM),
    "xgboost": (xgboost_scores, xgboost.XGBClassifier, FocalXGBClassifier, XGBOOST, PASSED_TO_XGBOOST),
    "catboost": (catboost_scores, catboost.CatBoostClassifier, FocalCatBoostClassifier, CATBOOST, PASSED_TO_CATBOOST),
    "sklearn": (
        sklearn_scores,
        HistGradientBoostingClassifier,
        FocalHistGradientBoostingClassifier,
        SKLEARN,
        PASSED_TO_SKLEARN,
    ),
}
REFUSED = {"lightgbm": of_lightgbm.REFUSED, "xgboost": REFUSED_BY_XGBOOST, "catboost": of_catboost.REFUSED}
REFUSED["sklearn"] = {}  # `loss`, alone without effect, is no parameter of our class


def known(booster: str) -> set[str]:
    """The parameters that the library itself lists."""
    if booster == "lightgbm":
        constructor = set(inspect.signature(lightgbm.LGBMClassifier.__init__).parameters) - {"self", "kwargs"}
        assert of_lightgbm.NAMES, "LightGBM keeps its list of parameters elsewhere"
        return {of_lightgbm.NAMES.get(name, name) for name in (*of_lightgbm.NAMES, *constructor)}
    if booster == "xgboost":
        return set(xgboost.XGBClassifier().get_params()) - {"gamma"} | {"min_split_loss", "alpha"}  # among its aliases
    if booster == "sklearn":
        return set(HistGradientBoostingClassifier().get_params()) - {"class_weight", "loss"}
    return set(inspect.signature(catboost.CatBoostClassifier.__init__).parameters) - {"self"}


# XGBoost also takes parameters that are not in its constructor; the table lists them too.
BY_NAME = {"xgboost": {"rate_drop", "num_class", "disable_default_eval_metric"}}


@pytest.mark.parametrize("booster", BOOSTERS)
def test_every_parameter_is_in_the_table(booster: str) -> None:
    *_, honored, passed = BOOSTERS[booster]
    tables = [set(honored), set(passed), set(REFUSED[booster])]
    tables += [set(OF_THE_ESTIMATOR)] if booster == "lightgbm" else []
    assert sum(map(len, tables)) == len(set().union(*tables)), "no parameter is in two tables"
    assert set().union(*tables) - BY_NAME.get(booster, set()) == known(booster)


HONORED = [(booster, name) for booster in BOOSTERS for name in BOOSTERS[booster][3]]


@pytest.mark.parametrize(("booster", "name"), HONORED, ids="-".join)
def test_honored_parameters_have_their_effect(booster: str, name: str) -> None:
    scores, theirs, ours, honored, _ = BOOSTERS[booster]
    value = honored[name]
    value, others = value if isinstance(value, tuple) else (value, {})
    for cls, loss in ((theirs, {}), (ours, {"gamma": 2.0})):
        plain, changed = scores(cls, **others, **loss), scores(cls, **(others | {name: value}), **loss)
        assert np.abs(changed - plain).max() > 1e-4, f"{cls.__name__} pays no heed"


@pytest.mark.parametrize("booster", BOOSTERS)
def test_other_parameters_reach_the_library(booster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scores, _, ours, _, passed = BOOSTERS[booster]
    seen: list[dict[str, Any]] = []
    if booster == "lightgbm":
        inner = lightgbm.sklearn.train
        monkeypatch.setattr(lightgbm.sklearn, "train", lambda **k: (seen.append(dict(k["params"])), inner(**k))[1])
    elif booster == "xgboost":
        fit = xgboost.XGBClassifier.fit
        monkeypatch.setattr(
            xgboost.XGBClassifier, "fit", lambda self, *a, **k: (seen.append(self.get_params()), fit(self, *a, **k))[1]
        )
    elif booster == "sklearn":
        bins = HistGradientBoostingClassifier._bin_data
        monkeypatch.setattr(
            HistGradientBoostingClassifier,
            "_bin_data",
            lambda self, *a, **k: (seen.append(vars(self)), bins(self, *a, **k))[1],
        )
    else:
        train = catboost.CatBoostClassifier._train
        monkeypatch.setattr(
            catboost.CatBoostClassifier, "_train", lambda self, *a: (seen.append(dict(a[2])), train(self, *a))[1]
        )
    for name, value in passed.items():
        if value is not None:
            seen.clear()
            scores(ours, gamma=2.0, **{name: value})
            assert name in seen[-1] or name in READ_HERE, name


@pytest.mark.parametrize(("booster", "name"), [(b, n) for b in BOOSTERS for n in REFUSED[b]], ids="-".join)
def test_refused_parameters_say_what_to_use(booster: str, name: str) -> None:
    scores, _, ours, _, _ = BOOSTERS[booster]
    defaults = {"lightgbm": of_lightgbm.DEFAULTS, "catboost": of_catboost.DEFAULTS}.get(booster, {})
    default = defaults.get(name, False)
    value = (not default) if isinstance(default, bool) else "Decreasing" if isinstance(default, str) else default + 0.5
    with pytest.raises(ValueError, match=rf"`{name}` must be left alone, got .*: \w+"):
        scores(ours, gamma=2.0, **{name: value})
    if booster == "lightgbm" and name in of_lightgbm.DEFAULTS:
        scores(ours, gamma=2.0, **{name: default})


def test_aliases_of_lightgbm_are_refused_alike() -> None:
    for alias, name in of_lightgbm.NAMES.items():
        if name in of_lightgbm.REFUSED:
            with pytest.raises(ValueError, match=rf"`{alias}` must be left alone"):
                lightgbm_scores(FocalLGBMClassifier, **{alias: 7.5})


@pytest.mark.parametrize("booster", BOOSTERS)
@pytest.mark.parametrize("method", ["fit", "predict", "predict_proba"])
def test_methods_take_the_arguments_of_the_library_in_its_order(booster: str, method: str) -> None:
    _, theirs, ours, _, _ = BOOSTERS[booster]

    def order(cls: Any) -> list[tuple[str, Any]]:
        return [(p.name, p.kind) for p in inspect.signature(getattr(cls, method)).parameters.values()]

    assert order(ours) == order(theirs)
