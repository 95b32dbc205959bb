"""
Integer and random kernels on NumPy arrays; documented in velum.kernels.
"""
from __future__ import annotations
import collections.abc
import numpy
import numpy.typing
import typing
import typing_extensions
__all__: list[str] = ['chacha20_keystream', 'convert_basis', 'gaussian', 'inverse_ntt', 'negacyclic_product', 'ntt']
def chacha20_keystream(key: typing_extensions.Buffer, nonce: typing_extensions.Buffer, counter: typing.SupportsInt, size: typing.SupportsInt) -> numpy.typing.NDArray[numpy.uint8]:
    ...
def convert_basis(residues: numpy.ndarray, from_moduli: collections.abc.Sequence[typing.SupportsInt], to_moduli: collections.abc.Sequence[typing.SupportsInt], exact: bool) -> numpy.ndarray:
    ...
def gaussian(key: typing_extensions.Buffer, step: typing.SupportsInt, tensor: typing.SupportsInt, key_epoch: typing.SupportsInt, first_element: typing.SupportsInt, size: typing.SupportsInt, dtype: typing.Any) -> numpy.ndarray:
    ...
def inverse_ntt(a: numpy.ndarray, modulus: typing.SupportsInt) -> numpy.ndarray:
    ...
def negacyclic_product(a: numpy.ndarray, b: numpy.ndarray, modulus: typing.SupportsInt) -> numpy.ndarray:
    ...
def ntt(a: numpy.ndarray, modulus: typing.SupportsInt) -> numpy.ndarray:
    ...
