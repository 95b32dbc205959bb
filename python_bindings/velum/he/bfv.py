"""BFV: arithmetic on encrypted integers modulo t, exactly.

The names are those of `velum.he`, for integers. Parameters, contexts and keys are the same classes;
each encoder, encryptor and evaluator refuses the parameters of the other scheme.

    context = velum.he.Context(velum.he.Parameters.bfv_for_depth(2, 20))
    encoder = velum.he.bfv.BatchEncoder(context)
"""

from .._core.he.bfv import (
    BatchEncoder,
    Ciphertext,
    CoefficientEncoder,
    Decryptor,
    EncodedMatrix,
    Encryptor,
    Evaluator,
    Plaintext,
    SeededCiphertext,
    SymmetricEncryptor,
    VectorEvaluator,
)

__all__ = [
    "BatchEncoder",
    "Ciphertext",
    "CoefficientEncoder",
    "Decryptor",
    "EncodedMatrix",
    "Encryptor",
    "Evaluator",
    "Plaintext",
    "SeededCiphertext",
    "SymmetricEncryptor",
    "VectorEvaluator",
]
