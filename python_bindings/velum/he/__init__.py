"""Computing on encrypted numbers: CKKS for approximate real and complex numbers, BFV for integers.

With operators, for vectors and tensors whose levels and scales need no thought:

    keys = velum.he.ckks_keys(depth=2)              # of the owner, the secret key among them
    v = keys.encrypt([0.5, -0.25, 0.125])
    w = v * v + 2 * v @ np.eye(3)                   # whoever computes needs keys.public()
    keys.decrypt_for_owner(w)

    ckks_keys, CkksKeys, CkksVector, CkksTensor
    bfv_keys, BfvKeys, BfvVector, BfvTensor         exact integers modulo t

The direct layer says every step, with the names that users of SEAL know:

    context = velum.he.Context(velum.he.Parameters.for_depth(depth=2, precision_bits=25))
    generator = velum.he.KeyGenerator(context)
    secret = generator.secret_key()
    encoder = velum.he.Encoder(context)
    encryptor = velum.he.Encryptor(generator.public_key(secret))
    ciphertext = encryptor.encrypt(encoder.encode([0.25, 0.5]))
    decryptor = velum.he.Decryptor(secret)
    encoder.decode(decryptor.decrypt_for_owner(ciphertext), 2)

    Parameters, ParametersBuilder, Context     what is public and fixed
    KeyGenerator, SecretKey, PublicKey, RelinearizationKey, GaloisKeys, KeySwitchingKey
    Encoder, Encryptor, SymmetricEncryptor, Decryptor, Evaluator, LinearTransform, Polynomial
    bfv                                        the same of exact integers
    ckks_encode, ckks_decode                   slots to coefficients and back, without any keys
    threshold                                  keys that several parties hold together
    aggregation                                exact sums of vectors that nobody shows

Arrays of NumPy, and whatever numpy.asarray takes, tensors of torch on the CPU among them, go in;
contiguous float64 and int64 are not copied. What comes out are NumPy arrays; torch.from_numpy takes
them without a copy. Work runs without the GIL.

What is public can be pickled. A pickle is a program: load only your own, and bytes of anybody else
by the `from_bytes` of the class, which checks everything. A secret key goes out only by
`to_bytes_unencrypted()`. Of what was loaded nothing shows that its noise estimate is true, so
`decrypt_for_release` refuses what was computed from it, until its owner calls
`vouch_for_history()`.

Errors: ValueError for a value out of range, IndexError for a key or level that is not there,
TypeError for what is no number, RuntimeError for misuse of state, SerializationError (a
RuntimeError) for damaged bytes. Each text names the function, the value and what was expected.
"""

import numpy as np
import numpy.typing as npt

from .._core import he as _he
from .._core.he import (
    Ciphertext,
    Context,
    Decryptor,
    EncodedMatrix,
    Encoder,
    Encryptor,
    Evaluator,
    GaloisKeys,
    HoistedCiphertext,
    KeyGenerator,
    KeySwitchingKey,
    LinearTransform,
    Parameters,
    ParametersBuilder,
    Plaintext,
    Polynomial,
    PublicKey,
    Randomness,
    RelinearizationKey,
    SecretKey,
    SeededCiphertext,
    SerializationError,
    SymmetricEncryptor,
    VectorEvaluator,
    evaluate,
)
from . import aggregation, bfv, threshold
from .vectors import (
    BfvKeys,
    BfvTensor,
    BfvVector,
    CkksKeys,
    CkksTensor,
    CkksVector,
    bfv_keys,
    ckks_keys,
)

__all__ = [
    "BfvKeys",
    "BfvTensor",
    "BfvVector",
    "Ciphertext",
    "CkksKeys",
    "CkksTensor",
    "CkksVector",
    "Context",
    "Decryptor",
    "EncodedMatrix",
    "Encoder",
    "Encryptor",
    "Evaluator",
    "GaloisKeys",
    "HoistedCiphertext",
    "KeyGenerator",
    "KeySwitchingKey",
    "LinearTransform",
    "Parameters",
    "ParametersBuilder",
    "Plaintext",
    "Polynomial",
    "PublicKey",
    "Randomness",
    "RelinearizationKey",
    "SecretKey",
    "SeededCiphertext",
    "SerializationError",
    "SymmetricEncryptor",
    "VectorEvaluator",
    "aggregation",
    "bfv",
    "bfv_keys",
    "ckks_decode",
    "ckks_encode",
    "ckks_keys",
    "evaluate",
    "threshold",
]


def ckks_encode(values: npt.ArrayLike, scale: float, ring_degree: int) -> npt.NDArray[np.int64]:
    """The polynomial whose values are `values` times `scale`, its coefficients rounded to integers.

    The canonical embedding of CKKS (ePrint 2016/421): a polynomial m of degree below N has the
    slots z_j = m(zeta**(5**j)), zeta = exp(i pi / N), j = 0 .. N/2 - 1, and their conjugates at the
    other primitive 2N-th roots of unity.

    Args:
        values: [n] real or complex, n a power of two up to N/2. Fewer than N/2 are repeated to fill
            all slots.
        scale: 2**-100 to 2**200.
        ring_degree: N, a power of two from 2 to 2**17.

    Returns:
        [N] int64.

    Raises:
        ValueError: if an argument is out of range, a value is not finite, or a coefficient does not
            fit 64 bits.
        TypeError: if values are no numbers.
    """
    return _he.ckks_encode(values, scale, ring_degree)


def ckks_decode(coefficients: npt.ArrayLike, scale: float) -> npt.NDArray[np.complex128]:
    """The slots of a polynomial, divided by `scale`: the inverse of `ckks_encode`.

    Args:
        coefficients: [N] integers, N a power of two from 2 to 2**17.
        scale: 2**-100 to 2**200.

    Returns:
        [N/2] complex128.

    Raises:
        ValueError: if an argument is out of range.
        TypeError: if coefficients are no integers of 64 bits.
    """
    return _he.ckks_decode(coefficients, scale)
