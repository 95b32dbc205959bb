"""
Homomorphic encryption: CKKS in this module, BFV in `bfv`. Documented in velum.he.
"""
from __future__ import annotations
import collections.abc
import numpy
import numpy.typing
import typing
import typing_extensions
from . import bfv
from . import threshold
from . import aggregation
__all__: list[str] = ['Ciphertext', 'Context', 'Decryptor', 'EncodedMatrix', 'Encoder', 'Encryptor', 'Evaluator', 'GaloisKeys', 'HoistedCiphertext', 'KeyGenerator', 'KeySwitchingKey', 'LinearTransform', 'Parameters', 'ParametersBuilder', 'Plaintext', 'Polynomial', 'PublicKey', 'Randomness', 'RelinearizationKey', 'SecretKey', 'SeededCiphertext', 'SerializationError', 'SymmetricEncryptor', 'VectorEvaluator', 'aggregation', 'bfv', 'ckks_decode', 'ckks_encode', 'evaluate', 'threshold']
class SerializationError(RuntimeError):
    """
    Damaged, foreign or truncated bytes.
    """
class Parameters:
    """
    All that is public and fixed about a scheme: ring degree, primes, scales or plaintext
    modulus. Made by for_depth (CKKS), bfv_for_depth, or a ParametersBuilder; all of them hold
    to the security table of the guidelines of 2024 (ePrint 2024/463).
    """
    @staticmethod
    def batching_modulus(log_n: typing.SupportsInt, bits: typing.SupportsInt) -> int:
        """
        The largest prime of so many bits that is 1 modulo 2 N: a plaintext
        modulus that gives BFV N slots. log_n 4 to 17, bits up to 60.
        """
    @staticmethod
    def bfv_for_depth(depth: typing.SupportsInt, plaintext_bits: typing.SupportsInt, security: typing.SupportsInt = 128) -> Parameters:
        """
        BFV: the smallest ring with slots whose proven noise bounds allow so many multiplications,
        each with a relinearisation and a rotation.

        Args:
            depth: 0 to 30.
            plaintext_bits: 12 to 60, bits of the plaintext modulus, a prime with slots.
            security: 128, 192 or 256 bits.

        Raises:
            ValueError: if an argument is out of range, or no ring to 2**17 is large enough.
        """
    @staticmethod
    def for_depth(depth: typing.SupportsInt, precision_bits: typing.SupportsInt, security: typing.SupportsInt = 128) -> Parameters:
        """
        CKKS: the smallest ring that gives so many multiplications one after the other.

        Args:
            depth: 0 to 60, rescalings.
            precision_bits: 10 to 45, bits after the binary point that a message of magnitude 1
                keeps in a fresh ciphertext under a public key.
            security: 128, 192 or 256 bits.

        Raises:
            ValueError: if an argument is out of range, or no ring to 2**17 is large enough.
        """
    @staticmethod
    def from_bytes(data: typing_extensions.Buffer) -> Parameters:
        """
        Loads what to_bytes wrote; checks primes and security table anew. Raises
        SerializationError.
        """
    @staticmethod
    def from_bytes_insecure_without_security_check(data: typing_extensions.Buffer) -> Parameters:
        """
        Takes parameters that were built without the security table, too.
        """
    def __copy__(self) -> typing.Any:
        ...
    def __deepcopy__(self, memo: dict[str, typing.Any]) -> typing.Any:
        ...
    def __eq__(self, arg0: object) -> bool:
        ...
    def __getstate__(self) -> tuple[typing.Any, ...]:
        ...
    def __hash__(self) -> int:
        ...
    def __repr__(self) -> str:
        ...
    def __setstate__(self, arg0: tuple[typing.Any, ...]) -> None:
        ...
    def __str__(self) -> str:
        ...
    def digit_count(self, level: typing.SupportsInt) -> int:
        """
        Digits of key switching at this level. Raises IndexError beyond max_level.
        """
    def level_modulus(self, level: typing.SupportsInt) -> float:
        """
        What rescale divides by at this level, 1 to max_level (else IndexError).
        """
    def limbs(self, level: typing.SupportsInt) -> int:
        """
        Primes of a ciphertext of this level. Raises IndexError beyond max_level.
        """
    def log_q(self, level: typing.SupportsInt) -> float:
        """
        log2 of the modulus of this level. Raises IndexError beyond max_level.
        """
    def scale(self, level: typing.SupportsInt) -> float:
        """
        CKKS: the scale of ciphertexts of this level. Raises RuntimeError of BFV, IndexError
        beyond max_level.
        """
    def to_bytes(self) -> bytes:
        """
        The parameters as bytes.
        """
    @property
    def base_prime_count(self) -> int:
        """
        Primes of level 0.
        """
    @property
    def digit_limbs(self) -> int:
        """
        Primes in a digit of key switching.
        """
    @property
    def dnum(self) -> int:
        """
        Digits of key switching at the highest level.
        """
    @property
    def id(self) -> str:
        """
        64 hexadecimal digits that every key and ciphertext of these parameters carries.
        """
    @property
    def log_n(self) -> int:
        """
        log2 of the ring degree.
        """
    @property
    def log_p(self) -> float:
        """
        log2 of the product of the primes of key switching.
        """
    @property
    def log_qp(self) -> float:
        """
        log2 of the product of all primes: what the security table limits.
        """
    @property
    def max_level(self) -> int:
        """
        The level of a fresh ciphertext.
        """
    @property
    def max_slots(self) -> int:
        """
        N / 2: slots of CKKS, and of one of the two rows of BFV.
        """
    @property
    def parties(self) -> int:
        """
        Of how many parties' secrets the key may be the sum; 1: an ordinary key.
        """
    @property
    def plaintext_modulus(self) -> int:
        """
        t of BFV; 0 of CKKS.
        """
    @property
    def primes(self) -> list[int]:
        """
        All primes, those of key switching first.
        """
    @property
    def primes_per_level(self) -> int:
        """
        Primes that each further level has.
        """
    @property
    def ring_degree(self) -> int:
        """
        N.
        """
    @property
    def scale_bits(self) -> int:
        """
        log2 of the scale of a fresh CKKS ciphertext.
        """
    @property
    def scheme(self) -> str:
        """
        'CKKS' or 'BFV'.
        """
    @property
    def security(self) -> int | None:
        """
        128, 192 or 256; None if the security table was not enforced.
        """
    @property
    def special_prime_count(self) -> int:
        """
        Primes of key switching; 0 if it was left out.
        """
