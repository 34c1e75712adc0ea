"""From the scores of a model trained with focal loss to class posteriors, and back.

Focal loss is not proper: the score p that minimises its expectation is not the posterior but closer to 1/2. Where the
posterior is e, the expected loss w e f(z) + (1 - e) f(-z) is stationary at the logit z = logit(p) with

    e / (1 - e) = -f'(-z) / (-w f'(z)),    -f'(s) = q^g (q + g p L)

(Charoenphakdee, Vongkulbhisal, Chairatanakul and Sugiyama, "On focal loss for class-posterior probability
estimation: a theoretical perspective", CVPR 2021, arXiv:2011.09172.) For K classes the posterior is
proportional to p_k / phi_k with phi_k = w_k q_k^(g-1) (q_k + g p_k L_k). Both are made of one function of a margin s,
the logarithm of p / phi without the weight,

    U(s) = g l - L - log(1 + g R),    R = p L / q, which rises from 0 to 1
    U'(s) = q + g (2p - R + g p R) / (1 + g R),    dU/dg = l - R / (1 + g R)

    two classes    logit(posterior) = T(z) - log w,    T(z) = U(z) - U(-z)
    K classes      posterior = softmax of U(s_k) - log w_k,    s_k the margins of the scores

U behaves as s for s -> -inf and as g s - log(1 + g) for s -> inf; nothing in it underflows before the result does.
The notation is that of `formula`, and so is the mechanism: `evaluate` and the custom gradients find the functions here
in `FAMILIES`. They give first derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from focal_loss._core.formula import FAMILIES, Array, Index, Ops
from focal_loss._core.sigmoid import Sigmoid, sigmoid_from_logits

STEPS = 4  # of Newton's method; derived in `inverse`
FAR = 1e4  # at this margin a probability is 0 or 1 in any format


class Evidence(NamedTuple):
    """U, its derivatives, and its part log(1 + g R)."""

    value: Array
    in_margin: Array
    in_gamma: Array
    gain: Array


class LogOdds(NamedTuple):
    """T and its derivatives."""

    value: Array
    in_logit: Array
    in_gamma: Array


def sigmoid_of(ops: Ops, z: Array) -> Sigmoid:
    return sigmoid_from_logits(ops, z, 0.0)  # no power of p or q is taken


def ratio_of(ops: Ops, sigmoid: Sigmoid) -> Array:
    """R. L is clipped where p is 0: TensorFlow's graphs multiply L by gamma before p, and an infinite product by 0."""
    tiny = ops.smallest(sigmoid.q)
    ratios = ops.clip(sigmoid.neg_log_p, 0.0, FAR) / ops.clip(sigmoid.q, tiny, 1.0)
    return sigmoid.p * ops.where(sigmoid.q >= tiny, ratios, 1.0)  # L / q -> 1 as q -> 0


def evidence(ops: Ops, sigmoid: Sigmoid, gamma: Array) -> Evidence:
    """U, of the score at a margin."""
    p, q, neg_log_p, neg_log_q, _ = sigmoid
    ratio = ratio_of(ops, sigmoid)
    whole = 1 + gamma * ratio
    gain = ops.log1p(gamma * ratio)
    return Evidence(
        gamma * neg_log_q - neg_log_p - gain,
        q + gamma * ((2 * p - ratio + gamma * ratio * p) / whole),
        neg_log_q - ratio / whole,
        gain,
    )


def posterior_logit(ops: Ops, z: Array, gamma: Array) -> Array:
    """T, the posterior's logit without the weight; odd in z. The logarithms of p and q add up to (1 + g) z."""
    if isinstance(gamma, float) and gamma == 0:
        return z
    sigmoid = sigmoid_of(ops, z)
    gains = [ops.log1p(gamma * ratio_of(ops, side)) for side in (sigmoid, sigmoid.flipped())]
    return (1 + gamma) * z + (gains[1] - gains[0])


def log_odds(ops: Ops, z: Array, gamma: Array) -> LogOdds:
    """T and its derivatives; `posterior_logit` is T alone, for less work."""
    sigmoid = sigmoid_of(ops, z)
    side, mirror = evidence(ops, sigmoid, gamma), evidence(ops, sigmoid.flipped(), gamma)
    return LogOdds(
        (1 + gamma) * z + (mirror.gain - side.gain),
        side.in_margin + mirror.in_margin,
        side.in_gamma - mirror.in_gamma,
    )


