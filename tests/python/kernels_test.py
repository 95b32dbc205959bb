"""velum.kernels against Python's integers and the vectors of RFC 8439."""

import math
import random

import numpy as np
import pytest
import velum
from hypothesis import given, settings
from hypothesis import strategies as st

# The largest primes below 2^61 and of 30 bits that are 1 modulo 2^18, and the smallest that serves.
LARGE = 2305843009211596801
PRIMES = [17, 97, 12289, 1073479681, LARGE]


def is_prime(n: int) -> bool:
    """Miller-Rabin with twelve bases, a proof below 2^64."""
    bases = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)
    if n in bases:
        return True
    if n < 2 or any(n % p == 0 for p in bases):
        return False
    d, s = n - 1, 0
    while d % 2 == 0:
        d, s = d // 2, s + 1
    for a in bases:
        x = pow(a, d, n)
        if x in (1, n - 1):
            continue
        for _ in range(s - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def ntt_prime(n: int, below: int) -> int:
    """The largest prime below `below` that is 1 modulo 2 n."""
    q = (below - 2) // (2 * n) * (2 * n) + 1
    while not is_prime(q):
        q -= 2 * n
    return q


def schoolbook(a: list[int], b: list[int], q: int) -> list[int]:
    n = len(a)
    out = [0] * n
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            if i + j < n:
                out[i + j] += x * y
            else:
                out[i + j - n] -= x * y
    return [v % q for v in out]


def residues(rng: random.Random, n: int, q: int) -> list[int]:
    return [rng.choice((0, 1, q - 1, rng.randrange(q))) for _ in range(n)]


@pytest.mark.parametrize("n", [8, 16, 32, 128])
@pytest.mark.parametrize("bits", [9, 16, 30, 31, 45, 61])
def test_a_negacyclic_product_is_the_schoolbook_one(n, bits):
    q = ntt_prime(n, 1 << bits)
    rng = random.Random(n * 100 + bits)
    a, b = residues(rng, n, q), residues(rng, n, q)
    product = velum.kernels.negacyclic_product(np.array(a), np.array(b), q)
    assert product.dtype == np.int64
    assert product.tolist() == schoolbook(a, b, q)


def test_a_product_of_the_largest_degree():
    # One factor has three terms, so that the schoolbook is short.
    n = 1 << 17
    q = ntt_prime(n, 1 << 61)
    rng = random.Random(17)
    a = residues(rng, n, q)
    terms = {0: rng.randrange(q), 1000: rng.randrange(q), n - 1: q - 1}
    b = np.zeros(n, dtype=np.uint64)
    expected = [0] * n
    for shift, factor in terms.items():
        b[shift] = factor
        shifted = [-x for x in a[n - shift :]] + a[: n - shift]
        expected = [(e + factor * x) % q for e, x in zip(expected, shifted)]
    product = velum.kernels.negacyclic_product(np.array(a, dtype=np.uint64), b, q)
    assert product.dtype == np.uint64
    assert product.tolist() == expected


@pytest.mark.parametrize("n,q", [(8, 17), (8, 97), (16, 97), (64, 12289)])
def test_a_transform_gives_the_values_at_the_roots_in_bit_reversed_order(n, q):
    psi = next(x for x in range(2, q) if pow(x, n, q) == q - 1)
    rng = random.Random(q)
    a = residues(rng, n, q)
    log_n = n.bit_length() - 1
    expected = []
    for j in range(n):
        reverse = int(format(j, f"0{log_n}b")[::-1], 2)
        x = pow(psi, 2 * reverse + 1, q)
        expected.append(sum(c * pow(x, i, q) for i, c in enumerate(a)) % q)
    values = velum.kernels.ntt(a, q)
    assert values.tolist() == expected
    assert velum.kernels.inverse_ntt(values, q).tolist() == a


def test_negative_coefficients_are_taken_modulo_the_modulus():
    q = 97
    a = np.array([-1, -(2**63), 2**63 - 1, -97, -96, 0, 96, 97])
    b = [1, 0, 0, 0, 0, 0, 0, 0]
    assert velum.kernels.negacyclic_product(a, b, q).tolist() == [int(v) % q for v in a]
    small = velum.kernels.negacyclic_product(np.array(b, dtype=np.int8) * -1, b, q)
    assert small.tolist() == [96] + [0] * 7


def test_strided_arrays_are_read_in_their_order():
    q = 12289
    a = np.arange(64)[::-2]
    b = np.asfortranarray(np.arange(64).reshape(2, 32).T)[:, 1]
    expected = schoolbook(a.tolist(), b.tolist(), q)
    assert velum.kernels.negacyclic_product(a, b, q).tolist() == expected


@pytest.mark.parametrize(
    "from_bits,to_bits", [([30], [61]), ([61, 60], [30, 45]), ([40] * 5, [50] * 3)]
)
@pytest.mark.parametrize("n", [8, 64])
def test_a_conversion_gives_the_representative_that_it_promises(from_bits, to_bits, n):
    rng = random.Random(n)
    moduli: list[int] = []
    for bits in from_bits + to_bits:
        q = ntt_prime(n, 1 << bits)
        while q in moduli:
            q = ntt_prime(n, q)
        moduli.append(q)
    source, target = moduli[: len(from_bits)], moduli[len(from_bits) :]
    product = math.prod(source)
    above = product // 2 + 1 + (product >> 112)  # beyond what the documentation leaves open
    x = [0, 1, product - 1, product // 2, product // 2 - 1, above]
    x += [rng.randrange(product) for _ in range(n - len(x))]
    rows = [[v % q for v in x] for q in source]
    centred = velum.kernels.convert_basis(rows, source, target, exact=True)
    signed = [v if 2 * v < product else v - product for v in x]
    assert centred.tolist() == [[v % p for v in signed] for p in target]

    quick = velum.kernels.convert_basis(rows, source, target, exact=False)
    factors = [product // q * pow(product // q, -1, q) % product for q in source]
    lifted = [
        sum(row[i] * pow(product // q, -1, q) % q * (product // q) for row, q in zip(rows, source))
        for i in range(n)
    ]
    assert sum(factors) % product == 1  # the oracle's own interpolation
    assert all(
        (y - v) % product == 0 and 0 <= y - v < len(source) * product for y, v in zip(lifted, x)
    )
    assert quick.tolist() == [[y % p for y in lifted] for p in target]


def test_a_conversion_may_keep_moduli():
    rows = [[5] * 8, [7] * 8]
    out = velum.kernels.convert_basis(rows, [97, 113], [113, 193, 97], exact=True)
    assert out[0].tolist() == rows[1] and out[2].tolist() == rows[0]


KEY = bytes(range(32))


def test_the_keystream_is_that_of_rfc_8439():
    # Section 2.3.2, the block function; section 2.4.2, the stream of two blocks.
    nonce = bytes.fromhex("000000090000004a00000000")
    block = velum.kernels.chacha20_keystream(KEY, nonce, counter=1, size=64)
    assert block.dtype == np.uint8
    assert block.tobytes().hex() == (
        "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
        "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e"
    )
    text = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the "
        b"future, sunscreen would be it."
    )
    stream = velum.kernels.chacha20_keystream(
        KEY, bytes.fromhex("000000000000004a00000000"), counter=1, size=len(text)
    )
    cipher = np.frombuffer(text, np.uint8) ^ stream
    assert cipher.tobytes().hex() == (
        "6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0b"
        "f91b65c5524733ab8f593dabcd62b3571639d624e65152ab8f530c359f0861d8"
        "07ca0dbf500d6a6156a38e088a22b65e52bc514d16ccf806818ce91ab7793736"
        "5af90bbf74a35be6b40b8eedf2785e42874d"
    )


def test_the_keystream_is_cut_anywhere_and_never_wraps():
    nonce = bytes(12)
    whole = velum.kernels.chacha20_keystream(KEY, nonce, 0, 200)
    assert velum.kernels.chacha20_keystream(KEY, nonce, 0, 0).size == 0
    assert (velum.kernels.chacha20_keystream(KEY, nonce, 1, 65) == whole[64:129]).all()
    last = velum.kernels.chacha20_keystream(KEY, nonce, 2**32 - 1, 64)
    assert last.size == 64
    for counter, size in [(2**32 - 1, 65), (2**32, 0), (2**32, 1), (0, 2**38 + 1), (2**63, 2**62)]:
        with pytest.raises(ValueError, match="2\\^32 - 1"):
            velum.kernels.chacha20_keystream(KEY, nonce, counter, size)
    for key, bad_nonce in [
        (KEY[:31], nonce),
        (KEY, nonce + b"0"),
        (KEY + b"1", nonce),
        (b"", nonce),
    ]:
        with pytest.raises(ValueError, match="bytes, expected"):
            velum.kernels.chacha20_keystream(key, bad_nonce, 0, 1)


def test_gaussian_draws_are_a_function_of_their_position():
    whole = velum.kernels.gaussian(KEY, step=3, size=1000)
    assert whole.dtype == np.float64
    part = velum.kernels.gaussian(KEY, step=3, first_element=321, size=100)
    assert (part == whole[321:421]).all()
    for other in [{"step": 4}, {"step": 3, "tensor": 1}, {"step": 3, "key_epoch": 1}]:
        assert not np.isin(velum.kernels.gaussian(KEY, **other, size=1000), whole).any()
    single = velum.kernels.gaussian(KEY, step=3, size=1000, dtype=np.float32)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, whole, rtol=1e-4, atol=1e-6)


def test_gaussian_draws_are_standard_normal():
    # The mean and the variance of 10^6 draws: 6 standard deviations, a false alarm in 2e-9.
    draws = velum.kernels.gaussian(KEY, size=1_000_000)
    assert abs(draws.mean()) < 6e-3
    assert abs(draws.var() - 1) < 6 * math.sqrt(2) * 1e-3


@pytest.mark.parametrize(
    "call,error,text",
    [
        (lambda k: k.ntt([1.0] * 8, 17), TypeError, "expected integers"),
        (lambda k: k.ntt([True] * 8, 17), TypeError, "expected integers"),
        (lambda k: k.ntt([2**64] * 8, 17), TypeError, "expected integers"),
        (lambda k: k.ntt([1] * 4, 17), ValueError, "n = 4, expected a power of two from 8"),
        (lambda k: k.ntt([1] * 12, 17), ValueError, "n = 12"),
        (lambda k: k.ntt([], 17), TypeError, "expected integers"),
        (lambda k: k.ntt(np.zeros(0, int), 17), ValueError, "n = 0"),
        (lambda k: k.ntt(np.zeros(2**18, int), 17), ValueError, "2\\^17"),
        (lambda k: k.ntt([[1] * 8], 17), ValueError, "2 dimensions, expected 1"),
        (lambda k: k.ntt([1] * 8, 0), ValueError, "modulus = 0"),
        (lambda k: k.ntt([1] * 8, 18), ValueError, "modulus = 18"),
        (lambda k: k.ntt([1] * 8, 19), ValueError, "1 modulo 2 n = 16"),
        (lambda k: k.ntt([1] * 8, 33), ValueError, "expected a prime"),
        (lambda k: k.ntt([1] * 16, 17), ValueError, "1 modulo 2 n = 32"),
        (lambda k: k.ntt([1] * 8, 2**61 + 1), ValueError, "< 2\\^61"),
        (lambda k: k.ntt([1] * 8, -17), TypeError, None),
        (lambda k: k.ntt([1] * 8, 2**70), TypeError, None),
        (lambda k: k.negacyclic_product([1] * 8, [1] * 16, 97), ValueError, "as many as a, 8"),
        (lambda k: k.convert_basis([[1] * 8], [97, 113], [17], exact=True), ValueError, "1 rows"),
        (lambda k: k.convert_basis([[1] * 8] * 2, [97, 97], [17]), ValueError, None),
        (lambda k: k.convert_basis([[1] * 8] * 2, [97, 97 * 3], [17]), ValueError, None),
        (lambda k: k.convert_basis([[1] * 8], [97], [17, 17]), ValueError, "twice"),
        (lambda k: k.convert_basis([[1] * 8], [97], []), ValueError, "one at least"),
        (lambda k: k.convert_basis([1] * 8, [97], [17]), ValueError, "expected 2"),
        (lambda k: k.gaussian(KEY, size=-1), ValueError, "size = -1"),
        (lambda k: k.gaussian(KEY, size=1, dtype=np.int64), ValueError, "int64"),
        (lambda k: k.gaussian(KEY, size=1, first_element=2**35), ValueError, "2\\^35"),
        (lambda k: k.gaussian(KEY, step=2**44, size=1), IndexError, "step"),
        (lambda k: k.gaussian(b"short", size=1), ValueError, "5 bytes, expected 32"),
    ],
)
def test_what_is_out_of_range_is_named(call, error, text):
    with pytest.raises(error, match=text):
        call(velum.kernels)


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=3),
    st.binary(max_size=40),
    st.lists(st.integers(-5, 300), max_size=20),
    st.sampled_from(
        [
            np.zeros((0, 8), np.int64),
            np.ones((2, 8), np.uint8),
            np.ones(8, np.complex128),
            np.array(["a"] * 8),
            np.array([object()] * 8),
            np.arange(32, dtype=">i4")[::4],
            np.int64(3),
        ]
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_argument_crashes(data):
    k = velum.kernels
    name, count = data.draw(
        st.sampled_from(
            [
                ("ntt", 2),
                ("inverse_ntt", 2),
                ("negacyclic_product", 3),
                ("convert_basis", 4),
                ("chacha20_keystream", 4),
            ]
        )
    )
    arguments = [data.draw(anything) for _ in range(count)]
    if name == "chacha20_keystream" and isinstance(arguments[3], int):
        arguments[3] %= 1 << 16  # no gigabytes
    try:
        getattr(k, name)(*arguments)
    except (TypeError, ValueError, IndexError, OverflowError):
        pass
