"""
BFV: exact integers modulo t. Documented in velum.he.bfv.
"""
from __future__ import annotations
import collections.abc
import numpy
import numpy.typing
import typing
import typing_extensions
import velum._core.he
__all__: list[str] = ['BatchEncoder', 'Ciphertext', 'CoefficientEncoder', 'Decryptor', 'EncodedMatrix', 'Encryptor', 'Evaluator', 'Plaintext', 'SeededCiphertext', 'SymmetricEncryptor', 'VectorEvaluator']
class Plaintext:
    """
    A polynomial modulo t, neither encrypted nor scaled; without a level.
    """
    @staticmethod
    def from_bytes(context: velum._core.he.Context, data: typing_extensions.Buffer, *, expected_key: str | None = None) -> Plaintext:
        """
        Loads what to_bytes wrote. Bytes of anybody: everything is checked.

        Args:
            context: of the object's parameters.
            data: bytes, or anything with a buffer of bytes; not copied.
            expected_key: id of the secret key that it must belong to; None: any.

        Raises:
            SerializationError: if the bytes are damaged, foreign, or too many.
        """
    def __copy__(self) -> typing.Any:
        ...
    def __deepcopy__(self, memo: dict[str, typing.Any]) -> typing.Any:
        ...
    def __getstate__(self) -> tuple[typing.Any, ...]:
        ...
    def __setstate__(self, arg0: tuple[typing.Any, ...]) -> None:
        ...
    def to_bytes(self) -> bytes:
        """
        The object as bytes, in the format of docs/serialization.md: the same on every machine.
        """
    @property
    def coefficient_sum(self) -> float:
        """
        What a product with it multiplies the noise by, at most: public.
        """
    @property
    def context(self) -> velum._core.he.Context:
        """
        The Context that it belongs to.
        """
    @property
    def serialized_size(self) -> int:
        """
        Length of to_bytes(), in bytes.
        """
class Ciphertext:
    """
    An encrypted message of BFV. What computes is an Evaluator.
    """
    @staticmethod
    def from_bytes(context: velum._core.he.Context, data: typing_extensions.Buffer, *, expected_key: str | None = None) -> Ciphertext:
        """
        Loads what to_bytes wrote. Bytes of anybody: everything is checked.

        Args:
            context: of the object's parameters.
            data: bytes, or anything with a buffer of bytes; not copied.
            expected_key: id of the secret key that it must belong to; None: any.

        Raises:
            SerializationError: if the bytes are damaged, foreign, or too many.
        """
    def __copy__(self) -> Ciphertext:
        ...
    def __deepcopy__(self, memo: dict[str, typing.Any]) -> Ciphertext:
        ...
    def __getstate__(self) -> tuple[typing.Any, ...]:
        ...
    def __setstate__(self, arg0: tuple[typing.Any, ...]) -> None:
        ...
    def to_bytes(self) -> bytes:
        """
        The object as bytes, in the format of docs/serialization.md: the same on every machine.
        """
    def vouch_for_history(self) -> None:
        """
        Declares that it was encrypted by this library or as honestly, and computed on as recorded.
        Say so only of what came from yourself, by a way on which nobody could change it: the
        release of a decryption that is wrong can give the key away.
        """
    @property
    def context(self) -> velum._core.he.Context:
        """
        The Context that it belongs to.
        """
    @property
    def history(self) -> str:
        """
        'known' if this process computed it from keys and messages of known history or the caller
        vouched, 'unknown' if it or something that went into it was loaded.
        """
    @property
    def key_id(self) -> str:
        """
        32 hexadecimal digits that name the secret key that decrypts it.
        """
    @property
    def level(self) -> int:
        """
        Primes that it can still be divided by.
        """
    @property
    def noise_budget_estimate(self) -> float:
        """
        Bits that the noise can still grow by before a decryption could be wrong: proven, so never
        more than what the owner measures.
        """
    @property
    def serialized_size(self) -> int:
        """
        Length of to_bytes(), in bytes.
        """
    @property
    def size(self) -> int:
        """
        Polynomials: 2, or 3 after a product.
        """