class ParametersBuilder:
    """
    Chooses the primes of a scheme. Every setter returns the builder; build() checks all of it.
    """
    def __init__(self) -> None:
        ...
    def base_bits(self, value: typing.SupportsInt) -> typing.Any:
        """
        CKKS: log2 of what is left at level 0; default scale_bits + 10.
        """
    def build(self) -> Parameters:
        """
        The parameters.

        Raises:
            ValueError: if a setting is missing or out of range, or the result is not secure.
        """
    def depth(self, value: typing.SupportsInt) -> typing.Any:
        """
        CKKS: how often one can rescale, 0 to 60.
        """
    def dnum(self, value: typing.SupportsInt) -> typing.Any:
        """
        Digits of key switching at the highest level.
        """
    def insecure_without_security_check(self) -> typing.Any:
        """
        For tests: the security table is not enforced, and the parameters say so.
        """
    def log_n(self, value: typing.SupportsInt) -> typing.Any:
        """
        log2 of the ring degree, 10 to 17. Required.
        """
    def modulus_bits(self, value: typing.SupportsInt) -> typing.Any:
        """
        BFV: log2 of the modulus of a fresh ciphertext, 20 to 3523. Required.
        """
    def parties(self, value: typing.SupportsInt) -> typing.Any:
        """
        For keys that up to so many parties hold together (velum.he.threshold), 1 to 1024.
        """
    def plaintext_modulus(self, value: typing.SupportsInt) -> typing.Any:
        """
        Makes parameters of BFV: integers modulo this, 2 to 2**60.
        """
    def scale_bits(self, value: typing.SupportsInt) -> typing.Any:
        """
        CKKS: log2 of the scale, 20 to 29 or 36 to 58. Required.
        """
    def security(self, bits: typing.SupportsInt) -> typing.Any:
        """
        128, 192 or 256.
        """
    def without_key_switching(self) -> typing.Any:
        """
        No relinearisation and no rotation: sums, and products with plaintexts.
        """
