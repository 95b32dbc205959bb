"""velum.he against the definitions: slots by evaluation at roots of unity, results by NumPy."""

import copy
import gc
import pickle
import threading

import numpy as np
import pytest
import torch
import velum
from hypothesis import given, settings
from hypothesis import strategies as st
from velum import he


def roots(degree: int) -> np.ndarray:
    """zeta^(5^j), j = 0 .. N/2 - 1, zeta = exp(i pi / N): exponents in Python's integers."""
    exponents = [pow(5, j, 2 * degree) for j in range(degree // 2)]
    return np.exp(1j * np.pi * np.array(exponents) / degree)


def values_at_roots(coefficients: np.ndarray) -> np.ndarray:
    """sum_k m_k zeta^(5^j k), by the definition, with exact exponents."""
    degree = len(coefficients)
    table = np.exp(1j * np.pi * np.arange(2 * degree) / degree)
    exponents = np.array([pow(5, j, 2 * degree) for j in range(degree // 2)])
    powers = np.outer(exponents, np.arange(degree)) % (2 * degree)
    return table[powers] @ coefficients.astype(np.float64)


def random_slots(count: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.uniform(-1, 1, count) + 1j * generator.uniform(-1, 1, count)


@pytest.mark.parametrize("degree", [2, 4, 8, 64, 1024])
def test_encoded_polynomial_has_the_slots_as_values_at_the_roots(degree):
    slots = random_slots(degree // 2, degree)
    coefficients = he.ckks_encode(slots, 2.0**40, degree)
    assert coefficients.dtype == np.int64 and coefficients.shape == (degree,)
    # N roundings of at most 1/2 each, and the errors of two embeddings in float64.
    bound = degree / 2 + 2.0**40 * degree * 1e-13
    assert np.abs(values_at_roots(coefficients) - 2.0**40 * slots).max() <= bound


@pytest.mark.parametrize("degree", [8, 256])
def test_coefficients_are_the_rounded_sums_over_the_roots(degree):
    slots = random_slots(degree // 2, degree + 1)
    zeta = roots(degree)
    exact = np.array(
        [
            2.0**30 * 2 / degree * np.real(np.sum(slots * zeta ** (-k % (2 * degree))))
            for k in range(degree)
        ]
    )
    assert np.abs(he.ckks_encode(slots, 2.0**30, degree) - exact).max() <= 0.5 + 1e-3


def test_decoding_evaluates_the_polynomial_at_the_roots():
    generator = np.random.default_rng(3)
    coefficients = generator.integers(-(2**40), 2**40, 128)
    decoded = he.ckks_decode(coefficients, 2.0**40)
    assert decoded.dtype == np.complex128 and decoded.shape == (64,)
    assert np.allclose(decoded, values_at_roots(coefficients) / 2.0**40, rtol=0, atol=1e-11)


def test_decoding_undoes_encoding_and_products_of_polynomials_multiply_slots():
    a, b = random_slots(32, 1), random_slots(32, 2)
    x, y = he.ckks_encode(a, 2.0**25, 64), he.ckks_encode(b, 2.0**25, 64)
    assert np.abs(he.ckks_decode(x, 2.0**25) - a).max() < 64 / 2.0**25
    product = np.zeros(64, dtype=object)
    for i in range(64):
        for j in range(64):
            sign = 1 if i + j < 64 else -1
            product[(i + j) % 64] += sign * int(x[i]) * int(y[j])
    slots = he.ckks_decode(product.astype(np.int64), 2.0**50)
    assert np.abs(slots - a * b).max() < 4 * 64 / 2.0**25


def test_fewer_slots_are_repeated():
    few = random_slots(4, 5)
    coefficients = he.ckks_encode(few, 2.0**40, 64)
    assert np.allclose(he.ckks_decode(coefficients, 2.0**40), np.tile(few, 8), atol=1e-10)


def test_encoding_takes_lists_tensors_and_strides():
    slots = np.linspace(-1, 1, 16)
    expected = he.ckks_encode(slots, 1e6, 32)
    for same in (
        slots.tolist(),
        torch.from_numpy(slots),
        np.repeat(slots, 2)[::2],
        slots[::-1].copy()[::-1],
        slots.astype(">f8"),
        slots.astype(np.complex128),
    ):
        assert np.array_equal(he.ckks_encode(same, 1e6, 32), expected)
    assert np.array_equal(
        he.ckks_decode(torch.from_numpy(expected), 1e6), he.ckks_decode(expected, 1e6)
    )


def test_what_the_encoder_refuses_is_named():
    with pytest.raises(ValueError, match="ring_degree = 48, expected a power of two"):
        he.ckks_encode([1.0], 1.0, 48)
    with pytest.raises(ValueError, match="ring_degree = 0"):
        he.ckks_decode(np.zeros(0, np.int64), 1.0)
    with pytest.raises(ValueError, match="scale"):
        he.ckks_encode([1.0], 0.0, 16)
    with pytest.raises(ValueError, match=r"expected -2\^63 to 2\^63 - 1"):
        he.ckks_encode([1.0], 2.0**64, 16)
    with pytest.raises(ValueError, match="finite"):
        he.ckks_encode([float("nan")], 1.0, 16)
    with pytest.raises(ValueError, match="dimensions, expected 1"):
        he.ckks_encode([[1.0]], 1.0, 16)
    with pytest.raises(TypeError, match="expected real numbers"):
        he.ckks_encode(["one"], 1.0, 16)
    with pytest.raises(TypeError, match="expected integers"):
        he.ckks_decode([1.0, 2.0], 1.0)


class Ckks:
    def __init__(self):
        builder = he.ParametersBuilder().log_n(12).scale_bits(26).depth(1)
        self.context = he.Context(builder.build())
        self.generator = he.KeyGenerator(self.context)
        self.secret = self.generator.secret_key()
        self.public = self.generator.public_key(self.secret)
        self.relinearization = self.generator.relinearization_key(self.secret)
        self.galois = self.generator.galois_keys(self.secret, [1, 2, 4, -1], True)
        self.encoder = he.Encoder(self.context)
        self.encryptor = he.Encryptor(self.public)
        self.decryptor = he.Decryptor(self.secret)
        self.evaluator = he.Evaluator(self.context)

    def encrypt(self, values, **options):
        return self.encryptor.encrypt(self.encoder.encode(values, **options))

    def decrypt(self, ciphertext, slots=None):
        plaintext = self.decryptor.decrypt_for_owner(ciphertext)
        return self.encoder.decode_complex(plaintext, slots)


class Bfv:
    def __init__(self):
        self.context = he.Context(he.Parameters.bfv_for_depth(1, 17))
        self.modulus = self.context.parameters.plaintext_modulus
        self.generator = he.KeyGenerator(self.context)
        self.secret = self.generator.secret_key()
        self.public = self.generator.public_key(self.secret)
        self.relinearization = self.generator.relinearization_key(self.secret)
        self.galois = self.generator.galois_keys(self.secret, [1, -3], True)
        self.encoder = he.bfv.BatchEncoder(self.context)
        self.encryptor = he.bfv.Encryptor(self.public)
        self.decryptor = he.bfv.Decryptor(self.secret)
        self.evaluator = he.bfv.Evaluator(self.context)

    def encrypt(self, values):
        return self.encryptor.encrypt(self.encoder.encode(values))

    def decrypt(self, ciphertext, count=None):
        return self.encoder.decode(self.decryptor.decrypt_for_owner(ciphertext), count)

    def centred(self, values):
        """The representatives in [-t/2, t/2] of Python's integers."""
        t = self.modulus
        return np.array([(int(v) + t // 2) % t - t // 2 for v in values])


@pytest.fixture(scope="module")
def ckks():
    return Ckks()


@pytest.fixture(scope="module")
def bfv():
    return Bfv()


def test_parameters_say_what_they_are(ckks):
    parameters = ckks.context.parameters
    assert parameters.scheme == "CKKS" and parameters.security == 128
    assert parameters.ring_degree == 2**parameters.log_n == 2 * parameters.max_slots
    assert parameters.scale(parameters.max_level) == 2.0**26
    assert parameters.log_qp == pytest.approx(sum(np.log2(parameters.primes)))
    assert len(parameters.primes) == parameters.special_prime_count + parameters.limbs(1)
    assert parameters == he.Parameters.from_bytes(parameters.to_bytes())
    assert hash(parameters) == hash(pickle.loads(pickle.dumps(parameters)))
    assert parameters != he.Parameters.for_depth(0, 12) and parameters != "parameters"
    assert "128" in str(parameters)
    with pytest.raises(IndexError):
        parameters.limbs(parameters.max_level + 1)


def test_a_ring_that_is_not_secure_is_refused():
    builder = he.ParametersBuilder().log_n(12).scale_bits(26).depth(20)
    with pytest.raises(ValueError, match="log2"):
        builder.build()
    insecure = he.ParametersBuilder().log_n(4).scale_bits(26).insecure_without_security_check()
    parameters = insecure.build()
    assert parameters.security is None
    data = parameters.to_bytes()
    with pytest.raises(he.SerializationError):
        he.Parameters.from_bytes(data)
    assert he.Parameters.from_bytes_insecure_without_security_check(data) == parameters
    with pytest.raises(ValueError, match="from_bytes_insecure_without_security_check"):
        pickle.dumps(parameters)
    with pytest.raises(ValueError, match="security = 100, expected 128, 192 or 256"):
        he.Parameters.for_depth(1, 20, security=100)


def test_ckks_computes_what_numpy_computes(ckks):
    x, y = random_slots(2048, 7) / 2, random_slots(2048, 8) / 2
    a, b = ckks.encrypt(x), ckks.encrypt(y)
    e, k, g = ckks.evaluator, ckks.relinearization, ckks.galois
    plain = ckks.encoder.encode(y)
    lower = e.rescale(e.multiply_constant(a, 0.3, ckks.context.parameters.level_modulus(1)))
    product = e.rescale(e.relinearize(e.multiply(a, b), k))
    results = {
        "add": (e.add(a, b), x + y),
        "subtract": (e.subtract(a, b), x - y),
        "negate": (e.negate(a), -x),
        "add_plain": (e.add_plain(a, plain), x + y),
        "subtract_plain": (e.subtract_plain(a, plain), x - y),
        "add_constant": (e.add_constant(a, 0.25), x + 0.25),
        "multiply": (product, x * y),
        "square": (e.rescale(e.relinearize(e.square(a), k)), x * x),
        "multiply_plain": (e.rescale(e.multiply_plain(a, plain)), x * y),
        "multiply_constant": (lower, 0.3 * x),
        "multiply_integer": (e.multiply_integer(a, -3), -3 * x),
        "adjust": (e.adjust(a, 0, product.scale), x),
        "drop_to_level": (e.drop_to_level(a, 0), x),
        "rotate": (e.rotate(a, 1, g), np.roll(x, -1)),
        "rotate back": (e.rotate(a, -1, g), np.roll(x, 1)),
        "hoisted": (e.rotate(e.hoist(a), 2, g), np.roll(x, -2)),
        "conjugate": (e.conjugate(a, g), np.conj(x)),
        "sum_slots": (e.sum_slots(a, 4, g), sum(np.roll(x, -i) for i in range(4))),
    }
    for name, (ciphertext, expected) in results.items():
        error = np.abs(ckks.decrypt(ciphertext) - expected).max()
        assert error < 2.0**-8, (name, error)
        assert error <= ciphertext.slot_bound / ciphertext.scale, name
        assert ciphertext.history == "known"
    assert product.level == 0 and product.scale == pytest.approx(
        2.0**52 / ckks.context.parameters.level_modulus(1)
    )


def test_symmetric_encryption_and_coefficients(ckks):
    values = np.linspace(-1, 1, 100)
    symmetric = he.SymmetricEncryptor(ckks.secret)
    plaintext = ckks.encoder.encode_coefficients(values)
    seeded = symmetric.encrypt_seeded(plaintext)
    assert seeded.serialized_size < 0.6 * symmetric.encrypt(plaintext).serialized_size
    decrypted = ckks.decryptor.decrypt_for_owner(seeded.expand())
    assert np.abs(ckks.encoder.decode_coefficients(decrypted, 100) - values).max() < 2.0**-18


def test_matrices_and_polynomials():
    context = he.Context(he.Parameters.for_depth(depth=3, precision_bits=15))
    generator = he.KeyGenerator(context)
    secret = generator.secret_key()
    encoder, evaluator = he.Encoder(context), he.Evaluator(context)
    x = np.random.default_rng(0).uniform(-1, 1, 16)
    a = he.Encryptor(generator.public_key(secret)).encrypt(encoder.encode(x))
    decryptor = he.Decryptor(secret)
    matrix = np.random.default_rng(1).uniform(-1, 1, (16, 16)) / 16
    transform = he.LinearTransform.from_matrix(encoder, matrix)
    keys = generator.galois_keys(secret, transform.rotations)
    product = transform.apply(evaluator, a, keys)
    assert product.level == transform.level - 1
    decoded = encoder.decode(decryptor.decrypt_for_owner(product), 16)
    assert np.abs(decoded - matrix @ x).max() < 2.0**-12

    cube = he.Polynomial([0.5, 0.0, -0.25, 0.125])
    sigmoid = he.Polynomial.chebyshev(lambda z: 1 / (1 + np.exp(-z)), bound=1.0, degree=7)
    assert (cube.degree, cube.depth, cube.basis) == (3, 2, "monomial")
    assert sigmoid.basis == "chebyshev" and sigmoid(0.3) == pytest.approx(1 / (1 + np.exp(-0.3)))
    relinearization = generator.relinearization_key(secret)
    for polynomial, expected in (
        (cube, 0.5 - 0.25 * x**2 + 0.125 * x**3),
        (sigmoid, 1 / (1 + np.exp(-x))),
    ):
        value = he.evaluate(evaluator, a, polynomial, relinearization)
        decoded = encoder.decode(decryptor.decrypt_for_owner(value), 16)
        assert np.abs(decoded - expected).max() < 2.0**-10
    with pytest.raises(ZeroDivisionError):
        he.Polynomial.chebyshev(lambda z: 1 / 0, bound=1.0, degree=3)


def test_bfv_is_exact(bfv):
    t, n = bfv.modulus, bfv.encoder.slots
    generator = np.random.default_rng(4)
    x, y = generator.integers(-(t // 2), t // 2, n), generator.integers(-(t // 2), t // 2, n)
    a, b = bfv.encrypt(x), bfv.encrypt(y)
    e, k, g = bfv.evaluator, bfv.relinearization, bfv.galois
    plain = bfv.encoder.encode(y)
    rows = x.reshape(2, n // 2)
    big_x, big_y = x.astype(object), y.astype(object)
    results = {
        "add": (e.add(a, b), big_x + big_y),
        "subtract": (e.subtract(a, b), big_x - big_y),
        "negate": (e.negate(a), -big_x),
        "add_plain": (e.add_plain(a, plain), big_x + big_y),
        "subtract_plain": (e.subtract_plain(a, plain), big_x - big_y),
        "multiply": (e.relinearize(e.multiply(a, b), k), big_x * big_y),
        "square": (e.relinearize(e.square(a), k), big_x * big_x),
        "multiply_plain": (e.multiply_plain(a, plain), big_x * big_y),
        "multiply_integer": (e.multiply_integer(a, -12345), -12345 * big_x),
        "mod_switch_to": (e.mod_switch_to(a, 0), big_x),
        "rotate_rows": (e.rotate_rows(a, 1, g), np.roll(rows, -1, axis=1).ravel()),
        "rotate_rows back": (e.rotate_rows(a, -3, g), np.roll(rows, 3, axis=1).ravel()),
        "rotate_columns": (e.rotate_columns(a, g), rows[::-1].ravel()),
    }
    for name, (ciphertext, expected) in results.items():
        assert np.array_equal(bfv.decrypt(ciphertext), bfv.centred(expected)), name
        measured = bfv.decryptor.noise_budget_for_owner(ciphertext)
        assert 0 < ciphertext.noise_budget_estimate <= measured, name
    released = bfv.decryptor.decrypt_for_release(a)
    assert np.array_equal(bfv.encoder.decode(released, 5), x[:5])


def test_bfv_takes_signed_and_unsigned_values(bfv):
    t = bfv.modulus
    unsigned = np.array([0, 1, t - 1], dtype=np.uint64)
    plaintext = bfv.encoder.encode(unsigned)
    assert bfv.encoder.decode(plaintext, 3).tolist() == [0, 1, -1]
    decoded = bfv.encoder.decode(plaintext, 3, unsigned=True)
    assert decoded.dtype == np.uint64 and decoded.tolist() == unsigned.tolist()
    coefficients = he.bfv.CoefficientEncoder(bfv.context)
    encoded = coefficients.encode([3, -4], value_bound=4)
    assert encoded.coefficient_sum == 8 and coefficients.decode(encoded, 3).tolist() == [3, -4, 0]
    with pytest.raises(ValueError):
        bfv.encoder.encode([t])
    with pytest.raises(TypeError, match="expected integers"):
        bfv.encoder.encode([1.5])
    with pytest.raises(TypeError, match="expected integers"):
        bfv.encoder.encode([2**80])


def test_each_scheme_refuses_the_parameters_of_the_other(ckks, bfv):
    for make in (he.Encoder, he.Evaluator):
        with pytest.raises(ValueError, match="CKKS|BFV"):
            make(bfv.context)
    with pytest.raises(ValueError, match="CKKS|BFV"):
        he.bfv.BatchEncoder(ckks.context)
    with pytest.raises(ValueError, match="CKKS|BFV"):
        he.bfv.Encryptor(ckks.public)


def test_public_objects_survive_bytes_and_pickles(ckks, bfv):
    plaintext = ckks.encoder.encode([0.5, 0.25])
    switching = ckks.generator.key_switching_key(ckks.secret, ckks.generator.secret_key())
    symmetric = he.SymmetricEncryptor(ckks.secret)
    integers = bfv.encoder.encode([1, 2])
    objects = [
        plaintext,
        ckks.encryptor.encrypt(plaintext),
        symmetric.encrypt_seeded(plaintext),
        ckks.public,
        ckks.relinearization,
        ckks.galois,
        switching,
        integers,
        bfv.encryptor.encrypt(integers),
        he.bfv.SymmetricEncryptor(bfv.secret).encrypt_seeded(integers),
    ]
    for thing in objects:
        data = thing.to_bytes()
        assert len(data) == thing.serialized_size
        loaded = type(thing).from_bytes(thing.context, bytearray(data))
        assert loaded.to_bytes() == data
        pickled = pickle.loads(pickle.dumps(thing))
        assert type(pickled) is type(thing) and pickled.to_bytes() == data
        assert pickled.context == thing.context
        for damaged in (data[:-1], data + b"x", b"", b"velum" * 10):
            with pytest.raises(he.SerializationError):
                type(thing).from_bytes(thing.context, damaged)
    with pytest.raises(he.SerializationError):
        he.PublicKey.from_bytes(ckks.context, ckks.public.to_bytes(), expected_key="0" * 32)
    with pytest.raises(ValueError, match="expected 32 hexadecimal digits"):
        he.PublicKey.from_bytes(ckks.context, ckks.public.to_bytes(), expected_key="key")


def test_a_pickle_finds_the_context_of_its_parameters(ckks):
    ciphertext = pickle.loads(pickle.dumps(ckks.encrypt([0.5])))
    both = ckks.evaluator.add(ciphertext, ckks.encrypt([0.25]))
    assert ckks.decrypt(both, 1)[0].real == pytest.approx(0.75, abs=1e-3)
    again = he.Context(ckks.context.parameters)
    assert again == ckks.context and hash(again) == hash(ckks.context)


def test_a_secret_key_leaves_only_by_the_call_that_says_so(ckks):
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="to_bytes_unencrypted"):
            attempt(ckks.secret)
    with pytest.raises(TypeError, match="to_bytes_unencrypted"):
        pickle.dumps({"keys": [ckks.secret]}, protocol=2)
    data = ckks.secret.to_bytes_unencrypted()
    loaded = he.SecretKey.from_bytes_unencrypted(ckks.context, data, expected_key=ckks.secret.id)
    ciphertext = ckks.encrypt([0.5])
    plaintext = he.Decryptor(loaded).decrypt_for_owner(ciphertext)
    assert ckks.encoder.decode(plaintext, 1)[0] == pytest.approx(0.5, abs=1e-3)
    for text in (repr(ckks.secret), str(ckks.secret)):
        assert len(text) < 100
    assert not hasattr(ckks.secret, "to_bytes")


def test_a_wrong_key_is_an_error(ckks):
    other = he.Decryptor(ckks.generator.secret_key())
    with pytest.raises(ValueError, match="key"):
        other.decrypt_for_owner(ckks.encrypt([0.5]))


def test_a_release_is_flooded_and_needs_a_known_history():
    builder = he.ParametersBuilder().log_n(13).scale_bits(29).base_bits(110).depth(0)
    context = he.Context(builder.build())
    generator = he.KeyGenerator(context)
    secret = generator.secret_key()
    encoder, decryptor = he.Encoder(context), he.Decryptor(secret)
    ciphertext = he.Encryptor(generator.public_key(secret)).encrypt(
        encoder.encode([0.5], scale=2.0**90)
    )
    owner = encoder.decode(decryptor.decrypt_for_owner(ciphertext), 1)[0]
    released = encoder.decode(decryptor.decrypt_for_release(ciphertext, queries=4), 1)[0]
    assert abs(owner - 0.5) < 2.0**-60
    assert 2.0**-60 < abs(released - 0.5) < 2.0**-8
    loaded = he.Ciphertext.from_bytes(context, ciphertext.to_bytes())
    assert loaded.history == "unknown"
    with pytest.raises(ValueError, match="history"):
        decryptor.decrypt_for_release(loaded)
    loaded.vouch_for_history()
    assert loaded.history == "known"
    decryptor.decrypt_for_release(loaded)
    copied = copy.deepcopy(loaded)
    copied.declare_message_bound(0.75)
    assert (copied.message_bound, loaded.message_bound) == (0.75, 1.0)
    with pytest.raises(ValueError, match="statistical_bits"):
        decryptor.decrypt_for_release(loaded, statistical_bits=9)


def test_a_key_is_vouched_for_before_it_is_used(ckks):
    key = he.PublicKey.from_bytes(ckks.context, ckks.public.to_bytes())
    assert key.history == "unknown"
    encryptor = he.Encryptor(key)
    assert encryptor.encrypt(ckks.encoder.encode([0.5])).history == "unknown"
    with pytest.raises(RuntimeError, match="before it is used"):
        key.vouch_for_history()
    del encryptor
    gc.collect()
    key.vouch_for_history()
    assert key.history == "known"
    assert he.Encryptor(key).encrypt(ckks.encoder.encode([0.5])).history == "known"


def test_errors_keep_their_kind(ckks):
    a = ckks.encrypt([0.5])
    with pytest.raises(IndexError, match="there is no key for the Galois element"):
        ckks.evaluator.rotate(a, 7, ckks.galois)
    product = ckks.evaluator.multiply(a, a)
    with pytest.raises(ValueError, match="differ"):
        ckks.evaluator.add(product, a)
    with pytest.raises(ValueError, match="beyond|at most message_bound"):
        ckks.encoder.encode([1.5])
    with pytest.raises(ValueError, match="expected 'cpu', 'cuda' or 'cuda:<index>'"):
        he.Context(ckks.context.parameters, device="tpu")
    with pytest.raises(ValueError, match="threads = 0"):
        he.Context(ckks.context.parameters, threads=0)
    if not velum.built_with_cuda():
        with pytest.raises(velum.BackendUnavailable):
            he.Context(ckks.context.parameters, device="cuda:0")
    for bad in (None, 1, "a", ckks.context, [a]):
        with pytest.raises(TypeError):
            ckks.evaluator.add(a, bad)


def test_seeded_randomness_is_named_insecure(ckks):
    def encrypted():
        randomness = he.Randomness.insecure_from_seed(5)
        return he.Encryptor(ckks.public, randomness).encrypt(ckks.encoder.encode([0.5]))

    assert encrypted().to_bytes() == encrypted().to_bytes()
    assert ckks.encrypt([0.5]).to_bytes() != ckks.encrypt([0.5]).to_bytes()


def test_other_threads_run_while_work_is_done(ckks):
    """The GIL is released: a thread counts on while another one makes keys."""
    started, done, counts = threading.Event(), threading.Event(), []

    def count():
        started.set()
        while not done.is_set():
            counts.append(None)
            done.wait(0.0005)

    thread = threading.Thread(target=count)
    thread.start()
    started.wait()
    during = 0
    # On a busy machine it may not get a core during a call; if calls held the GIL, it never would.
    for _ in range(50):
        before = len(counts)
        ckks.generator.galois_keys(ckks.secret, list(range(1, 65)))
        during = max(during, len(counts) - before)
        if during >= 3:
            break
    done.set()
    thread.join()
    assert during >= 3


CLASSES = [
    getattr(module, name)
    for module in (he, he.bfv)
    for name in module.__all__
    if isinstance(getattr(module, name), type)
]


def test_everything_public_says_what_it_is():
    for module in (he, he.bfv):
        assert module.__doc__
        for name in module.__all__:
            assert getattr(module, name).__doc__, name
    for cls in CLASSES:
        for name, member in vars(cls).items():
            if not name.startswith("_"):
                assert member.__doc__, (cls, name)


def test_an_object_that_was_never_made_is_an_error():
    calls = 0
    for cls in CLASSES:
        if issubclass(cls, BaseException):
            continue
        unmade = cls.__new__(cls)
        for name, member in vars(cls).items():
            if isinstance(member, property):
                with pytest.raises((TypeError, RuntimeError, AttributeError)):
                    getattr(unmade, name)
                calls += 1
    assert calls > 40


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-3, 20),
    st.floats(),
    st.complex_numbers(),
    st.text(max_size=8),
    st.binary(max_size=80),
    st.lists(st.floats(-1, 1), max_size=9),
    st.lists(st.integers(), max_size=5),
    st.builds(
        lambda shape, dtype: np.zeros(shape, dtype),
        st.lists(st.integers(0, 4), max_size=3),
        st.sampled_from(["f8", "f4", "f2", "i8", "u1", "u8", "c8", "c16", "?", "O", "U3", "M8[s]"]),
    ),
    st.builds(lambda n, step: np.linspace(-1, 1, n)[::step], st.integers(0, 33), st.just(-2)),
    st.builds(lambda n: torch.ones(n), st.integers(0, 8)),
)
EXPECTED = (TypeError, ValueError, IndexError, OverflowError, RuntimeError, AttributeError)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_argument_crashes(ckks, bfv, data):
    """Wrong types, shapes, numbers: a result or an exception, whatever goes in."""
    a, integer = ckks.encrypt([0.5]), bfv.encrypt([1])
    owners = [
        he,
        he.bfv,
        ckks.context,
        ckks.context.parameters,
        ckks.generator,
        ckks.encoder,
        ckks.encryptor,
        ckks.decryptor,
        ckks.evaluator,
        bfv.encoder,
        bfv.encryptor,
        bfv.decryptor,
        bfv.evaluator,
        he.bfv.CoefficientEncoder(bfv.context),
        he.ParametersBuilder(),
        a,
        integer,
        ckks.galois,
        *CLASSES,
    ]
    things = st.one_of(
        anything,
        st.sampled_from(
            [
                ckks.context,
                ckks.secret,
                ckks.public,
                ckks.relinearization,
                ckks.galois,
                a,
                ckks.encoder.encode([0.25]),
                integer,
                bfv.encoder.encode([3]),
                bfv.public,
            ]
        ),
    )
    owner = data.draw(st.sampled_from(owners))
    # Depths and lists of steps that are honest and large are slow, not wrong.
    slow = {"for_depth", "bfv_for_depth", "galois_keys", "galois_keys_of_elements", "build"}
    names = [n for n in dir(owner) if not n.startswith("_") and n not in slow]
    name = data.draw(st.sampled_from(names))
    arguments = data.draw(st.lists(things, max_size=4))
    keywords = data.draw(
        st.dictionaries(
            st.sampled_from(["level", "scale", "message_bound", "count", "unsigned", "queries"]),
            anything,
            max_size=2,
        )
    )
    try:
        member = getattr(owner, name)
        if callable(member):
            member(*arguments, **keywords)
    except EXPECTED:
        pass


@settings(max_examples=100, deadline=None)
@given(
    values=anything,
    scale=st.one_of(st.floats(), st.just(2.0**20)),
    degree=st.one_of(st.integers(), st.sampled_from([2, 8, 64])),
)
def test_encode_and_decode_refuse_or_answer(values, scale, degree):
    try:
        coefficients = he.ckks_encode(values, scale, degree)
    except EXPECTED:
        coefficients = None
    if coefficients is not None:
        assert coefficients.shape == (degree,)
        assert he.ckks_decode(coefficients, scale).shape == (degree // 2,)
    try:
        he.ckks_decode(values, scale)
    except EXPECTED:
        pass


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_changed_bytes_are_refused(ckks, data):
    original = ckks.public.to_bytes()
    changed = bytearray(original)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at] ^= data.draw(st.integers(1, 255))
    if changed == original:
        return
    with pytest.raises(he.SerializationError):
        he.PublicKey.from_bytes(ckks.context, changed)