class SeededCiphertext:
    """
    A fresh symmetric ciphertext of BFV at half the bytes.
    """
    @staticmethod
    def from_bytes(context: velum._core.he.Context, data: typing_extensions.Buffer, *, expected_key: str | None = None) -> SeededCiphertext:
        """
        Loads what to_bytes wrote. Bytes of anybody: everything is checked.

        Args:
            context: of the object's parameters.
            data: bytes, or anything with a buffer of bytes; not copied.
            expected_key: id of the secret key that it must belong to; None: any.

        Raises:
            SerializationError: if the bytes are damaged, foreign, or too many.
        """
    def __copy__(self) -> typing.Any:
        ...
    def __deepcopy__(self, memo: dict[str, typing.Any]) -> typing.Any:
        ...
    def __getstate__(self) -> tuple[typing.Any, ...]:
        ...
    def __setstate__(self, arg0: tuple[typing.Any, ...]) -> None:
        ...
    def expand(self) -> Ciphertext:
        """
        The Ciphertext.
        """
    def to_bytes(self) -> bytes:
        """
        The object as bytes, in the format of docs/serialization.md: the same on every machine.
        """
    @property
    def context(self) -> velum._core.he.Context:
        """
        The Context that it belongs to.
        """
    @property
    def history(self) -> str:
        """
        'known' if this process computed it from keys and messages of known history or the caller
        vouched, 'unknown' if it or something that went into it was loaded.
        """
    @property
    def key_id(self) -> str:
        """
        32 hexadecimal digits that name the secret key that decrypts it.
        """
    @property
    def level(self) -> int:
        """
        Primes that it can still be divided by.
        """
    @property
    def noise_budget_estimate(self) -> float:
        """
        Bits that the noise can still grow by before a decryption could be wrong: proven, so never
        more than what the owner measures.
        """
    @property
    def serialized_size(self) -> int:
        """
        Length of to_bytes(), in bytes.
        """
class BatchEncoder:
    """
    Between N integers modulo t, two rows of N / 2 slots, and plaintexts: sums and products of
    plaintexts are those of slots. t must be a prime that is 1 modulo 2 N.
    """
    def __init__(self, context: velum._core.he.Context) -> None:
        ...
    def decode(self, plaintext: Plaintext, count: typing.SupportsInt | None = None, *, unsigned: bool = False) -> numpy.ndarray:
        """
        The first values, [count] int64 in [-t/2, t/2], or uint64 in [0, t) if `unsigned`; None:
        all N.
        """
    def encode(self, values: typing.Any) -> Plaintext:
        """
        Integers into slots.

        Args:
            values: [n], up to N: the first row, then the second; what is missing is 0. Each in
                [-t/2, t/2]; a uint64 array's in [0, t).

        Raises:
            ValueError: naming the first that is not, or if there are too many.
            TypeError: if they are no integers of at most 64 bits.
        """
    @property
    def row_size(self) -> int:
        """
        N / 2.
        """
    @property
    def slots(self) -> int:
        """
        N.
        """
class CoefficientEncoder:
    """
    Integers modulo any t in the coefficients themselves: sums of plaintexts are sums of values,
    products are products of polynomials modulo X^N + 1.
    """
    def __init__(self, context: velum._core.he.Context) -> None:
        ...
    def decode(self, plaintext: Plaintext, count: typing.SupportsInt | None = None, *, unsigned: bool = False) -> numpy.ndarray:
        """
        The first values, [count] int64 in [-t/2, t/2], or uint64 in [0, t) if `unsigned`; None:
        all N.
        """
    def encode(self, values: typing.Any, *, value_bound: typing.SupportsInt = 0) -> Plaintext:
        """
        Integers into coefficients.

        Args:
            values: [n], up to N, each in [-t/2, t/2); a uint64 array's in [0, t).
            value_bound: what a value's magnitude may reach; 0: anything. Public: not to be computed
                from values that are not.
        """