class Context:
    """
    Parameters with the tables that computing needs, and where work runs. Contexts of the same
    parameters and device share their tables, and their objects mix.
    """
    def __copy__(self) -> typing.Any:
        ...
    def __deepcopy__(self, memo: dict[str, typing.Any]) -> typing.Any:
        ...
    def __eq__(self, arg0: object) -> bool:
        ...
    def __getstate__(self) -> tuple[typing.Any, ...]:
        ...
    def __hash__(self) -> int:
        ...
    def __init__(self, parameters: Parameters, *, threads: typing.SupportsInt = 1, device: str = 'cpu') -> None:
        """
        Args:
            parameters: of the scheme.
            threads: that the CPU may use. With more than one, a process that forks must not go on
                computing in the child: use the start method 'spawn'.
            device: 'cpu', 'cuda' or 'cuda:<index>'.

        Raises:
            ValueError: if an argument is out of range.
            BackendUnavailable: for CUDA, in a build without it.
        """
    def __repr__(self) -> str:
        ...
    def __setstate__(self, arg0: tuple[typing.Any, ...]) -> None:
        ...
    @property
    def device(self) -> str:
        """
        'cpu', 'cuda' or 'cuda:<index>'.
        """
    @property
    def parameters(self) -> Parameters:
        """
        The Parameters.
        """
    @property
    def threads(self) -> int:
        """
        Threads that the CPU may use.
        """
class SecretKey:
    """
    A ternary secret: decrypts everything. Wiped when it goes, never printed, and neither
    pickled nor copied: to_bytes_unencrypted() is the one way out.
    """
    @staticmethod
    def from_bytes_unencrypted(context: Context, data: typing_extensions.Buffer, *, expected_key: str | None = None) -> SecretKey:
        """
        Loads what to_bytes_unencrypted wrote. Raises SerializationError.
        """
    def __copy__(self) -> typing.Any:
        ...
    def __deepcopy__(self, value: typing.Any) -> typing.Any:
        ...
    def __getstate__(self) -> typing.Any:
        ...
    def __reduce__(self) -> typing.Any:
        ...
    def __reduce_ex__(self, value: typing.Any) -> typing.Any:
        ...
    def to_bytes_unencrypted(self) -> bytes:
        """
        The secret itself, for its owner alone: whoever reads the bytes can decrypt everything.
        Nothing encrypts them, and Python does not wipe them.
        """
    @property
    def context(self) -> Context:
        """
        The Context that it belongs to.
        """
    @property
    def id(self) -> str:
        """
        32 hexadecimal digits that name the secret key in public.
        """
class PublicKey:
    """
    Encrypts; for anybody. Saved as a seed and a half.
    """
    @staticmethod
    def from_bytes(context: Context, data: typing_extensions.Buffer, *, expected_key: str | None = None) -> PublicKey:
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
    def vouch_for_history(self) -> None:
        """
        Declares that the key was made as this library makes keys, so that its errors are as small.
        Say so only of a key that came from yourself, by a way on which nobody could change it.

        Raises:
            RuntimeError: if something else holds the key already, an Encryptor for example.
        """
    @property
    def context(self) -> Context:
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
    def id(self) -> str:
        """
        32 hexadecimal digits that name the secret key in public.
        """
    @property
    def serialized_size(self) -> int:
        """
        Length of to_bytes(), in bytes.
        """
class KeySwitchingKey:
    """
    Turns ciphertexts of one secret key into ciphertexts of another one.
    """
    @staticmethod
    def from_bytes(context: Context, data: typing_extensions.Buffer, *, expected_key: str | None = None) -> KeySwitchingKey:
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
    def vouch_for_history(self) -> None:
        """
        Declares that the key was made as this library makes keys, so that its errors are as small.
        Say so only of a key that came from yourself, by a way on which nobody could change it.

        Raises:
            RuntimeError: if something else holds the key already, an Encryptor for example.
        """
    @property
    def context(self) -> Context:
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
    def id(self) -> str:
        """
        32 hexadecimal digits that name the secret key in public.
        """
    @property
    def serialized_size(self) -> int:
        """
        Length of to_bytes(), in bytes.
        """
class RelinearizationKey:
    """
    Brings products back to two polynomials; for whoever computes.
    """
    @staticmethod
    def from_bytes(context: Context, data: typing_extensions.Buffer, *, expected_key: str | None = None) -> RelinearizationKey:
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
    def vouch_for_history(self) -> None:
        """
        Declares that the key was made as this library makes keys, so that its errors are as small.
        Say so only of a key that came from yourself, by a way on which nobody could change it.

        Raises:
            RuntimeError: if something else holds the key already, an Encryptor for example.
        """
    @property
    def context(self) -> Context:
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
    def id(self) -> str:
        """
        32 hexadecimal digits that name the secret key in public.
        """
    @property
    def serialized_size(self) -> int:
        """
        Length of to_bytes(), in bytes.
        """