def inverse(ops: Ops, t: Array, gamma: Array) -> Array:
    """The z with T(z) = t, by the same number of Newton steps for every element.

    T differs from (1 + g) z by a(z) - a(-z) with a = log(1 + g R), at most log(1 + g), so that t / (1 + g) is within
    log(1 + g) / (1 + g) < 0.37 of z. a rises, so T' <= 1 + g; and T' > 0.88 (1 + g) for every gamma. So a step leaves
    at most 0.14 of the error, and soon squares it: no step needs a guard, and the fourth changes only the last place
    of float64.
    """
    t = ops.clip(t, -ops.largest(t) / 4, ops.largest(t) / 4)  # the score is 0 or 1 far before
    z = t / (1 + gamma)
    for _ in range(STEPS):
        found = log_odds(ops, z, gamma)
        z = z - (found.value - t) / found.in_logit
    return z


def log_weight(ops: Ops, weight: Array) -> Array:
    return math.log(weight) if isinstance(weight, float) else ops.log(weight)


def first_order(index: Index) -> None:
    if len(index) > 1:
        raise NotImplementedError("posteriors and their scores give first derivatives, not second ones")


# ---------------------------------------------------------------------------------------------------------------
# Families
# ---------------------------------------------------------------------------------------------------------------


def posterior(ops: Ops, index: Index, z: Array, gamma: Array, weight: Array) -> Array:
    """sigmoid(T(z) - log w). Arguments: 0 logit, 1 gamma, 2 weight of the positives."""
    first_order(index)
    if not index:
        return sigmoid_of(ops, posterior_logit(ops, z, gamma) - log_weight(ops, weight)).p
    odds = log_odds(ops, z, gamma)
    found = sigmoid_of(ops, odds.value - log_weight(ops, weight))
    return found.p * found.q * {"0": odds.in_logit, "1": odds.in_gamma, "2": -1 / weight}[index]


def posterior_of_score(ops: Ops, index: Index, x: Array, gamma: Array, weight: Array) -> Array:
    """`posterior` as a function of the score x = sigmoid(z). NaN outside [0, 1]; at 0 and 1 it has the derivative of
    the next number.
    """
    first_order(index)
    if index != "0":
        return posterior(ops, index, ops.log(x / (1 - x)), gamma, weight)
    z = inner_logit(ops, x)
    odds = log_odds(ops, z, gamma)
    return stretch(ops, odds.value - log_weight(ops, weight), z) * odds.in_logit


def score_of_posterior(ops: Ops, index: Index, x: Array, gamma: Array, weight: Array) -> Array:
    """The inverse of `posterior_of_score`, with the derivatives of an implicit function."""
    first_order(index)
    t = inner_logit(ops, x) if index == "0" else ops.log(x / (1 - x))
    z = inverse(ops, t + log_weight(ops, weight), gamma)
    sigmoid = sigmoid_of(ops, z)
    if not index:
        return sigmoid.p
    odds = log_odds(ops, z, gamma)
    if index == "0":
        return stretch(ops, z, t) / odds.in_logit
    return sigmoid.p * sigmoid.q / odds.in_logit * (-odds.in_gamma if index == "1" else 1 / weight)


def inner_logit(ops: Ops, x: Array) -> Array:
    """The logit of x; at 0 and 1 that of the next number inside."""
    tiny = ops.smallest(x)
    return ops.log(ops.clip(x, tiny, 1.0) / ops.clip(1 - x, tiny, 1.0))


def stretch(ops: Ops, t: Array, z: Array) -> Array:
    """d sigmoid(t) / d sigmoid(z) for t = z + a constant, finite where both are tiny."""
    new, old = sigmoid_of(ops, t), sigmoid_of(ops, z)
    return ops.exp((old.neg_log_p - new.neg_log_p) + (old.neg_log_q - new.neg_log_q))


def class_evidence(ops: Ops, index: Index, s: Array, gamma: Array, weight: Array) -> Array:
    """U(s) - log w. Arguments: 0 margin, 1 gamma, 2 weight of the class."""
    first_order(index)
    found = evidence(ops, sigmoid_of(ops, s), gamma)
    match index:
        case "":
            return found.value - log_weight(ops, weight)
        case "0":
            return found.in_margin
        case "1":
            return found.in_gamma
    return -1 / weight