class Encryptor:
    """
    Encrypts plaintexts of BFV under a public key.
    """
    def __init__(self, public_key: velum._core.he.PublicKey, randomness: velum._core.he.Randomness | None = None) -> None:
        ...
    def encrypt(self, plaintext: Plaintext, *, level: typing.SupportsInt | None = None) -> Ciphertext:
        """
        A Ciphertext; at a lower level a smaller one with less room for noise.
        """
class SymmetricEncryptor:
    """
    Encrypts plaintexts of BFV under the secret key: less noise, and half the bytes.
    """
    def __init__(self, secret_key: velum._core.he.SecretKey, randomness: velum._core.he.Randomness | None = None) -> None:
        ...
    def encrypt(self, plaintext: Plaintext, *, level: typing.SupportsInt | None = None) -> Ciphertext:
        """
        A Ciphertext.
        """
    def encrypt_seeded(self, plaintext: Plaintext, *, level: typing.SupportsInt | None = None) -> SeededCiphertext:
        """
        A SeededCiphertext.
        """
class Decryptor:
    """
    Decrypts ciphertexts of BFV, exactly. A result that is wrong tells about the key, so what
    is released must have a known history.
    """
    def __init__(self, secret_key: velum._core.he.SecretKey) -> None:
        ...
    def decrypt_for_owner(self, ciphertext: Ciphertext) -> Plaintext:
        """
        A Plaintext, for the owner's eyes only, whoever made the ciphertext.
        """
    def decrypt_for_release(self, ciphertext: Ciphertext) -> Plaintext:
        """
        A Plaintext, of a ciphertext whose noise bound is known to hold (else ValueError).
        """
    def noise_budget_for_owner(self, ciphertext: Ciphertext) -> float:
        """
        Bits that the noise can still grow by, measured (SEAL: invariant_noise_budget). For the
        owner's eyes only.
        """
class Evaluator:
    """
    Arithmetic modulo t on ciphertexts of BFV. Operands are of one context, key and level. A
    result that might not decrypt is refused before it is computed.
    """
    def __init__(self, context: velum._core.he.Context) -> None:
        ...
    def add(self, a: Ciphertext, b: Ciphertext) -> Ciphertext:
        """
        a + b.
        """
    def add_plain(self, a: Ciphertext, b: Plaintext) -> Ciphertext:
        """
        a + b, b a Plaintext.
        """
    def apply_automorphism(self, a: Ciphertext, element: typing.SupportsInt, keys: velum._core.he.GaloisKeys) -> Ciphertext:
        """
        m(X) becomes m(X^element).
        """
    def mod_switch_to(self, a: Ciphertext, level: typing.SupportsInt) -> Ciphertext:
        """
        To a lower level: smaller ciphertexts, cheaper operations.
        """
    def multiply(self, a: Ciphertext, b: Ciphertext) -> Ciphertext:
        """
        a * b: three polynomials; relinearize.
        """
    def multiply_integer(self, a: Ciphertext, factor: typing.SupportsInt) -> Ciphertext:
        """
        Times a number, taken modulo t.
        """
    def multiply_plain(self, a: Ciphertext, b: Plaintext) -> Ciphertext:
        """
        a * b, b a Plaintext.
        """
    def negate(self, a: Ciphertext) -> Ciphertext:
        """
        -a.
        """
    def relinearize(self, a: Ciphertext, key: velum._core.he.RelinearizationKey) -> Ciphertext:
        """
        A product brought back to two polynomials.
        """
    def rotate_columns(self, a: Ciphertext, keys: velum._core.he.GaloisKeys) -> Ciphertext:
        """
        The two rows exchanged; the key is that of conjugation.
        """
    def rotate_rows(self, a: Ciphertext, steps: typing.SupportsInt, keys: velum._core.he.GaloisKeys) -> Ciphertext:
        """
        Slot j of each row of the result is slot j + steps of that row. Raises IndexError if there
        is no key for it.
        """
    def square(self, a: Ciphertext) -> Ciphertext:
        """
        a * a.
        """
    def subtract(self, a: Ciphertext, b: Ciphertext) -> Ciphertext:
        """
        a - b.
        """
    def subtract_plain(self, a: Ciphertext, b: Plaintext) -> Ciphertext:
        """
        a - b, b a Plaintext.
        """
    def switch_key(self, a: Ciphertext, key: velum._core.he.KeySwitchingKey, from_id: str) -> Ciphertext:
        """
        To the key that `key` switches to; from_id: id of the one that it switches from.
        """