class GaloisKeys:
    """
    For rotations of slots; for whoever computes.
    """
    @staticmethod
    def from_bytes(context: Context, data: typing_extensions.Buffer, *, expected_key: str | None = None) -> GaloisKeys:
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
    def __len__(self) -> int:
        """
        How many keys.
        """
    def __setstate__(self, arg0: tuple[typing.Any, ...]) -> None:
        ...
    def has_rotation(self, steps: typing.SupportsInt) -> bool:
        """
        Whether there is a key for this rotation.
        """
    def to_bytes(self) -> bytes:
        """
        The object as bytes, in the format of docs/serialization.md: the same on every machine.
        """
    def vouch_for_history(self) -> None:
        """
        Declares that the key was made as this library makes keys, so that its errors are as small.
        Say so only of a key that came from yourself, by a way on which nobody could change it.

        Raises:
            RuntimeError: if something else holds the key already, an Encryptor for example.
        """
    @property
    def context(self) -> Context:
        """
        The Context that it belongs to.
        """
    @property
    def elements(self) -> list[int]:
        """
        The Galois elements g of X -> X^g, rising.
        """
    @property
    def history(self) -> str:
        """
        'known' if this process computed it from keys and messages of known history or the caller
        vouched, 'unknown' if it or something that went into it was loaded.
        """
    @property
    def id(self) -> str | None:
        """
        32 hexadecimal digits that name the secret key in public; None if there are no keys.
        """
    @property
    def serialized_size(self) -> int:
        """
        Length of to_bytes(), in bytes.
        """
class Randomness:
    """
    Where keys, encryptions and flooding take their randomness from.
    """
    @staticmethod
    def insecure_from_seed(seed: typing.SupportsInt) -> Randomness:
        """
        A sequence that whoever knows the seed can compute: for tests, never for a secret.
        """
    @staticmethod
    def secure() -> Randomness:
        """
        The operating system: the default.
        """
class KeyGenerator:
    """
    Makes keys, each from its own randomness; errors of standard deviation 3.19.
    """
    def __init__(self, context: Context, randomness: Randomness | None = None) -> None:
        ...
    def fixed_weight_secret_key_insecure(self, weight: typing.SupportsInt) -> SecretKey:
        """
        A secret with so many coefficients that are not 0; no table holds for it.
        """
    def galois_keys(self, secret_key: SecretKey, steps: collections.abc.Sequence[typing.SupportsInt], conjugation: bool = False) -> GaloisKeys:
        """
        GaloisKeys for rotations by these numbers of slots, and for conjugation (of BFV: for
        rotate_columns).
        """
    def galois_keys_of_elements(self, secret_key: SecretKey, elements: collections.abc.Sequence[typing.SupportsInt]) -> GaloisKeys:
        """
        GaloisKeys for X -> X^g, each g odd and in [3, 2 N).
        """
    def key_switching_key(self, from_key: SecretKey, to_key: SecretKey) -> KeySwitchingKey:
        """
        A KeySwitchingKey: whoever holds it can turn ciphertexts of the one into those of the
        other.
        """
    def public_key(self, secret_key: SecretKey) -> PublicKey:
        """
        A PublicKey.
        """
    def relinearization_key(self, secret_key: SecretKey) -> RelinearizationKey:
        """
        A RelinearizationKey.
        """
    def secret_key(self) -> SecretKey:
        """
        A new SecretKey with uniform ternary coefficients.
        """
class Plaintext:
    """
    A message of CKKS that is encoded but not encrypted.
    """
    @staticmethod
    def from_bytes(context: Context, data: typing_extensions.Buffer, *, expected_key: str | None = None) -> Plaintext:
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
    def context(self) -> Context:
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
    def level(self) -> int:
        """
        Rescalings that are left.
        """
    @property
    def message_bound(self) -> float:
        """
        The declared bound of a slot's magnitude: public.
        """
    @property
    def scale(self) -> float:
        """
        What the message is multiplied by: the factor itself.
        """
    @property
    def serialized_size(self) -> int:
        """
        Length of to_bytes(), in bytes.
        """
    @property
    def slot_bound(self) -> float:
        """
        A bound of the error's magnitude in a slot of the scaled message.
        """
