"""The arithmetic under velum, on NumPy arrays: for tests and teaching.

Polynomials are arrays of n coefficients, the constant one first, in Z_q[X] / (X^n + 1), for any
power of two n from 8 to 2**17 and any prime q below 2**61 with q = 1 modulo 2 n. Integers of any
NumPy type go in and are taken modulo q, negative ones too; what comes out is in [0, q), as uint64
where the first argument was uint64, else as int64. Anything that is no integer is a TypeError, and
a value or a shape out of range a ValueError.

Everything runs on the calling thread, without the GIL.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ._core import kernels as _kernels

__all__ = [
    "chacha20_keystream",
    "convert_basis",
    "gaussian",
    "inverse_ntt",
    "negacyclic_product",
    "ntt",
]


def negacyclic_product(a: npt.ArrayLike, b: npt.ArrayLike, modulus: int) -> npt.NDArray[Any]:
    """The product of two polynomials modulo X^n + 1 and `modulus`.

    Args:
        a, b: [n] integers, the coefficients.
        modulus: a prime, 1 modulo 2 n, below 2**61.

    Returns:
        [n] residues in [0, modulus).
    """
    return _kernels.negacyclic_product(np.asarray(a), np.asarray(b), modulus)


def ntt(a: npt.ArrayLike, modulus: int) -> npt.NDArray[Any]:
    """The values of a polynomial at the primitive 2n-th roots of unity modulo `modulus`.

    Value j is a(psi^(2 r(j) + 1)), where psi is the smallest primitive 2n-th root of unity and r(j)
    has the bits of j in reverse. Products of polynomials are products of values.

    Args:
        a: [n] integers, the coefficients.
        modulus: a prime, 1 modulo 2 n, below 2**61.

    Returns:
        [n] residues in [0, modulus).
    """
    return _kernels.ntt(np.asarray(a), modulus)


def inverse_ntt(a: npt.ArrayLike, modulus: int) -> npt.NDArray[Any]:
    """The polynomial with the values `a`: the inverse of `ntt`.

    Args:
        a: [n] integers, the values in the order of `ntt`.
        modulus: a prime, 1 modulo 2 n, below 2**61.

    Returns:
        [n] coefficients in [0, modulus).
    """
    return _kernels.inverse_ntt(np.asarray(a), modulus)


def convert_basis(
    residues: npt.ArrayLike,
    from_moduli: Sequence[int],
    to_moduli: Sequence[int],
    exact: bool = True,
) -> npt.NDArray[Any]:
    """Residues of the same integers modulo other moduli, without leaving machine words.

    With Q the product of `from_moduli`, the residues stand for an x in [0, Q).

    exact=True gives the residues of the centred representative: x if x < Q / 2, and x - Q above.
    (Within 2**-112 Q above Q / 2 it may still be x; docs in kernels/polynomial/base_conversion.h.)
    exact=False gives those of x + e Q with some integer 0 <= e < len(from_moduli), the same for all
    moduli: the cheaper form of Bajard, Eynard, Hasan and Zucca (ePrint 2016/510).

    Args:
        residues: [limbs, n] integers, row i modulo from_moduli[i]; n a power of two from 8.
        from_moduli: pairwise coprime odd numbers, above 4 and below 2**61.
        to_moduli: different odd numbers in the same range; some may be among `from_moduli`.
            At most 192 different moduli in all.
        exact: which representative.

    Returns:
        [len(to_moduli), n] residues, row j in [0, to_moduli[j]).
    """
    return _kernels.convert_basis(
        np.asarray(residues), list(from_moduli), list(to_moduli), bool(exact)
    )


def chacha20_keystream(key: bytes, nonce: bytes, counter: int, size: int) -> npt.NDArray[np.uint8]:
    """The keystream of ChaCha20 (RFC 8439, section 2.4), from block `counter` on.

    Args:
        key: 32 bytes.
        nonce: 12 bytes.
        counter: the first block, 0 to 2**32 - 1.
        size: number of bytes.

    Returns:
        [size] bytes.

    Raises:
        ValueError: also if the stream would need a block after 2**32 - 1: the counter of the RFC
            has 32 bits, and beyond them the stream would repeat.
    """
    return _kernels.chacha20_keystream(key, nonce, counter, size)


def gaussian(
    key: bytes,
    step: int = 0,
    tensor: int = 0,
    key_epoch: int = 0,
    first_element: int = 0,
    *,
    size: int,
    dtype: npt.DTypeLike = np.float64,
) -> npt.NDArray[Any]:
    """Draws of the standard normal distribution, as the noise of training is drawn.

    A draw is a function of the key, its position (step, tensor, key_epoch) and its number alone:
    the same bits on every machine, and for any way of cutting a tensor into calls. Streams of this
    function have a purpose of their own and share no block with any noise of training.

    Args:
        key: 32 bytes.
        step: 0 to 2**44 - 1.
        tensor: 0 to 2**24 - 1.
        key_epoch: 0 to 2**20 - 1.
        first_element: number of the first draw; first_element + size <= 2**35.
        size: how many.
        dtype: float64 or float32.

    Returns:
        [size] of dtype.

    Raises:
        IndexError: if the position is out of range.
        ValueError: if anything else is.
    """
    return _kernels.gaussian(key, step, tensor, key_epoch, first_element, size, dtype)