class EncodedMatrix:
    """
    A matrix that was encoded once, for many products.
    """
    @property
    def shape(self) -> tuple[int, int]:
        """
        (n, m).
        """
class VectorEvaluator:
    """
    Arithmetic on BFV vectors of integers modulo t for which levels and relinearisation need no
    thought. A vector of n integers lies in the first n of period(n) slots, zeros behind it, and
    repeats in both rows.
    """
    @staticmethod
    def rotation_steps(context: velum._core.he.Context) -> list[int]:
        """
        1, 2, 4, .., N / 4: the Galois keys that rotations need.
        """
    def __init__(self, context: velum._core.he.Context, relinearization_key: velum._core.he.RelinearizationKey | None = None, galois_keys: velum._core.he.GaloisKeys | None = None) -> None:
        """
        Either key may be None for whoever needs none; an operation that does is a
        RuntimeError.
        """
    def add(self, a: Ciphertext, b: Ciphertext) -> Ciphertext:
        """
        a + b.
        """
    def add_plain(self, a: Ciphertext, values: typing.Any) -> Ciphertext:
        """
        a + [n] integers.
        """
    def decode(self, plaintext: Plaintext, size: typing.SupportsInt) -> numpy.typing.NDArray[numpy.int64]:
        """
        The integers of a vector, [size] int64 in [-t/2, t/2].
        """
    def encode(self, values: typing.Any) -> Plaintext:
        """
        [n] integers, 1 to N / 2, each in [-t/2, t/2], into a Plaintext.
        """
    def encode_matrix(self, matrix: typing.Any) -> EncodedMatrix:
        """
        An EncodedMatrix for multiply_encoded_matrix.
        """
    def multiply(self, a: Ciphertext, b: Ciphertext) -> Ciphertext:
        """
        a * b, number by number.
        """
    def multiply_encoded_matrix(self, a: Ciphertext, matrix: EncodedMatrix) -> Ciphertext:
        """
        multiply_matrix, without encoding the matrix again.
        """
    def multiply_integer(self, a: Ciphertext, factor: typing.SupportsInt) -> Ciphertext:
        """
        a * integer, modulo t.
        """
    def multiply_matrix(self, a: Ciphertext, matrix: typing.Any) -> Ciphertext:
        """
        A vector of n integers times [n, m]: a vector of m integers modulo t.
        """
    def multiply_plain(self, a: Ciphertext, values: typing.Any) -> Ciphertext:
        """
        a * [n] integers.
        """
    def negate(self, a: Ciphertext) -> Ciphertext:
        """
        -a.
        """
    def period(self, size: typing.SupportsInt) -> int:
        """
        The smallest power of two >= size, 1 to N / 2.
        """
    def rotate(self, a: Ciphertext, steps: typing.SupportsInt, size: typing.SupportsInt) -> Ciphertext:
        """
        Number j of the result is number j + steps, around the end; size is a power of two.
        """
    def subtract(self, a: Ciphertext, b: Ciphertext) -> Ciphertext:
        """
        a - b.
        """
    def sum(self, a: Ciphertext, size: typing.SupportsInt) -> Ciphertext:
        """
        A vector of one number: the sum modulo t.
        """
    def weighted_sum(self, terms: collections.abc.Sequence[Ciphertext], weights: typing.Any) -> Ciphertext:
        """
        sum_i weights[i] terms[i], modulo t.
        """