class Ciphertext:
    """
    An encrypted message of CKKS. What computes is an Evaluator.
    """
    @staticmethod
    def from_bytes(context: Context, data: typing_extensions.Buffer, *, expected_key: str | None = None) -> Ciphertext:
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
    def declare_message_bound(self, bound: typing.SupportsFloat) -> None:
        """
        Says what the caller knows of the message: no slot's magnitude is above `bound`. Nothing
        can check it; estimates of noise and the flooding of a release rely on it.
        """
    def declare_real_slots(self) -> None:
        """
        Says what the caller knows of the message: every slot is a real number.
        """
    def to_bytes(self) -> bytes:
        """
        The object as bytes, in the format of docs/serialization.md: the same on every machine.
        """
    def vouch_for_history(self) -> None:
        """
        Declares that it was encrypted by this library or as honestly, within its message_bound,
        and computed on as recorded. Say so only of what came from yourself, by a way on which
        nobody could change it: a release of any other can give the key away.
        """
    @property
    def context(self) -> Context:
        """
        The Context that it belongs to.
        """
    @property
    def estimated_error(self) -> float:
        """
        Estimated standard deviation of the error of a decoded slot, in units of the message.
        """
    @property
    def estimated_precision_bits(self) -> float:
        """
        Bits after the binary point that a decoded slot has: -log2(estimated_error).
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
        Rescalings that are left.
        """
    @property
    def message_bound(self) -> float:
        """
        The declared bound of a slot's magnitude: public.
        """
    @property
    def scale(self) -> float:
        """
        What the message is multiplied by: the factor itself.
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
    @property
    def slot_bound(self) -> float:
        """
        A bound of the error's magnitude in a slot of the scaled message.
        """
class SeededCiphertext:
    """
    A fresh symmetric ciphertext of CKKS at half the bytes.
    """
    @staticmethod
    def from_bytes(context: Context, data: typing_extensions.Buffer, *, expected_key: str | None = None) -> SeededCiphertext:
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
    def context(self) -> Context:
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
        Rescalings that are left.
        """
    @property
    def message_bound(self) -> float:
        """
        The declared bound of a slot's magnitude: public.
        """
    @property
    def scale(self) -> float:
        """
        What the message is multiplied by: the factor itself.
        """
    @property
    def serialized_size(self) -> int:
        """
        Length of to_bytes(), in bytes.
        """
    @property
    def slot_bound(self) -> float:
        """
        A bound of the error's magnitude in a slot of the scaled message.
        """
class Encoder:
    """
    Between numbers and plaintexts of CKKS: SEAL's CKKSEncoder.
    """
    def __init__(self, context: Context) -> None:
        ...
    def decode(self, plaintext: Plaintext, slots: typing.SupportsInt | None = None) -> numpy.ndarray:
        """
        The real parts of the slots, [slots] float64: a power of two; None: all N / 2.
        """
    def decode_coefficients(self, plaintext: Plaintext, count: typing.SupportsInt | None = None) -> numpy.typing.NDArray[numpy.float64]:
        """
        The first coefficients, [count] float64; None: all N.
        """
    def decode_complex(self, plaintext: Plaintext, slots: typing.SupportsInt | None = None) -> numpy.ndarray:
        """
        The slots, [slots] complex128: a power of two; None: all N / 2.
        """
    def encode(self, values: typing.Any, *, level: typing.SupportsInt | None = None, scale: typing.SupportsFloat | None = None, message_bound: typing.SupportsFloat = 1.0) -> Plaintext:
        """
        Numbers into slots.

        Args:
            values: [n] real or complex, n a power of two up to N / 2; fewer are repeated.
            level: 0 to max_level; None: the highest.
            scale: None: the scale that ciphertexts of the level have.
            message_bound: what a slot's magnitude may reach. Public: not to be computed from the
                values.

        Raises:
            ValueError: if n, level or scale is out of range, a value is not finite or beyond
                message_bound, or the message does not fit the modulus.
        """
    def encode_coefficients(self, values: typing.Any, *, level: typing.SupportsInt | None = None, scale: typing.SupportsFloat | None = None, message_bound: typing.SupportsFloat = 1.0) -> Plaintext:
        """
        At most N real numbers into the coefficients themselves: for sums; products of such
        plaintexts are no products of values.
        """
class Encryptor:
    """
    Encrypts plaintexts of CKKS under a public key.
    """
    def __init__(self, public_key: PublicKey, randomness: Randomness | None = None) -> None:
        ...
    def encrypt(self, plaintext: Plaintext) -> Ciphertext:
        """
        A Ciphertext at the plaintext's level; new randomness every time.
        """
