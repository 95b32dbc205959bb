"""Encrypted vectors and tensors of velum.he against NumPy and Python's integers."""

import pathlib
import pickle
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from velum import he


@pytest.fixture(scope="module")
def ckks():
    return he.ckks_keys(depth=3, precision_bits=20)


@pytest.fixture(scope="module")
def bfv():
    return he.bfv_keys(depth=2, plaintext_bits=17)


def uniform(shape, seed, largest=1.0):
    return np.random.default_rng(seed).uniform(-largest, largest, shape)


def assert_near(keys, encrypted, expected, bits=15):
    decrypted = keys.decrypt_for_owner(encrypted)
    assert decrypted.shape == np.shape(expected) == encrypted.shape
    largest = np.abs(decrypted - expected).max()
    assert largest < 2.0**-bits, largest
    # What the ciphertexts claim is true, and is what was asked for.
    assert np.abs(expected).max() <= encrypted.message_bound * (1 + 1e-9)
    assert encrypted.precision_bits > bits
    assert encrypted.history == "known"


def centred(values, t):
    """The representatives in [-t/2, t/2] of Python's integers."""
    return np.vectorize(lambda v: (int(v) + t // 2) % t - t // 2, otypes=[np.int64])(
        np.asarray(values, dtype=object)
    )


def test_the_example_of_the_documentation():
    keys = he.ckks_keys(depth=2)
    v = keys.encrypt([0.5, -0.25, 0.125])
    w = v * v + 2 * v @ np.eye(3)
    x = np.array([0.5, -0.25, 0.125])
    assert_near(keys, w, x * x + 2 * x)


def test_operators_are_those_of_numpy(ckks):
    x, y = uniform(5, 1), uniform(5, 2)
    a, b = ckks.encrypt(x), ckks.encrypt(torch.from_numpy(y))
    for encrypted, expected, used in [
        (a + b, x + y, 0),
        (a - b, x - y, 0),
        (-a, -x, 0),
        (a + y, x + y, 0),
        (y + a, x + y, 0),
        (a + torch.from_numpy(y), x + y, 0),
        (a - y, x - y, 0),
        (y - a, y - x, 0),
        (a + 1, x + 1, 0),
        (0.5 - a, 0.5 - x, 0),
        (a * b, x * y, 1),
        (a * y, x * y, 1),
        (y * a, x * y, 1),
        (3 * a, 3 * x, 0),
        (a * -0.75, -0.75 * x, 1),
        (a * np.float32(0.5), 0.5 * x, 1),
        (a**1, x, 0),
        (a**2, x**2, 1),
        (a**5, x**5, 3),
        ((a * b) * 0.5 + a, x * y * 0.5 + x, 2),
        (a * b - b * a, 0 * x, 1),
    ]:
        assert_near(ckks, encrypted, expected)
        assert encrypted.level == ckks.context.parameters.max_level - used


def test_vectors_of_any_length_turn_and_add_up(ckks):
    x = uniform(8, 3)
    a = ckks.encrypt(x)
    for steps in (0, 1, 3, -1, 8, -13):
        assert_near(ckks, a.rotate(steps), np.roll(x, -steps))
    for size in (1, 2, 5, 100):
        y, z = uniform(size, size), uniform(size, size + 1)
        b = ckks.encrypt(y)
        assert_near(ckks, b.sum(), [y.sum()], bits=12)
        assert_near(ckks, b.dot(ckks.encrypt(z)), [y @ z], bits=12)
        assert_near(ckks, b @ z, [y @ z], bits=12)
        assert_near(ckks, b * b.sum(), y * y.sum(), bits=10)
    with pytest.raises(ValueError, match="do not go around"):
        ckks.encrypt(uniform(6, 4)).rotate(1)


@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (5, 3), (3, 9), (33, 2), (1, 20), (64, 64)])
def test_row_vectors_times_matrices(ckks, shape):
    x, matrix = uniform(shape[0], 5), uniform(shape, 6) / shape[0]
    assert_near(ckks, ckks.encrypt(x) @ matrix, x @ matrix, bits=12)
    assert_near(ckks, torch.from_numpy(matrix).T @ ckks.encrypt(x), x @ matrix, bits=12)


