"""The texts of each booster's objectives and metrics that differ: the lines above the sections, and the example."""

WORDS = {
    "lightgbm": {
        "binary_focal_objective": (
            """Binary focal loss as an objective for ``lightgbm.train({"objective": ...})``.""",
            """>>> from focal_loss.calibration import prior_logit
>>> from focal_loss.lightgbm import binary_focal_objective
>>> import lightgbm, numpy as np
>>> start = prior_logit(0.3, gamma=2)
>>> data = lightgbm.Dataset(np.arange(100.0)[:, None], np.arange(100) >= 70, init_score=np.full(100, start))
>>> parameters = {"objective": binary_focal_objective(gamma=2), "verbosity": -1}
>>> scores = start + lightgbm.train(parameters, data, 20).predict([[5.0], [95.0]])
>>> bool(scores[0] < 0 < scores[1])
True""",
        ),
        "categorical_focal_objective": (
            """Softmax focal loss as an objective for ``lightgbm.train({"objective": ..., "num_class": K})``.""",
            """>>> from focal_loss.lightgbm import categorical_focal_objective
>>> import lightgbm, numpy as np
>>> data = lightgbm.Dataset(np.arange(99.0)[:, None], np.arange(99) // 33)
>>> parameters = {"objective": categorical_focal_objective(gamma=2), "num_class": 3, "verbosity": -1}
>>> lightgbm.train(parameters, data, 20).predict([[5.0], [50.0], [95.0]]).argmax(axis=1)
array([0, 1, 2])""",
        ),
        "binary_focal_metric": (
            """Binary focal loss of raw scores as a metric for ``lightgbm.train(..., feval=...)``.""",
            """>>> from focal_loss.lightgbm import binary_focal_metric
>>> import lightgbm, numpy as np
>>> data = lightgbm.Dataset(np.zeros((2, 1)), [0, 1]).construct()
>>> shown, value, higher_is_better = binary_focal_metric(gamma=2)(np.array([0.0, 0.0]), data)
>>> shown, round(value, 6), higher_is_better
('focal_loss(gamma=2)', 0.173287, False)""",
        ),
        "categorical_focal_metric": (
            """Softmax focal loss of raw scores as a metric for ``lightgbm.train(..., feval=...)``.""",
            """>>> from focal_loss.lightgbm import categorical_focal_metric
>>> import lightgbm, numpy as np
>>> data = lightgbm.Dataset(np.zeros((1, 1)), [0]).construct()
>>> shown, value, higher_is_better = categorical_focal_metric(gamma=2)(np.array([[1.0, 0.0, -1.0]]), data)
>>> shown, round(value, 6), higher_is_better
('focal_loss(gamma=2)', 0.045678, False)""",
        ),
    },
    "xgboost": {
        "binary_focal_objective": (
            """Binary focal loss as an objective for ``xgboost.train(..., obj=...)``.""",
            """>>> from focal_loss.xgboost import binary_focal_objective
>>> import numpy as np, xgboost
>>> data = xgboost.DMatrix(np.arange(100.0)[:, None], np.arange(100) > 90)
>>> booster = xgboost.train({"base_score": -1.1}, data, 20, obj=binary_focal_objective(gamma=2))
>>> booster.predict(xgboost.DMatrix([[5.0], [95.0]])).round(1)
array([-2.1,  1.1], dtype=float32)""",
        ),
        "categorical_focal_objective": (
            """Softmax focal loss as an objective for ``xgboost.train({"num_class": K}, ..., obj=...)``.""",
            """>>> from focal_loss.xgboost import categorical_focal_objective
>>> import numpy as np, xgboost
>>> data = xgboost.DMatrix(np.arange(99.0)[:, None], np.arange(99) // 33)
>>> booster = xgboost.train({"num_class": 3}, data, 20, obj=categorical_focal_objective(gamma=2))
>>> booster.predict(xgboost.DMatrix([[5.0], [50.0], [95.0]]), output_margin=True).argmax(axis=1)
array([0, 1, 2])""",
        ),
        "binary_focal_metric": (
            """Binary focal loss of raw scores as a metric for ``xgboost.train(..., obj=..., custom_metric=...)``.""",
            """>>> from focal_loss.xgboost import binary_focal_metric
>>> import numpy as np, xgboost
>>> data = xgboost.DMatrix(np.zeros((2, 1)), [0, 1])
>>> shown, value = binary_focal_metric(gamma=2)(np.array([0.0, 0.0]), data)
>>> shown, round(value, 5)
('focal_loss(gamma=2)', 0.17329)""",
        ),
        "categorical_focal_metric": (
            """Softmax focal loss of raw scores as a metric for ``xgboost.train(..., obj=..., custom_metric=...)``.""",
            """>>> from focal_loss.xgboost import categorical_focal_metric
>>> import numpy as np, xgboost
>>> data = xgboost.DMatrix(np.zeros((1, 1)), [0])
>>> shown, value = categorical_focal_metric(gamma=2)(np.array([[1.0, 0.0, -1.0]]), data)
>>> shown, round(value, 5)
('focal_loss(gamma=2)', 0.04568)""",
        ),
    },
    "catboost": {
        "binary_focal_objective": (
            """Binary focal loss as an objective for CatBoost's ``loss_function=``.

With an objective in Python CatBoost needs an `eval_metric`, and runs on the CPU. It asks for the derivatives of
about a thousand examples at a time, sequentially: for 100,000 examples of 28 columns on 2 cores, this takes as long
as CatBoost's own ``Focal``, and 1.4 times as long as its ``Logloss``. On many cores the difference is greater,
because those losses run in parallel.""",
            """>>> from focal_loss.catboost import binary_focal_metric, binary_focal_objective
>>> import catboost, numpy as np
>>> pool = catboost.Pool(np.arange(100.0)[:, None], np.arange(100) > 90, baseline=np.full(100, -1.1))
>>> loss = {"loss_function": binary_focal_objective(gamma=2), "eval_metric": binary_focal_metric(gamma=2)}
>>> settings = {"iterations": 20, "learning_rate": 0.3, "verbose": False, "allow_writing_files": False}
>>> catboost.train(pool, loss | settings).predict([[5.0], [95.0]]).round(1)
array([-0.6,  2. ])""",
        ),
        "categorical_focal_objective": (
            """Softmax focal loss as an objective for CatBoost's ``loss_function=``, with ``classes_count=K``.

A Newton step divides by the whole K x K Hessian, as that of CatBoost's own ``MultiClass`` does. The policies of
`hessian` apply to the second derivative in the margin of the true class. With an objective in Python CatBoost needs
an `eval_metric`, and runs on the CPU. It asks for the derivatives of one example at a time, twice in each round:
about 30 microseconds an example and round at K = 3, some 20 to 60 times as long as ``MultiClass`` takes.""",
            """>>> from focal_loss.catboost import categorical_focal_metric, categorical_focal_objective
>>> import catboost, numpy as np
>>> pool = catboost.Pool(np.arange(99.0)[:, None], np.arange(99) // 33)
>>> loss = {"loss_function": categorical_focal_objective(gamma=2), "eval_metric": categorical_focal_metric(gamma=2)}
>>> settings = {"classes_count": 3, "iterations": 20, "verbose": False, "allow_writing_files": False}
>>> catboost.train(pool, loss | settings).predict([[5.0], [50.0], [95.0]]).argmax(axis=1)
array([0, 1, 2])""",
        ),
        "binary_focal_metric": (
            """Binary focal loss of raw scores as a metric for CatBoost's ``eval_metric=``.""",
            """>>> from focal_loss.catboost import binary_focal_metric
>>> import numpy as np
>>> metric = binary_focal_metric(gamma=2)
>>> round(metric.get_final_error(*metric.evaluate([np.array([0.0, 0.0])], np.array([0.0, 1.0]), None)), 6)
0.173287""",
        ),
        "categorical_focal_metric": (
            """Softmax focal loss of raw scores as a metric for CatBoost's ``eval_metric=``.""",
            """>>> from focal_loss.catboost import categorical_focal_metric
>>> import numpy as np
>>> metric = categorical_focal_metric(gamma=2)
>>> round(metric.get_final_error(*metric.evaluate(np.array([[1.0], [0.0], [-1.0]]), np.array([0.0]), None)), 6)
0.045678""",
        ),
    },
}