class SymmetricEncryptor:
    """
    Encrypts plaintexts of CKKS under the secret key: a smaller error, and half the bytes.
    """
    def __init__(self, secret_key: SecretKey, randomness: Randomness | None = None) -> None:
        ...
    def encrypt(self, plaintext: Plaintext) -> Ciphertext:
        """
        A Ciphertext.
        """
    def encrypt_seeded(self, plaintext: Plaintext) -> SeededCiphertext:
        """
        A SeededCiphertext.
        """
class Decryptor:
    """
    Decrypts ciphertexts of CKKS. The error of a decryption tells about the key to whoever
    sees it (ePrint 2020/1533), so there are two ways, and the one that leaves the house
    floods.
    """
    def __init__(self, secret_key: SecretKey, randomness: Randomness | None = None) -> None:
        ...
    def decrypt_for_owner(self, ciphertext: Ciphertext) -> Plaintext:
        """
        A Plaintext with its exact error, for the owner's eyes only: never hand it to whoever may
        have chosen or seen the ciphertext.
        """
    def decrypt_for_release(self, ciphertext: Ciphertext, *, queries: typing.SupportsInt = 128, statistical_bits: typing.SupportsInt = 40) -> Plaintext:
        """
        A Plaintext with noise that hides what the error tells about the key.

        Args:
            queries: decryptions of the key that are released in all, at least 1.
            statistical_bits: 10 to 128.

        Raises:
            ValueError: if the ciphertext's history is unknown, the policy is out of range, or the
                noise does not fit the modulus that is left.
        """
class HoistedCiphertext:
    """
    What all rotations of one ciphertext share.
    """
    @property
    def level(self) -> int:
        """
        Its level.
        """
class Evaluator:
    """
    Arithmetic on ciphertexts of CKKS. Operands are of one context, key and level; a sum also
    needs one scale. Nothing is adjusted silently: a ValueError names both values and the
    remedy. A result that would not fit its modulus is refused before it is computed.
    """
    def __init__(self, context: Context) -> None:
        ...
    def add(self, a: Ciphertext, b: Ciphertext, *, message_bound: typing.SupportsFloat = 0.0) -> Ciphertext:
        """
        a + b. message_bound: what the caller knows of the sum's slots; 0: nothing.
        """
    def add_constant(self, a: Ciphertext, value: typing.SupportsFloat, *, message_bound: typing.SupportsFloat = 0.0) -> Ciphertext:
        """
        The same real number to every slot.
        """
    def add_plain(self, a: Ciphertext, b: Plaintext, *, message_bound: typing.SupportsFloat = 0.0) -> Ciphertext:
        """
        a + b, b a Plaintext.
        """
    def adjust(self, a: Ciphertext, level: typing.SupportsInt, scale: typing.SupportsFloat) -> Ciphertext:
        """
        To a lower level and any scale there.
        """
    def conjugate(self, a: Ciphertext, keys: GaloisKeys) -> Ciphertext:
        """
        Every slot's complex conjugate.
        """
    def drop_to_level(self, a: Ciphertext, level: typing.SupportsInt) -> Ciphertext:
        """
        To a lower level; the scale stays (SEAL: mod_switch_to).
        """
    def hoist(self, a: Ciphertext) -> HoistedCiphertext:
        """
        What all rotations of it share, made once.
        """
    def multiply(self, a: Ciphertext, b: Ciphertext) -> Ciphertext:
        """
        a * b: three polynomials, and the product of the scales; relinearize, then rescale.
        """
    def multiply_constant(self, a: Ciphertext, value: typing.SupportsFloat, scale: typing.SupportsFloat) -> Ciphertext:
        """
        Every slot times a real number, which is rounded to a multiple of 1 / scale.
        """
    def multiply_integer(self, a: Ciphertext, factor: typing.SupportsInt) -> Ciphertext:
        """
        Exact, without a change of scale; the magnitude of factor is below 2**62.
        """
    def multiply_plain(self, a: Ciphertext, b: Plaintext) -> Ciphertext:
        """
        a * b, b a Plaintext; the product of the scales.
        """
    def negate(self, a: Ciphertext) -> Ciphertext:
        """
        -a.
        """
    def relinearize(self, a: Ciphertext, key: RelinearizationKey) -> Ciphertext:
        """
        A product brought back to two polynomials.
        """
    def rescale(self, a: Ciphertext) -> Ciphertext:
        """
        One level down: divides by the primes of the level (SEAL: rescale_to_next).
        """
    @typing.overload
    def rotate(self, a: Ciphertext, steps: typing.SupportsInt, keys: GaloisKeys) -> Ciphertext:
        """
        Slot j of the result is slot j + steps of a. Raises IndexError if there is no key for it.
        """
    @typing.overload
    def rotate(self, a: HoistedCiphertext, steps: typing.SupportsInt, keys: GaloisKeys) -> Ciphertext:
        """
        The same of what hoist gave.
        """
    def square(self, a: Ciphertext) -> Ciphertext:
        """
        a * a.
        """
    def subtract(self, a: Ciphertext, b: Ciphertext, *, message_bound: typing.SupportsFloat = 0.0) -> Ciphertext:
        """
        a - b.
        """
    def subtract_plain(self, a: Ciphertext, b: Plaintext, *, message_bound: typing.SupportsFloat = 0.0) -> Ciphertext:
        """
        a - b, b a Plaintext.
        """
    def sum_slots(self, a: Ciphertext, slots: typing.SupportsInt, keys: GaloisKeys, *, message_bound: typing.SupportsFloat = 0.0) -> Ciphertext:
        """
        Slot j of the result is the sum of slots j .. j + slots - 1 of a; rotates by 1, 2, 4, ..
        """
    def switch_key(self, a: Ciphertext, key: KeySwitchingKey, from_id: str) -> Ciphertext:
        """
        To the key that `key` switches to; from_id: id of the one that it switches from.
        """