def test_a_matrix_that_is_encoded_once_multiplies_as_it_is(ckks, bfv):
    matrix = uniform((5, 3), 6) / 5
    encoded = ckks.encode_matrix(matrix)
    assert encoded.shape == (5, 3) and encoded.level == 3
    assert encoded.message_bound >= np.abs(matrix).sum(0).max()
    for seed in (5, 6):
        x = uniform(5, seed)
        a = ckks.encrypt(x)
        assert_near(ckks, a @ encoded, x @ matrix, bits=12)
        assert_near(ckks, a.matmul(encoded), x @ matrix, bits=12)
        assert (a @ encoded).message_bound == (a @ matrix).message_bound
    low = ckks.encode_matrix(matrix, level=1, message_bound=2.0)
    assert (low.level, low.message_bound) == (1, 2.0)
    product = a @ low
    assert_near(ckks, product, x @ matrix, bits=12)
    assert product.level == 0
    squared = a * a
    assert_near(ckks, squared @ low, (x * x) @ matrix, bits=12)
    with pytest.raises(ValueError, match="encoded at level 3 and the vector at level 2"):
        squared @ encoded
    with pytest.raises(ValueError, match=r"shape \(5, 3\), expected \[4, m\]"):
        ckks.encrypt(uniform(4, 1)) @ encoded
    with pytest.raises(ValueError, match="message_bound beside an encoded matrix"):
        a.matmul(encoded, message_bound=2.0)
    with pytest.raises(ValueError, match="level = 4, expected 1 to 3"):
        ckks.encode_matrix(matrix, level=4)
    with pytest.raises(ValueError, match="level = -1"):
        ckks.encode_matrix(matrix, level=-1)
    with pytest.raises(ValueError, match="1 dimensions"):
        ckks.encode_matrix(matrix[0])
    with pytest.raises(TypeError):
        a @ bfv.encode_matrix([[1, 2]])

    t = bfv.modulus
    integers = np.array([[3, -1], [0, 5], [t // 2, 2]])
    encoded = bfv.encode_matrix(integers)
    assert encoded.shape == (3, 2)
    for row in ([1, 2, 3], [-5, 0, 7]):
        product = bfv.decrypt_for_owner(bfv.encrypt(row) @ encoded)
        assert np.array_equal(
            product, centred(np.array(row, dtype=object) @ integers.astype(object), t)
        )
    for cls in (he.EncodedMatrix, he.bfv.EncodedMatrix):
        with pytest.raises(TypeError):
            repr(cls.__new__(cls).shape)


def test_what_follows_a_matrix_is_a_vector_like_any_other(ckks):
    x, matrix = uniform(12, 7), uniform((12, 3), 8) / 12
    y = x @ matrix
    a = ckks.encrypt(x) @ matrix
    assert_near(ckks, a + ckks.encrypt(y), 2 * y, bits=12)
    assert_near(ckks, a.sum(), [y.sum()], bits=12)
    assert_near(ckks, a.polyval([0.25, 0.5, 0.125]), 0.25 + 0.5 * y + 0.125 * y**2, bits=12)
    assert_near(
        ckks,
        (a.polyval([0.25, 0.5, 0.125])).sum(),
        [(0.25 + 0.5 * y + 0.125 * y**2).sum()],
        bits=11,
    )


def test_polynomials_of_both_kinds(ckks):
    x = uniform(7, 9)
    sigmoid = he.Polynomial.chebyshev(lambda z: 1 / (1 + np.exp(-z)), bound=1.0, degree=7)
    assert_near(ckks, ckks.encrypt(x).apply(sigmoid), 1 / (1 + np.exp(-x)), bits=12)
    with pytest.raises(ValueError, match="message_bound"):
        ckks.encrypt(x, message_bound=2.0).apply(sigmoid)
    known = ckks.encrypt(x, message_bound=2.0)
    known.declare_message_bound(1.0)
    assert_near(ckks, known.apply(sigmoid), 1 / (1 + np.exp(-x)), bits=12)


def test_tensors_compute_on_a_batch(ckks):
    x, y = uniform((6, 3), 10), uniform((6, 3), 11)
    t, u = ckks.encrypt_tensor(x), ckks.encrypt_tensor(y)
    weights = uniform((3, 2), 12)
    assert_near(ckks, t, x)
    assert_near(ckks, t + u, x + y)
    assert_near(ckks, t - y, x - y)
    assert_near(ckks, t * u, x * y)
    assert_near(ckks, t * y[0], x * y[0])
    assert_near(ckks, 0.5 * t + y[:, :1], 0.5 * x + y[:, :1])
    assert_near(ckks, t @ weights, x @ weights)
    assert_near(ckks, t.sum(1), x.sum(1))
    assert_near(ckks, t[:, 1], x[:, 1])
    assert_near(ckks, t[:, 1:], x[:, 1:])
    assert_near(ckks, t.reshape(6, 1, 3).sum(-1), x.reshape(6, 1, 3).sum(-1))
    assert_near(ckks, t.polyval([0, 0, 0.5]), 0.5 * x * x)
    two_layers = (t @ weights) ** 2 @ uniform((2, 4), 13)
    assert_near(ckks, two_layers, (x @ weights) ** 2 @ uniform((2, 4), 13), bits=12)
    with pytest.raises(ValueError, match="the first lies in the slots"):
        t.sum(0)
    with pytest.raises(IndexError, match="first axis lies in the slots"):
        t[0]
    with pytest.raises(ValueError, match="first axis to stay"):
        t.reshape(3, 6)


def test_integers_are_exact_modulo_t(bfv):
    t = bfv.modulus
    generator = np.random.default_rng(14)
    x, y = (generator.integers(-(t // 2), t // 2, 6) for _ in range(2))
    matrix = generator.integers(-(t // 2), t // 2, (6, 3))
    big_x, big_y, big_matrix = (v.astype(object) for v in (x, y, matrix))
    a, b = bfv.encrypt(x), bfv.encrypt(torch.from_numpy(y))
    for encrypted, expected in [
        (a, big_x),
        (a + b, big_x + big_y),
        (a - b, big_x - big_y),
        (y - a, big_y - big_x),
        (-a, -big_x),
        (a + 7, big_x + 7),
        (a - np.uint8(200), big_x - 200),
        (a * b, big_x * big_y),
        (a * y, big_x * big_y),
        (-12345 * a, -12345 * big_x),
        (a**2, big_x**2),
        (a.sum(), [big_x.sum()]),
        (a.dot(b), [(big_x * big_y).sum()]),
        (a @ matrix, big_x @ big_matrix),
        (bfv.encrypt(x[:4]).rotate(-1), np.roll(big_x[:4], 1)),
    ]:
        decrypted = bfv.decrypt_for_owner(encrypted)
        assert decrypted.dtype == np.int64
        assert np.array_equal(decrypted, centred(expected, t))
        assert 0 < encrypted.noise_budget <= bfv.noise_budget_for_owner(encrypted)
        assert np.array_equal(bfv.decrypt_for_release(encrypted), decrypted)
    batch = generator.integers(-100, 100, (5, 6))
    tensor = bfv.encrypt_tensor(batch)
    for encrypted, expected in [
        (tensor @ matrix, batch.astype(object) @ big_matrix),
        (tensor.sum(1), batch.sum(1)),
        (tensor * tensor, batch * batch),
    ]:
        assert np.array_equal(bfv.decrypt_for_owner(encrypted), centred(expected, t))


def test_whoever_computes_holds_no_secret(ckks):
    public = ckks.public()
    assert ckks.is_owner and not public.is_owner
    x = uniform(4, 15)
    encrypted = public.encrypt(x)
    with pytest.raises(RuntimeError, match="no secret key"):
        public.decrypt_for_owner(encrypted)
    assert_near(ckks, encrypted * encrypted, x * x)
    with pytest.raises(TypeError, match="public()"):
        pickle.dumps(ckks)


def test_vectors_and_public_keys_travel_as_pickles(ckks):
    x = uniform(5, 16)
    public = pickle.loads(pickle.dumps(ckks.public()))
    data = pickle.dumps([ckks.encrypt(x), ckks.encrypt_tensor(x.reshape(5, 1))])
    vector, tensor = pickle.loads(data)
    with pytest.raises(RuntimeError, match="link"):
        vector + vector
    vector.link(public)
    assert vector.history == "unknown"
    doubled = vector + vector
    decrypted = ckks.decrypt_for_owner(doubled)
    assert np.abs(decrypted - 2 * x).max() < 2.0**-15
    with pytest.raises(ValueError, match="history"):
        ckks.decrypt_for_release(doubled)
    tensor.link(ckks)
    tensor.vouch_for_history()
    assert tensor.history == "known"
    other = he.ckks_keys(depth=3, precision_bits=20, rotations=False)
    with pytest.raises(ValueError, match="belongs to the secret key"):
        vector.link(other)
    with pytest.raises(ValueError, match="belongs to the secret key"):
        he.CkksKeys(ckks.context, ckks.public_key, other.relinearization_key)


def test_ciphertexts_of_the_direct_layer_become_vectors(ckks):
    x = uniform(4, 17)
    encoder = he.Encoder(ckks.context)
    ciphertext = he.Encryptor(ckks.public_key).encrypt(encoder.encode(x))
    vector = ckks.vector(ciphertext, 4)
    assert_near(ckks, vector.rotate(1), np.roll(x, -1))
    three = he.Evaluator(ckks.context).square(ciphertext)
    assert_near(ckks, ckks.vector(three, 4) + vector, x * x + x)


def test_a_release_fits_beside_many_levels():
    keys = he.ckks_keys(depth=4, precision_bits=40, rotations=False)
    x = uniform(3, 18)
    encrypted = keys.encrypt(x)
    released = keys.decrypt_for_release(encrypted, queries=2)
    exact = np.abs(keys.decrypt_for_owner(encrypted) - x).max()
    flooded = np.abs(released - x).max()
    assert exact < 2.0**-36 and exact < flooded < 2.0**-10


def test_bounds_of_plain_operands_can_be_said(ckks):
    x, w = uniform(3, 19), np.array([0.3, -0.2, 0.1])
    a = ckks.encrypt(x)
    assert (a * w).message_bound == 0.5
    assert a.multiply(w, message_bound=1.0).message_bound == 1.0
    assert (a @ np.ones((3, 2))).message_bound == 4.0
    assert a.matmul(np.ones((3, 2)), message_bound=3.0).message_bound == 3.0
    with pytest.raises(ValueError, match="a magnitude of 3, expected at most"):
        a.matmul(np.ones((3, 2)), message_bound=2.0)


def test_errors_say_what_was_expected(ckks, bfv):
    a = ckks.encrypt([0.5, 0.25])
    with pytest.raises(ValueError, match="at most message_bound = 1"):
        ckks.encrypt([1.5])
    with pytest.raises(ValueError, match="expected 1 to N/2"):
        ckks.encrypt(np.zeros(ckks.context.parameters.max_slots + 1))
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(3,\), expected the same"):
        a + ckks.encrypt([0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match=r"shape \(3,\), expected \(2,\)"):
        a + [1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match=r"expected \[2, m\]"):
        a @ np.eye(3)
    with pytest.raises(ValueError, match="every entry is 0"):
        a @ np.zeros((2, 2))
    with pytest.raises(ValueError, match="exponent = 0"):
        a**0
    with pytest.raises(ValueError, match="operation needs 1"):
        a * 0.5 * 0.5 * 0.5 * 0.5
    for bad in ("b", None, 1j, object(), [None], bfv.encrypt([1])):
        with pytest.raises(TypeError):
            a + bad
        with pytest.raises(TypeError):
            a * bad
    with pytest.raises(TypeError, match="expected integers"):
        bfv.encrypt([1]) * 0.5
    with pytest.raises(RuntimeError, match="needs Galois keys"):
        he.bfv_keys(depth=0, rotations=False).encrypt([1, 2]).rotate(1)


anything = st.one_of(
    st.none(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.floats(-2, 2), max_size=5),
    st.lists(st.integers(), max_size=5),
    st.builds(
        lambda shape, dtype: np.ones(shape, dtype),
        st.lists(st.integers(0, 4), max_size=3),
        st.sampled_from(["f8", "f2", "i8", "u8", "u1", "c8", "?", "O", "U1"]),
    ),
)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_operand_crashes(ckks, bfv, data):
    things = [
        ckks.encrypt([0.5, 0.25]),
        ckks.encrypt_tensor([[0.5, 0.25]]),
        bfv.encrypt([1, 2, 3]),
        bfv.encrypt_tensor([[1, 2], [3, 4]]),
    ]
    left = data.draw(st.sampled_from([*things, ckks, bfv]))
    names = [n for n in dir(left) if not n.startswith("_")]
    names += ["__add__", "__sub__", "__mul__", "__matmul__", "__rmatmul__", "__pow__"]
    names += ["__rsub__", "__getitem__", "__getitem__"]
    member = getattr(left, data.draw(st.sampled_from([n for n in names if n != "generate"])), None)
    if not callable(member):
        return
    arguments = st.one_of(anything, st.sampled_from(things), st.just(slice(None)))
    try:
        result = member(*data.draw(st.lists(arguments, max_size=2)))
    except (TypeError, ValueError, IndexError, OverflowError, RuntimeError, AttributeError):
        return
    if isinstance(result, type(things[0])):
        ckks.decrypt_for_owner(result)


def test_every_line_of_the_documentation_runs(tmp_path, monkeypatch):
    """Blocks as they are, and of each table row what stands between backticks in its last cell."""
    page = pathlib.Path(__file__).parents[2] / "docs" / "python_he.md"
    monkeypatch.chdir(tmp_path)  # registers are directories
    names: dict[str, object] = {}
    block: list[str] | None = None
    ran = 0
    for line in page.read_text().splitlines():
        if line == "```python":
            block = []
        elif line == "```" and block is not None:
            exec("\n".join(block), names)
            block, ran = None, ran + 1
        elif block is not None:
            block.append(line)
        elif line.startswith("| ") and not line.startswith(("| ---", "| TenSEAL", "| SEAL")):
            for code in re.findall(r"`([^`]+)`", line.rsplit(" | ", 1)[-1]):
                exec(code, names)
                ran += 1
    assert ran > 40