def logarithm(ops: Ops, index: Index, x: Array) -> Array:
    """log(x), the logit of a class in a softmax; its derivative at 0 is that at the smallest number."""
    first_order(index)
    return 1 / ops.clip(x, ops.smallest(x), ops.largest(x)) if index else ops.log(x)


FAMILIES.update(
    {
        "posterior": posterior,
        "posterior_of_score": posterior_of_score,
        "score_of_posterior": score_of_posterior,
        "class_evidence": class_evidence,
        "logarithm": logarithm,
    }
)


# ---------------------------------------------------------------------------------------------------------------
# Scores with given posteriors, for K classes, on the host
# ---------------------------------------------------------------------------------------------------------------


def increasing_root(function: Callable[[Array], tuple[Array, Array]], low: Array, high: Array) -> Array:
    """The root of an increasing function; `function` returns its value and slope.

    Newton's steps; the middle of the bracket where one leaves it or is more than half of the one before.
    """
    x, last = (low + high) / 2, high - low
    for _ in range(300):
        value, slope = function(x)
        low, high = np.where(value < 0, x, low), np.where(value < 0, high, x)
        step = x - value / slope
        good = (step >= low) & (step <= high) & (2 * np.abs(step - x) <= last)
        following = np.where(good, step, (low + high) / 2)
        last = np.abs(following - x)
        if np.all(last <= 4 * np.finfo(np.float64).eps * np.maximum(np.abs(x), 1)):
            return following
        x = following
    raise ArithmeticError("no scores were found that have these posteriors")


def margin_of_evidence(ops: Ops, u: Array, gamma: Array) -> Array:
    """The s with U(s) = u, or `FAR` where U stays below u, as it does at gamma = 0.

    As 0 < R < 1, U(s) <= s + g log 2 for s < 0 and U(s) >= g s - log 2 - log(1 + g) for s > 0.
    """
    low = np.minimum(u - gamma * math.log(2), 0) - 1
    high = np.maximum(u + math.log(2) + np.log1p(gamma), 0) / np.maximum(gamma, 1e-9)

    def function(s: Array) -> tuple[Array, Array]:
        found = evidence(ops, sigmoid_of(ops, s), gamma)
        return found.value - u, found.in_margin

    return increasing_root(function, low, np.minimum(high, FAR))


def softmax_of_evidence(ops: Ops, targets: Array, gamma: Array, top: int) -> Array:
    """log p_k of the probabilities, of sum 1, with U(s_k) = targets_k + a common constant.

    The unknown is the margin of the class `top`, which gives the constant, which gives the others. Their sum rises
    with it and 1 - p_top falls. `top` has the largest target: a probability next to 1 can only be its own, and the
    smaller the sum of the others, the better it is known.
    """
    others = np.arange(len(targets)) != top
    gap, focus = targets[others] - targets[top], gamma[others]

    def at(s: Array) -> tuple[Sigmoid, Evidence, Sigmoid]:
        own = sigmoid_of(ops, s)
        found = evidence(ops, own, gamma[top])
        return own, found, sigmoid_of(ops, margin_of_evidence(ops, gap + found.value, focus))

    def function(s: Array) -> tuple[Array, Array]:
        own, found, rest = at(s)
        least = rest.neg_log_p.min()
        ratios = np.exp(least - rest.neg_log_p)
        slopes = rest.q / evidence(ops, rest, focus).in_margin
        value = np.log(ratios.sum()) - least + own.neg_log_q
        return value, own.p + found.in_margin * (ratios * slopes).sum() / ratios.sum()

    own, _, rest = at(increasing_root(function, np.float64(-FAR), np.float64(FAR)))
    return np.insert(-rest.neg_log_p, top, -own.neg_log_p)


def logits_of_prior(ops: Ops, prior: Array, gamma: Array, weight: Array) -> Array:
    """Scores, of mean 0, whose posterior is proportional to `prior`; all of shape (K,), float64 and positive."""
    targets = np.log(prior) + np.log(weight)
    with np.errstate(all="ignore"):
        logits = softmax_of_evidence(ops, targets, gamma, int(np.argmax(targets)))
    return logits - logits.mean()
