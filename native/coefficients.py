"""The coefficients of all kernels: minimax polynomials by the exchange of Remez, at 40 digits.

``python native/coefficients.py`` prints them, with the largest weighted error as a power of 2. Needs mpmath.
"""

from __future__ import annotations

from collections.abc import Callable

from mpmath import cos, exp, log, log1p, lu_solve, matrix, mp, mpf, nstr, pi

mp.dps = 40
Function = Callable[[mpf], mpf]


def exp_tail(r: mpf) -> mpf:
    """(e^r - 1 - r) / r^2."""
    return (exp(r) - 1 - r) / r**2 if abs(r) > mpf(10) ** -8 else mpf(1) / 2 + r / 6 + r * r / 24


def log1p_tail(u: mpf) -> mpf:
    """(u - log(1 + u)) / u^2."""
    return (u - log1p(u)) / u**2 if abs(u) > mpf(10) ** -8 else mpf(1) / 2 - u / 3 + u * u / 4


def log1p_ratio(u: mpf) -> mpf:
    """log(1 + u) / u."""
    return log1p(u) / u if abs(u) > mpf(10) ** -8 else 1 - u / 2 + u * u / 3


def remez(f: Function, low: mpf, high: mpf, degree: int, weight: Function) -> tuple[list[mpf], mpf]:
    """The polynomial of this degree with the smallest largest ``weight * (f - polynomial)``, and that error."""
    count = degree + 2
    middle, half = (low + high) / 2, (high - low) / 2
    grid = [middle - half * cos(pi * mpf(k) / (60 * count)) for k in range(60 * count + 1)]
    points = [middle - half * cos(pi * mpf(k) / (count - 1)) for k in range(count)]
    for _ in range(12):
        system = matrix(count, count)
        for i, x in enumerate(points):
            for j in range(degree + 1):
                system[i, j] = x**j
            system[i, degree + 1] = (-1) ** i / weight(x)
        solution = lu_solve(system, matrix([f(x) for x in points]))
        coefficients = [solution[j] for j in range(degree + 1)]
        errors = [weight(x) * (f(x) - sum(c * x**j for j, c in enumerate(coefficients))) for x in grid]
        extrema = alternating_extrema(errors)
        while len(extrema) > count:
            extrema.pop(0 if abs(errors[extrema[0]]) < abs(errors[extrema[-1]]) else -1)
        if len(extrema) < count:
            break
        points = [grid[k] for k in extrema]
    return coefficients, max(map(abs, errors))


def alternating_extrema(errors: list[mpf]) -> list[int]:
    """The largest error of each run of one sign."""
    result: list[int] = []
    for k, error in enumerate(errors):
        if not result or (error > 0) != (errors[result[-1]] > 0):
            result.append(k)
        elif abs(error) > abs(errors[result[-1]]):
            result[-1] = k
    return result


if __name__ == "__main__":
    half_ln2 = log(2) / 2 * mpf("1.0001")  # n is rounded from a product that is itself rounded
    for name, f, low, high, weight, degrees in (
        ("exp", exp_tail, -half_ln2, half_ln2, lambda r: r * r / exp(r) + mpf("1e-3"), (4, 9)),
        ("log1p", log1p_tail, mpf(0), mpf(1), lambda u: u + mpf("0.02"), (8, 20)),
        ("rough log1p", log1p_ratio, mpf(0), mpf(1) / 8, lambda u: 1 / log1p_ratio(u), (3,)),
    ):
        for degree in degrees:
            coefficients, error = remez(f, low, high, degree, weight)
            print(f"{name}, degree {degree}, error 2^{nstr(log(error, 2), 4)}")
            for coefficient in coefficients:
                print(f"    {nstr(coefficient, 20)},")
