"""Decrypts velum's ciphertexts with the integers of Python and nothing else.

Reads parameters, a secret key and ciphertexts as docs/serialization.md describes them, checks their
hashes, decrypts by schoolbook arithmetic, and compares with the slots that were encrypted. A
ciphertext's error must be within the slot_bound of its own header; one of BFV must decrypt exactly,
and its noise be within the bounds of its header.

A file holds NTT form: value j of a limb is a(psi^(2 r(j) + 1)) mod q, r(j) = the log2(N) bits of j in
reverse, psi = the smallest primitive 2N-th root of unity modulo q. It is undone here by
interpolation, a_i = N^-1 sum_j value_j psi^(-(2 r(j) + 1) i), in N^2 products.
"""

import argparse
import cmath
import hashlib
import pathlib
import struct
import sys

HEADER = struct.Struct("<8sII32s16siiIIddddqII")
PARAMETERS, CIPHERTEXT, SECRET_KEY = 1, 3, 10
BFV_PARAMETERS, BFV_CIPHERTEXT = 11, 13
NTT, COEFFICIENT = 1, 2


class Object:
    def __init__(self, path, kind):
        data = path.read_bytes()
        (
            magic, version, self.kind, self.parameters_id, self.key_id, self.level, self.count, self.form, _,
            self.scale, self.coefficient_bound, self.slot_bound, _, payload_bytes, reserved, _,
        ) = HEADER.unpack_from(data)  # fmt: skip
        self.payload = data[HEADER.size : -32]
        assert magic == b"\x89VHE\r\n\x1a\n" and version == 1 and reserved == 0, path
        assert self.kind == kind, (path, self.kind)
        assert len(self.payload) == payload_bytes, path
        assert data[-32:] == hashlib.sha256(data[:-32]).digest(), path


class Parameters:
    def __init__(self, path, kind=PARAMETERS):
        file = Object(path, kind)
        numbers = struct.unpack(f"<{len(file.payload) // 4}I", file.payload)
        self.id = file.parameters_id
        bfv = kind == BFV_PARAMETERS
        name = b"velum bfv parameters 1" if bfv else b"velum ckks parameters 1"
        digest = hashlib.sha256(struct.pack("<Q", len(name)) + name + file.payload).digest()
        assert digest == self.id, path
        log_n, _, self.base, self.per_level, _, self.special, _, _ = numbers[:8]
        self.n = 1 << log_n
        self.log_n = log_n
        self.t = numbers[8] + (numbers[9] << 32) if bfv else None
        self.primes = numbers[10:] if bfv else numbers[8:]

    def ciphertext_primes(self, level):
        first = self.special
        return self.primes[first : first + self.base + self.per_level * level]


def residues(payload, n, primes, polynomials):
    """[polynomials][limbs][n]: each residue has as many bits as its prime, the lowest first."""
    at = 0
    out = []
    for _ in range(polynomials):
        limbs = []
        for q in primes:
            bits = q.bit_length()
            size = n * bits // 8
            packed = int.from_bytes(payload[at : at + size], "little")
            at += size
            limbs.append([packed >> (bits * i) & (1 << bits) - 1 for i in range(n)])
            assert all(value < q for value in limbs[-1])
        out.append(limbs)
    assert at == len(payload)
    return out