class LinearTransform:
    """
    A matrix on the slots of a ciphertext, by diagonals with baby and giant steps; about
    2 sqrt(n) rotations, of which the baby steps share one decomposition.
    """
    @staticmethod
    def from_matrix(encoder: Encoder, matrix: typing.Any, *, level: typing.SupportsInt | None = None, row_bound: typing.SupportsFloat = 1.0) -> LinearTransform:
        """
        Args:
            encoder: of the context.
            matrix: [n, n] real or complex, row j giving slot j of the result; n a power of two.
            level: of the ciphertexts that it is applied to; None: the highest. One is used up.
            row_bound: what the magnitudes of a row may add up to; public.
        """
    def apply(self, evaluator: Evaluator, argument: Ciphertext, keys: GaloisKeys) -> Ciphertext:
        """
        The product, rescaled: one level lower, at the argument's scale.
        """
    @property
    def level(self) -> int:
        """
        Of its arguments.
        """
    @property
    def rotations(self) -> list[int]:
        """
        Steps whose Galois keys apply needs.
        """
class Polynomial:
    """
    A real polynomial of one variable.
    """
    @staticmethod
    def chebyshev(f: collections.abc.Callable[[float], float], bound: typing.SupportsFloat, degree: typing.SupportsInt) -> Polynomial:
        """
        The interpolation of a function in the degree + 1 Chebyshev points of [-bound, bound];
        degree 0 to 1023. What f raises passes on.
        """
    def __call__(self, x: typing.SupportsFloat) -> float:
        """
        Its value at a number.
        """
    def __init__(self, coefficients: collections.abc.Sequence[typing.SupportsFloat], *, basis: str = 'monomial', bound: typing.SupportsFloat = 1.0) -> None:
        """
        Args:
            coefficients: from the constant on.
            basis: 'monomial', or 'chebyshev': T_i(x / bound) on [-bound, bound].
            bound: of no meaning for monomials.
        """
    @property
    def basis(self) -> str:
        """
        'monomial' or 'chebyshev'.
        """
    @property
    def bound(self) -> float:
        """
        Of the interval.
        """
    @property
    def coefficients(self) -> list[float]:
        """
        From the constant on.
        """
    @property
    def degree(self) -> int:
        """
        Its degree.
        """
    @property
    def depth(self) -> int:
        """
        Levels that evaluate uses.
        """
class EncodedMatrix:
    """
    A matrix that was encoded once, for many products.
    """
    @property
    def level(self) -> int:
        """
        Of the vectors; those of a higher level are brought down to it.
        """
    @property
    def message_bound(self) -> float:
        """
        What the magnitudes of a column may add up to; public.
        """
    @property
    def shape(self) -> tuple[int, int]:
        """
        (n, m).
        """
