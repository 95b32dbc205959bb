"""velum.he beside TenSEAL on the same numbers; skipped where TenSEAL is not installed."""

import numpy as np
import pytest
from velum import he

ts = pytest.importorskip("tenseal")


def uniform(shape, seed):
    return np.random.default_rng(seed).uniform(-1, 1, shape)


def test_real_vectors_compute_the_same():
    theirs = ts.context(ts.SCHEME_TYPE.CKKS, 16384, coeff_mod_bit_sizes=[60, 40, 40, 40, 40, 60])
    theirs.global_scale = 2**40
    theirs.generate_galois_keys()
    keys = he.ckks_keys(depth=4, precision_bits=25)
    x, y, matrix = uniform(8, 1), uniform(8, 2), uniform((8, 4), 3) / 8
    a, b = keys.encrypt(x), keys.encrypt(y)
    p, q = ts.ckks_vector(theirs, x.tolist()), ts.ckks_vector(theirs, y.tolist())
    for ours, peers in [
        (a + b, p + q),
        (a - b, p - q),
        (a * b, p * q),
        (0.5 * a + y, p * 0.5 + y.tolist()),
        (a * b * b, p * q * q),
        (a.dot(b), p.dot(q)),
        (a.sum(), p.sum()),
        (a @ matrix, p @ matrix.tolist()),
        (a.polyval([0.5, -0.25, 0.125]), p.polyval([0.5, -0.25, 0.125])),
    ]:
        computed = np.array(peers.decrypt())
        assert ours.shape == computed.shape
        # TenSEAL promises no bound; its scale of 2^40 leaves about 25 bits here.
        assert np.abs(keys.decrypt_for_owner(ours) - computed).max() < 2.0**-16


def test_integer_vectors_compute_the_same():
    keys = he.bfv_keys(depth=2, plaintext_bits=20)
    t = keys.modulus
    theirs = ts.context(
        ts.SCHEME_TYPE.BFV,
        poly_modulus_degree=16384,
        plain_modulus=he.Parameters.batching_modulus(14, 20),
    )
    generator = np.random.default_rng(4)
    x, y = generator.integers(-300, 300, 8), generator.integers(-300, 300, 8)
    a, b = keys.encrypt(x), keys.encrypt(y)
    p, q = ts.bfv_vector(theirs, x.tolist()), ts.bfv_vector(theirs, y.tolist())
    assert np.abs(x * y).max() < t // 2  # the moduli may differ: no sum goes around
    for ours, peers in [(a + b, p + q), (a - b, p - q), (a * b, p * q), (a + y, p + y.tolist())]:
        assert keys.decrypt_for_owner(ours).tolist() == peers.decrypt()