def smallest_root(q, n):
    """The smallest psi with psi^n = -1 modulo q."""
    root = next(r for g in range(2, q) if pow(r := pow(g, (q - 1) // (2 * n), q), n, q) == q - 1)
    square = root * root % q
    best = power = root
    for _ in range(n - 1):
        power = power * square % q
        best = min(best, power)
    return best


def coefficients(values, q, log_n):
    """From NTT form."""
    n = 1 << log_n
    inverse = pow(smallest_root(q, n), -1, q)
    powers = [1]
    for _ in range(2 * n - 1):
        powers.append(powers[-1] * inverse % q)
    exponents = [2 * int(format(j, f"0{log_n}b")[::-1], 2) + 1 for j in range(n)]
    inverse_n = pow(n, -1, q)
    return [
        sum(v * powers[e * i % (2 * n)] for v, e in zip(values, exponents, strict=True))
        * inverse_n
        % q
        for i in range(n)
    ]


def product(a, b):
    """Modulo X^n + 1, over the integers."""
    n = len(a)
    out = [0] * n
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            if i + j < n:
                out[i + j] += x * y
            else:
                out[i + j - n] -= x * y
    return out


def secret_coefficients(file, n):
    out = []
    for byte in file.payload:
        out += [{0: 0, 1: 1, 3: -1}[byte >> shift & 3] for shift in (0, 2, 4, 6)]
    assert len(out) == n
    return out


def decrypt(parameters, secret, path, kind=CIPHERTEXT):
    """The coefficients of c_0 + c_1 s + c_2 s^2, centred, their modulus, and the header."""
    file = Object(path, kind)
    assert file.parameters_id == parameters.id and file.form == NTT
    primes = parameters.ciphertext_primes(file.level)
    polynomials = residues(file.payload, parameters.n, primes, file.count)
    modulus = 1
    phase = [0] * parameters.n
    for limb, q in enumerate(primes):
        total = coefficients(polynomials[-1][limb], q, parameters.log_n)
        for polynomial in reversed(polynomials[:-1]):
            c = coefficients(polynomial[limb], q, parameters.log_n)
            total = [(x + y) % q for x, y in zip(product(total, secret), c, strict=True)]
        # Chinese remainders: what is known modulo the primes so far, and now modulo q.
        inverse = pow(modulus, -1, q)
        phase = [x + modulus * ((y - x) * inverse % q) for x, y in zip(phase, total, strict=True)]
        modulus *= q
    return [x - modulus if 2 * x > modulus else x for x in phase], modulus, file


def slots_of(polynomial, scale):
    """m(zeta^(5^j)) / scale, zeta = e^(i pi / N)."""
    n = len(polynomial)
    roots = [cmath.exp(1j * cmath.pi * k / n) for k in range(2 * n)]
    out = []
    power = 1
    for _ in range(n // 2):
        out.append(sum(c / scale * roots[power * i % (2 * n)] for i, c in enumerate(polynomial)))
        power = power * 5 % (2 * n)
    return out


def bfv_slots_of(message, t):
    """m(psi^(5^i)), then m(psi^(-5^i)), modulo t, psi the smallest 2N-th root of unity."""
    n = len(message)
    psi = smallest_root(t, n)
    rows = [[], []]
    power = 1
    for _ in range(n // 2):
        for row, exponent in zip(rows, (power, 2 * n - power), strict=True):
            root = pow(psi, exponent, t)
            row.append(sum(c * pow(root, i, t) for i, c in enumerate(message)) % t)
        power = power * 5 % (2 * n)
    return rows[0] + rows[1]


def check_bfv(folder, key_name):
    """How many ciphertexts of BFV are wrong."""
    parameters = Parameters(folder / "bfv_parameters", BFV_PARAMETERS)
    key = Object(folder / key_name, SECRET_KEY)
    secret = secret_coefficients(key, parameters.n)
    t = parameters.t
    failures = 0
    for name, expected_name in [
        ("bfv_ciphertext", "bfv_slots"),
        ("bfv_symmetric", "bfv_slots"),
        ("bfv_product", "bfv_squares"),
        ("bfv_relinearized", "bfv_squares"),
        ("bfv_rotated", "bfv_turned"),
        ("bfv_switched", "bfv_slots"),
    ]:
        phase, q, file = decrypt(parameters, secret, folder / name, BFV_CIPHERTEXT)
        # round(t x / q), and t times the noise, t x modulo q.
        message = [(2 * t * x + q) // (2 * q) for x in phase]
        noise = [t * x - q * m for x, m in zip(phase, message, strict=True)]
        lines = (folder / f"{expected_name}.txt").read_text().splitlines()
        expected = [int(line) % t for line in lines]
        slots = max(abs(slot) for slot in slots_of(noise, t))
        within = max(map(abs, noise)) <= t * file.coefficient_bound and slots <= file.slot_bound
        good = bfv_slots_of(message, t) == expected and within
        failures += not good
        print(
            f"{name}: noise {max(map(abs, noise)) / t:.3g}, bound {file.coefficient_bound:.3g}, "
            f"limit {q / (2 * t):.3g}: {'good' if good else 'WRONG'}"
        )
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path, help="as write_objects fills it")
    parser.add_argument("--secret-key", default="secret_key", help="a file of the folder")
    parser.add_argument("--bfv-secret-key", default="bfv_secret_key", help="a file of the folder")
    arguments = parser.parse_args()
    folder = arguments.folder

    parameters = Parameters(folder / "parameters")
    key = Object(folder / arguments.secret_key, SECRET_KEY)
    assert key.parameters_id == parameters.id and key.form == COEFFICIENT
    secret = secret_coefficients(key, parameters.n)
    failures = 0
    for name, expected_name in [
        ("ciphertext", "slots"),
        ("symmetric", "slots"),
        ("product", "squares"),
        ("rescaled", "squares"),
        ("rotated", "turned"),
    ]:
        polynomial, _, file = decrypt(parameters, secret, folder / name)
        lines = (folder / f"{expected_name}.txt").read_text().splitlines()
        expected = [complex(*map(float, line.split())) for line in lines]
        found = slots_of(polynomial, file.scale)
        error = max(abs(a - b) for a, b in zip(found, expected, strict=True))
        # Beside the error of the ciphertext only that of a sum of n doubles.
        bound = file.slot_bound / file.scale + parameters.n * 2.0**-48
        good = error <= bound and bound < 0.05
        failures += not good
        print(f"{name}: {error:.3g}, bound {bound:.3g}: {'good' if good else 'WRONG'}")
    failures += check_bfv(folder, arguments.bfv_secret_key)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
