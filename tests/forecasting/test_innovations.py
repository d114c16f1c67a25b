"""Innovations, against the whole covariance matrix and against the errors that made the series."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import solve_triangular, toeplitz
from scipy.signal import lfilter

from forecasting.innovations import innovations

unit = st.floats(-0.85, 0.85)


def polynomial(partial):
    """Coefficients whose roots lie outside the circle (Monahan 1984, Biometrika 71(2))."""
    out = np.empty(0)
    for r in partial:
        out = np.append(out - r * out[::-1], r)
    return out


def slow_innovations(phi, theta, u):
    """The series whitened by the Cholesky factor of its whole covariance matrix."""
    psi = lfilter(np.append(1, theta), np.append(1, -phi), np.append(1, np.zeros(3999)))
    covariance = toeplitz([psi[: len(psi) - lag] @ psi[lag:] for lag in range(len(u))])
    return solve_triangular(np.linalg.cholesky(covariance), u, lower=True)


@settings(deadline=None, max_examples=30)
@given(st.lists(unit, max_size=3), st.lists(unit, max_size=3))
def test_they_whiten_by_the_whole_covariance_matrix(partial, moving):
    phi, theta = polynomial(partial), -polynomial(moving)
    u = np.random.default_rng(1).normal(size=40)
    np.testing.assert_allclose(innovations(phi, theta, u), slow_innovations(phi, theta, u), rtol=0, atol=1e-7)


@pytest.mark.parametrize(("phi", "theta"), [([], []), ([0.7], []), ([], [0.5, -0.3]), ([0.5, 0.2], [0.4])], ids=str)
def test_they_are_the_errors_that_made_the_series(phi, theta):
    errors = np.random.default_rng(2).normal(size=400)
    u = lfilter(np.append(1, theta), np.append(1, -np.array(phi)), errors)
    found = innovations(np.array(phi), np.array(theta), u[100:])
    assert found.shape == (300,)
    np.testing.assert_allclose(found[150:], errors[250:], atol=1e-6)  # the unknown past is forgotten by then
