"""The product m^g B of two functions of the prediction and of a soft label: how far off, and the cross-entropy."""

from __future__ import annotations

from typing import NamedTuple

from focal_loss._core.formula import Array, Index, Ops
from focal_loss._core.powers import exponential, is_small, power, product


class Mix(NamedTuple):
    """The parts of m^g B and their partial derivatives in the prediction x and the label y.

    m may underflow where m_x / m and B / m have finite limits, so the quotients are parts of their own.
    """

    m: Array
    neg_log_m: Array
    m_p_minus_q: Array  # m = (1 + m_p_minus_q) / 2
    B: Array
    m_x_over_m: Array
    B_x: Array
    B_xx: Array
    B_xy: Array
    m_xx_B_over_m: Array  # (d2m/dx2) B / m
    m_xy_B_over_m: Array
    B_over_m: Array
    B_x_over_m: Array
    m_y: Array
    B_y: Array
    m_x: Array


def mix_derivative(ops: Ops, index: Index, parts: Mix, gamma: float | Array) -> Array:
    """The derivative of m^g B in 0 the prediction, 1 the label, 2 gamma: the product rule, in safe quotients.

    m^g comes before a second gamma, as in `focal.margin_derivative`.
    """
    m, neg_log_m, m_p_minus_q, B = parts[:4]
    # Only derivatives in the label can be large where m^g is small, so only there m must not underflow inside the
    # power.
    by_label = "1" in index
    base = (neg_log_m, m_p_minus_q)
    if index == "0" and is_small(gamma) and (gamma == 0 or gamma > 1):
        # m^(g-1) is a product too, and 0 where m is: no quotients.
        cross_entropy = product(ops, m, gamma) * parts.B_x
        return cross_entropy + gamma * product(ops, m, gamma - 1) * (parts.m_x * B) if gamma else cross_entropy
    factor = exponential(ops, *base, gamma) if by_label else power(ops, m, *base, gamma)
    steep = factor * gamma
    m_x_B_over_m = parts.m_x_over_m * B
    first_x = factor * parts.B_x + steep * m_x_B_over_m
    m_y_B_over_m = parts.m_y * parts.B_over_m
    first_y = factor * parts.B_y + steep * m_y_B_over_m
    match "".join(sorted(index)):
        case "":
            return factor * B
        case "0":
            return first_x
        case "1":
            return first_y
        case "2":
            return -factor * B * neg_log_m
        case "00":
            return (
                factor * parts.B_xx
                + steep * (2 * parts.m_x_over_m * parts.B_x + parts.m_xx_B_over_m)
                + (steep * parts.m_x_over_m) * ((gamma - 1) * m_x_B_over_m)
            )
        case "01":
            return (
                factor * parts.B_xy
                + steep * (parts.m_x_over_m * parts.B_y + parts.m_y * parts.B_x_over_m + parts.m_xy_B_over_m)
                + (steep * parts.m_x_over_m) * (gamma - 1) * m_y_B_over_m
            )
        case "02":
            return factor * m_x_B_over_m - neg_log_m * first_x
        case "11":
            steeper = ops.exp(-((gamma - 1) * neg_log_m)) * gamma * parts.m_y
            return steeper * 2 * parts.B_y + steeper * (gamma - 1) * m_y_B_over_m
        case "12":
            return factor * m_y_B_over_m - neg_log_m * first_y
        case "22":
            return factor * B * neg_log_m * neg_log_m
    raise NotImplementedError(f"derivative {index}")