class VectorEvaluator:
    """
    Arithmetic on CKKS vectors of real numbers for which levels and scales need no thought:
    operands meet at the lower level, products are relinearised and rescaled. A vector of n
    numbers lies in the first n of period(n) slots, zeros behind it, and repeats.

    message_bound of a plain operand: what its magnitudes reach; public. None: the smallest
    power of two that holds, which tells as much of it to whoever sees the ciphertext.
    """
    @staticmethod
    def rotation_steps(context: Context) -> list[int]:
        """
        1, 2, 4, .., N / 4: the Galois keys that rotations need.
        """
    def __init__(self, context: Context, relinearization_key: RelinearizationKey | None = None, galois_keys: GaloisKeys | None = None) -> None:
        """
        Either key may be None for whoever needs none; an operation that does is a
        RuntimeError.
        """
    def add(self, a: Ciphertext, b: Ciphertext, *, message_bound: typing.SupportsFloat | None = None) -> Ciphertext:
        """
        a + b. message_bound: what the caller knows of the sum's numbers.
        """
    def add_plain(self, a: Ciphertext, values: typing.Any, *, message_bound: typing.SupportsFloat | None = None) -> Ciphertext:
        """
        a + [n] numbers.
        """
    def decode(self, plaintext: Plaintext, size: typing.SupportsInt) -> numpy.typing.NDArray[numpy.float64]:
        """
        The numbers of a vector, [size] float64.
        """
    def encode(self, values: typing.Any, message_bound: typing.SupportsFloat = 1.0) -> Plaintext:
        """
        [n] numbers, 1 to N / 2, into a Plaintext at the highest level. message_bound: what a
        number's magnitude may reach; public, so not to be computed from the numbers.
        """
    def encode_matrix(self, matrix: typing.Any, *, message_bound: typing.SupportsFloat | None = None, level: typing.SupportsInt | None = None) -> EncodedMatrix:
        """
        An EncodedMatrix for multiply_encoded_matrix with vectors of that level or a higher one;
        level None: the highest.
        """
    def evaluate(self, a: Ciphertext, size: typing.SupportsInt, polynomial: Polynomial) -> Ciphertext:
        """
        The polynomial of every number, polynomial.depth levels lower.
        """
    def multiply(self, a: Ciphertext, b: Ciphertext) -> Ciphertext:
        """
        a * b, number by number.
        """
    def multiply_constant(self, a: Ciphertext, value: typing.SupportsFloat) -> Ciphertext:
        """
        a * number; a level unless it is an integer.
        """
    def multiply_encoded_matrix(self, a: Ciphertext, matrix: EncodedMatrix) -> Ciphertext:
        """
        multiply_matrix, without encoding the matrix again.
        """
    def multiply_matrix(self, a: Ciphertext, matrix: typing.Any, *, message_bound: typing.SupportsFloat | None = None) -> Ciphertext:
        """
        A vector of n numbers times [n, m]: a vector of m numbers; a level, and about
        2 sqrt(min(n, m)) + log2(n / m) rotations. message_bound: of the magnitudes of a column,
        added up.
        """
    def multiply_plain(self, a: Ciphertext, values: typing.Any, *, message_bound: typing.SupportsFloat | None = None) -> Ciphertext:
        """
        a * [n] numbers; a level.
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
    def subtract(self, a: Ciphertext, b: Ciphertext, *, message_bound: typing.SupportsFloat | None = None) -> Ciphertext:
        """
        a - b.
        """
    def sum(self, a: Ciphertext, size: typing.SupportsInt, *, message_bound: typing.SupportsFloat | None = None) -> Ciphertext:
        """
        A vector of one number: the sum. message_bound: what the caller knows of it.
        """
    def weighted_sum(self, terms: collections.abc.Sequence[Ciphertext], weights: typing.Any, *, message_bound: typing.SupportsFloat | None = None) -> Ciphertext:
        """
        sum_i weights[i] terms[i]; a level unless all weights are integers. message_bound: of the
        magnitudes of the weights, added up.
        """
def ckks_decode(coefficients: typing.Any, scale: typing.SupportsFloat) -> numpy.ndarray:
    ...
def ckks_encode(values: typing.Any, scale: typing.SupportsFloat, ring_degree: typing.SupportsInt) -> numpy.ndarray:
    ...
def evaluate(evaluator: Evaluator, argument: Ciphertext, polynomial: Polynomial, key: RelinearizationKey) -> Ciphertext:
    """
    The polynomial of every slot, `depth` levels lower, at the scale of that level.

    Raises:
        ValueError: if the levels do not suffice, the argument's message_bound is above the
            polynomial's bound, or the result might not fit its modulus.
    """
