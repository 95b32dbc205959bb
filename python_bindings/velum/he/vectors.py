"""Vectors and tensors of encrypted numbers with operators: keys, levels and scales in one hand.

    keys = velum.he.ckks_keys(depth=2)
    v = keys.encrypt([0.5, -0.25, 0.125])
    keys.decrypt_for_owner(v * v + 2 * v)

An encrypted tensor has its first axis in the slots of each ciphertext, and a ciphertext for every
index of the other axes; a vector is one of them with that axis alone. What is computed stands in
C++ (`VectorEvaluator`); here are shapes and the choice of the operation.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .._core import he as _he

__all__ = [
    "BfvKeys",
    "BfvTensor",
    "BfvVector",
    "CkksKeys",
    "CkksTensor",
    "CkksVector",
    "bfv_keys",
    "ckks_keys",
]


class _Keys:
    """What a party holds of one scheme and one secret key."""

    _evaluator_of: Any
    _encryptor_of: Any
    _decryptor_of: Any

    def __init__(
        self,
        context: Any,
        public_key: Any,
        relinearization_key: Any = None,
        galois_keys: Any = None,
        secret_key: Any = None,
    ) -> None:
        """Holds keys of one secret key; those that are None are not needed or not here."""
        for key in (relinearization_key, galois_keys, secret_key):
            if key is not None and key.id != public_key.id:
                raise ValueError(
                    f"{type(self).__name__}: a {type(key).__name__} belongs to the secret key "
                    f"{key.id}, expected {public_key.id}"
                )
        self.context = context
        self.public_key = public_key
        self.relinearization_key = relinearization_key
        self.galois_keys = galois_keys
        self.secret_key = secret_key
        self.evaluator = self._evaluator_of(context, relinearization_key, galois_keys)
        self._encryptor = self._encryptor_of(public_key)
        self._decryptor = None if secret_key is None else self._decryptor_of(secret_key)

    @classmethod
    def generate(
        cls,
        parameters: Any,
        *,
        rotations: bool = True,
        threads: int = 1,
        device: str = "cpu",
    ) -> Self:
        """New keys, the secret one among them, from the operating system's randomness.

        Args:
            parameters: of this scheme, with key switching.
            rotations: whether to make the Galois keys of `rotate`, `sum` and matrices: log2(N / 2)
                of them, most of what the keys weigh.
            threads, device: as `Context`.
        """
        context = _he.Context(parameters, threads=threads, device=device)
        generator = _he.KeyGenerator(context)
        secret = generator.secret_key()
        galois = None
        if rotations:
            galois = generator.galois_keys(secret, cls._evaluator_of.rotation_steps(context))
        return cls(
            context,
            generator.public_key(secret),
            generator.relinearization_key(secret),
            galois,
            secret,
        )

    @property
    def is_owner(self) -> bool:
        """Whether the secret key is among them."""
        return self.secret_key is not None

    def public(self) -> Self:
        """The same keys without the secret one, for whoever computes (TenSEAL:
        make_context_public)."""
        return type(self)(self.context, self.public_key, self.relinearization_key, self.galois_keys)

    def __getstate__(self) -> tuple[Any, ...]:
        if self.secret_key is not None:
            raise TypeError(
                f"{type(self).__name__}: a secret key is not pickled by accident; pickle public(), "
                "or save secret_key.to_bytes_unencrypted()"
            )
        return (self.context, self.public_key, self.relinearization_key, self.galois_keys)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def __repr__(self) -> str:
        held = "with" if self.is_owner else "without"
        return f"<velum.he.{type(self).__name__} {self.public_key.id}, {held} the secret key>"

    def _owned(self) -> Any:
        if self._decryptor is None:
            raise RuntimeError(
                f"{type(self).__name__}: these keys hold no secret key; only its owner decrypts"
            )
        return self._decryptor

    def _encrypt_cells(self, array: npt.NDArray[Any], encode: Callable[[Any], Any]) -> Any:
        cells = np.empty(array.shape[1:], dtype=object)
        for index in np.ndindex(cells.shape):
            column = np.ascontiguousarray(array[(slice(None), *index)])
            cells[index] = self._encryptor.encrypt(encode(column))
        return cells

    def _decrypted(self, encrypted: _Encrypted, decode: Callable[[Any], Any]) -> npt.NDArray[Any]:
        first = decode(encrypted.cells[(0,) * encrypted.cells.ndim])
        out = np.empty(encrypted.shape, dtype=first.dtype)
        for index in np.ndindex(encrypted.cells.shape):
            out[(slice(None), *index)] = decode(encrypted.cells[index])
        return out


class _Encrypted:
    """Numbers under one key: `shape`, and `cells`, a ciphertext for every index behind axis 0."""

    __array_ufunc__ = None  # NumPy's arrays leave operators to this class

    def __init__(self, keys: Any, shape: tuple[int, ...], cells: npt.NDArray[Any]) -> None:
        self._keys = keys
        self.shape = shape
        self.cells = cells

    @property
    def keys(self) -> Any:
        """The keys that it is computed on with."""
        if self._keys is None:
            raise RuntimeError(
                f"{type(self).__name__}: it came without its keys; give them by link(keys)"
            )
        return self._keys

    def link(self, keys: Any) -> Self:
        """Gives keys to what was unpickled; returns it.

        Raises:
            ValueError: if it belongs to another secret key.
        """
        for cell in self.cells.flat:
            if cell.key_id != keys.public_key.id:
                raise ValueError(
                    f"{type(self).__name__}: it belongs to the secret key {cell.key_id}, and the "
                    f"keys to {keys.public_key.id}"
                )
        self._keys = keys
        return self

    def __getstate__(self) -> tuple[Any, ...]:
        return (self.shape, self.cells)  # keys are large: they travel once, apart

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._keys = None
        self.shape, self.cells = state

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """Axes."""
        return len(self.shape)

    @property
    def level(self) -> int:
        """What is left of the depth; the least of all ciphertexts."""
        return min(int(cell.level) for cell in self.cells.flat)

    @property
    def history(self) -> str:
        """'known', or 'unknown' if something in it was loaded."""
        known = all(cell.history == "known" for cell in self.cells.flat)
        return "known" if known else "unknown"

    def vouch_for_history(self) -> None:
        """As `Ciphertext.vouch_for_history`: only of what came from yourself."""
        for cell in self.cells.flat:
            cell.vouch_for_history()

    # What differs between schemes.

    def _plain(self, other: Any) -> npt.NDArray[Any]:
        raise NotImplementedError

    def _constant_product(self, cell: Any, constant: Any) -> Any:
        raise NotImplementedError

    # Elementwise.

    def _new(self, cells: npt.NDArray[Any], shape: tuple[int, ...] | None = None) -> Self:
        return type(self)(self.keys, self.shape if shape is None else shape, cells)

    def _map(self, work: Callable[[Any], Any]) -> Self:
        cells = np.empty(self.cells.shape, dtype=object)
        for index in np.ndindex(cells.shape):
            cells[index] = work(self.cells[index])
        return self._new(cells)

    def _map_with(self, other: Self, work: Callable[[Any, Any], Any]) -> Self:
        if other.shape != self.shape:
            raise ValueError(
                f"{type(self).__name__}: the operands have shapes {self.shape} and {other.shape}, "
                "expected the same"
            )
        cells = np.empty(self.cells.shape, dtype=object)
        for index in np.ndindex(cells.shape):
            cells[index] = work(self.cells[index], other.cells[index])
        return self._new(cells)

    def _map_plain(self, array: npt.NDArray[Any], work: Callable[[Any, Any], Any]) -> Self:
        try:
            full = np.broadcast_to(array, self.shape)
        except ValueError:
            raise ValueError(
                f"{type(self).__name__}: an array of shape {array.shape}, expected {self.shape} or "
                "what NumPy broadcasts to it"
            ) from None
        cells = np.empty(self.cells.shape, dtype=object)
        for index in np.ndindex(cells.shape):
            column = np.ascontiguousarray(full[(slice(None), *index)])
            cells[index] = work(self.cells[index], column)
        return self._new(cells)

    def __neg__(self) -> Self:
        return self._map(self.keys.evaluator.negate)

    def __add__(self, other: Any) -> Self:
        if isinstance(other, _Encrypted):
            if type(other) is not type(self):
                return NotImplemented
            return self._map_with(other, self.keys.evaluator.add)
        return self._map_plain(self._plain(other), self.keys.evaluator.add_plain)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Self:
        if isinstance(other, _Encrypted):
            if type(other) is not type(self):
                return NotImplemented
            return self._map_with(other, self.keys.evaluator.subtract)
        return self._map_plain(-self._plain(other), self.keys.evaluator.add_plain)

    def __rsub__(self, other: Any) -> Self:
        negated: Self = -self
        return negated.__add__(other)

    def __mul__(self, other: Any) -> Self:
        if isinstance(other, _Encrypted):
            if type(other) is not type(self):
                return NotImplemented
            return self._map_with(other, self.keys.evaluator.multiply)
        plain = self._plain(other)
        if plain.ndim == 0:
            return self._map(lambda cell: self._constant_product(cell, plain[()]))
        return self._map_plain(plain, self.keys.evaluator.multiply_plain)

    __rmul__ = __mul__

    def __pow__(self, exponent: int) -> Self:
        """A power from 1 on, by squaring: as many levels as the exponent has bits, less one, and
        one more if it is no power of two."""
        bits = operator.index(exponent)
        if bits < 1:
            raise ValueError(f"{type(self).__name__}: exponent = {bits}, expected >= 1")
        factors, square = [], self
        while True:
            if bits & 1:
                factors.append(square)
            bits >>= 1
            if not bits:
                return functools.reduce(operator.mul, factors)
            square = square._map(lambda cell: self.keys.evaluator.multiply(cell, cell))


class _Vector(_Encrypted):
    """One axis, one ciphertext."""

    _encoded_matrix: Any

    @property
    def size(self) -> int:
        """How many numbers."""
        return self.shape[0]

    @property
    def ciphertext(self) -> Any:
        """The Ciphertext, for whatever the direct layer does."""
        return self.cells[()]

    def _of(self, ciphertext: Any, size: int) -> Self:
        cells = np.empty((), dtype=object)
        cells[()] = ciphertext
        return self._new(cells, (size,))

    def __mul__(self, other: Any) -> Self:
        """By a vector, an array or a number; a vector of one number multiplies all of the other."""
        if type(other) is type(self) and (other.size == 1) != (self.size == 1):
            product = self.keys.evaluator.multiply(self.ciphertext, other.ciphertext)
            return self._of(product, max(self.size, other.size))
        return super().__mul__(other)

    __rmul__ = __mul__

    def rotate(self, steps: int) -> Self:
        """Number j of the result is number j + steps, around the end; the size is a power of
        two."""
        rotated = self.keys.evaluator.rotate(self.ciphertext, operator.index(steps), self.size)
        return self._of(rotated, self.size)

    def dot(self, other: Any) -> Self:
        """The sum of the products with a vector or an array: a vector of one number."""
        product: Self = self * other
        return product.sum()

    def sum(self) -> Self:
        """The sum of all numbers: a vector of one number."""
        return self._of(self.keys.evaluator.sum(self.ciphertext, self.size), 1)

    def _times(self, matrix: Any, **options: Any) -> Self:
        encoded = isinstance(matrix, self._encoded_matrix)
        plain = matrix if encoded else self._plain(matrix)
        if len(plain.shape) != 2 or plain.shape[0] != self.size:
            raise ValueError(
                f"{type(self).__name__}: a matrix of shape {plain.shape}, expected [{self.size}, m]"
            )
        if not encoded:
            product = self.keys.evaluator.multiply_matrix(self.ciphertext, plain, **options)
        elif any(option is not None for option in options.values()):
            raise ValueError(
                f"{type(self).__name__}: message_bound beside an encoded matrix, expected none: it "
                "has one of its own"
            )
        else:
            product = self.keys.evaluator.multiply_encoded_matrix(self.ciphertext, matrix)
        return self._of(product, plain.shape[1])

    def __matmul__(self, other: Any) -> Self:
        if isinstance(other, _Encrypted):
            return self.dot(other) if type(other) is type(self) else NotImplemented
        if isinstance(other, self._encoded_matrix):
            return self._times(other)
        plain = self._plain(other)
        return self.dot(plain) if plain.ndim == 1 else self._times(plain)

    def __rmatmul__(self, other: Any) -> Self:
        plain = self._plain(other)
        return self.dot(plain) if plain.ndim == 1 else self._times(plain.T)


class _Tensor(_Encrypted):
    """A batch of anything: axis 0 in the slots, a ciphertext for every index of the others."""

    def reshape(self, *shape: int) -> Self:
        """The same numbers with other axes behind the first, which stays."""
        new = np.empty(self.shape, dtype=bool).reshape(*shape).shape
        if new[:1] != self.shape[:1]:
            raise ValueError(
                f"{type(self).__name__}: reshape to {new}, expected the first axis to stay "
                f"{self.shape[0]}: it lies in the slots"
            )
        return self._new(self.cells.reshape(new[1:]), new)

    def __getitem__(self, key: Any) -> Self:
        """Any index of the axes behind the first: t[:, 3], t[:, 1:, 0]."""
        parts = key if isinstance(key, tuple) else (key,)
        if not parts or parts[0] != slice(None):
            raise IndexError(
                f"{type(self).__name__}: index {key!r}, expected [:, ...]: the first axis lies in "
                "the slots"
            )
        chosen = self.cells[parts[1:]]
        if not isinstance(chosen, np.ndarray):
            cells = np.empty((), dtype=object)
            cells[()] = chosen
            chosen = cells
        if chosen.size == 0:
            raise IndexError(f"{type(self).__name__}: index {key!r} leaves nothing")
        return self._new(chosen, (self.shape[0], *chosen.shape))

    def _weighted(self, cells: npt.NDArray[Any], weights: npt.NDArray[Any], **options: Any) -> Any:
        return self.keys.evaluator.weighted_sum(list(cells), weights, **options)

    def sum(self, axis: int) -> Self:
        """The sum over an axis behind the first."""
        at = operator.index(axis)
        if at < 0:
            at += self.ndim
        if not 1 <= at < self.ndim:
            raise ValueError(
                f"{type(self).__name__}: axis = {axis}, expected 1 to {self.ndim - 1}: the first "
                "lies in the slots"
            )
        rows = np.moveaxis(self.cells, at - 1, -1)
        if rows.shape[-1] == 0:
            raise ValueError(f"{type(self).__name__}: axis {axis} is empty")
        out = np.empty(rows.shape[:-1], dtype=object)
        ones = self._plain(np.ones(rows.shape[-1], dtype=np.int64))
        for index in np.ndindex(out.shape):
            out[index] = self._weighted(rows[index], ones)
        return self._new(out, (self.shape[0], *out.shape))

    def _times(self, matrix: Any, **options: Any) -> Self:
        plain = self._plain(matrix)
        if self.ndim < 2 or plain.ndim != 2 or plain.shape[0] != self.shape[-1]:
            raise ValueError(
                f"{type(self).__name__}: {self.shape} @ {plain.shape}, expected [.., n] of two axes "
                "at least @ [n, m]"
            )
        lead = self.cells.shape[:-1]
        out = np.empty((*lead, plain.shape[1]), dtype=object)
        for column in range(plain.shape[1]):
            weights = np.ascontiguousarray(plain[:, column])
            for index in np.ndindex(lead):
                out[(*index, column)] = self._weighted(self.cells[index], weights, **options)
        return self._new(out, (self.shape[0], *out.shape))

    def __matmul__(self, other: Any) -> Self:
        if isinstance(other, _Encrypted):
            return NotImplemented
        return self._times(other)


class _Reals(_Encrypted):
    """Of CKKS."""

    def _plain(self, other: Any) -> npt.NDArray[Any]:
        array = np.asarray(other)
        if array.dtype.kind not in "fiub":
            raise TypeError(
                f"{type(self).__name__}: an operand of type {array.dtype}, expected real numbers"
            )
        return array.astype(np.float64, copy=False)

    def _constant_product(self, cell: Any, constant: Any) -> Any:
        return self.keys.evaluator.multiply_constant(cell, float(constant))

    @property
    def message_bound(self) -> float:
        """The declared bound of a number's magnitude, as it follows from the operations: public."""
        return max(float(cell.message_bound) for cell in self.cells.flat)

    @property
    def precision_bits(self) -> float:
        """Bits after the binary point that a number has, estimated; the least of all."""
        return min(float(cell.estimated_precision_bits) for cell in self.cells.flat)

    def declare_message_bound(self, bound: float) -> None:
        """As `Ciphertext.declare_message_bound`: what the caller knows of all numbers."""
        for cell in self.cells.flat:
            cell.declare_message_bound(bound)

    def multiply(self, other: Any, *, message_bound: float | None = None) -> Self:
        """`self * other` of an array, with a bound of its magnitudes that says nothing of them.

        Args:
            other: an array that NumPy broadcasts to the shape.
            message_bound: public; None: the smallest power of two that holds.
        """

        def work(cell: Any, values: Any) -> Any:
            return self.keys.evaluator.multiply_plain(cell, values, message_bound=message_bound)

        return self._map_plain(self._plain(other), work)

    def apply(self, polynomial: Any) -> Self:
        """A `Polynomial` of every number: polynomial.depth levels.

        Raises:
            ValueError: if the levels do not suffice, or message_bound is above the polynomial's
                bound: declare_message_bound says what is known.
        """
        size = self.shape[0]
        return self._map(lambda cell: self.keys.evaluator.evaluate(cell, size, polynomial))

    def polyval(self, coefficients: Iterable[float]) -> Self:
        """c_0 + c_1 x + c_2 x**2 + .. of every number; coefficients from the constant on."""
        return self.apply(_he.Polynomial(list(coefficients)))

    def __repr__(self) -> str:
        return (
            f"<velum.he.{type(self).__name__} {list(self.shape)}, level {self.level}, about "
            f"{self.precision_bits:.1f} bits after the point>"
        )


class _Integers(_Encrypted):
    """Of BFV."""

    def _plain(self, other: Any) -> npt.NDArray[Any]:
        array = np.asarray(other)
        if array.dtype.kind not in "iub":
            raise TypeError(
                f"{type(self).__name__}: an operand of type {array.dtype}, expected integers of at "
                "most 64 bits"
            )
        if array.dtype == np.uint64 and array.size and array.max() > np.iinfo(np.int64).max:
            raise ValueError(f"{type(self).__name__}: an integer is above 2**63 - 1")
        return array.astype(np.int64, copy=False)

    def _constant_product(self, cell: Any, constant: Any) -> Any:
        return self.keys.evaluator.multiply_integer(cell, int(constant))

    @property
    def noise_budget(self) -> float:
        """Bits that the noise can still grow by before a decryption could be wrong, proven; the
        least of all."""
        return min(float(cell.noise_budget_estimate) for cell in self.cells.flat)

    def __repr__(self) -> str:
        return (
            f"<velum.he.{type(self).__name__} {list(self.shape)}, noise budget "
            f"{self.noise_budget:.1f} bits>"
        )


class CkksVector(_Reals, _Vector):
    """Encrypted real numbers, up to N / 2; made by `CkksKeys.encrypt`.

    `a + b`, `a - b`, `a * b`, `a ** 3` with vectors, arrays and numbers; `a @ b` is the dot product
    with a vector and the row vector `a` times a matrix [n, m]; `rotate`, `sum`, `polyval`, `apply`.
    A product uses up a level, unless it is with an integer. What was unpickled has no keys until
    `link(keys)`.

    The bound of a plain operand becomes part of the result's `message_bound`, as a power of two; it
    tells as much of the operand to whoever sees the ciphertext. `multiply` and `matmul` take a
    bound instead.
    """

    _encoded_matrix = _he.EncodedMatrix

    def matmul(self, matrix: Any, *, message_bound: float | None = None) -> Self:
        """This row vector times a plain matrix, about 2 sqrt(n) rotations.

        Args:
            matrix: [size, m] numbers, which are encoded in every call; or what `CkksKeys.encode_matrix`
                made of them once.
            message_bound: of the magnitudes of a column, added up; public. None: the smallest power
                of two that holds. Not with an encoded matrix.

        Returns:
            A vector of m numbers, a level lower.
        """
        return self._times(matrix, message_bound=message_bound)


class CkksTensor(_Reals, _Tensor):
    """Encrypted real numbers [B, ...]; made by `CkksKeys.encrypt_tensor`.

    The batch axis, up to N / 2, lies in the slots, so that a product with a matrix [n, m] needs no
    rotation: `t @ matrix`. Operators, `polyval` and `apply` act on every number, as of a
    `CkksVector`.
    """

    def matmul(self, matrix: Any, *, message_bound: float | None = None) -> Self:
        """The last axis times a plain matrix.

        Args:
            matrix: [n, m] numbers, n the length of the last axis.
            message_bound: as `CkksVector.matmul`.
        """
        return self._times(matrix, message_bound=message_bound)


class BfvVector(_Integers, _Vector):
    """Encrypted integers modulo t, up to N / 2; made by `BfvKeys.encrypt`. Operators as those of
    `CkksVector`, exact modulo t."""

    _encoded_matrix = _he.bfv.EncodedMatrix

    def matmul(self, matrix: Any) -> Self:
        """This row vector times a plain matrix [size, m] of integers, or what `BfvKeys.encode_matrix`
        made of one: a vector of m integers."""
        return self._times(matrix)


class BfvTensor(_Integers, _Tensor):
    """Encrypted integers modulo t [B, ...]; made by `BfvKeys.encrypt_tensor`. Operators as those of
    `CkksTensor`, exact modulo t."""

    def matmul(self, matrix: Any) -> Self:
        """The last axis times a plain matrix [n, m] of integers, n the length of that axis."""
        return self._times(matrix)


class CkksKeys(_Keys):
    """The keys of CKKS that a party holds, and what is done with them; made by `ckks_keys`."""

    _evaluator_of = _he.VectorEvaluator
    _encryptor_of = _he.Encryptor
    _decryptor_of = _he.Decryptor

    def encrypt(self, values: npt.ArrayLike, message_bound: float = 1.0) -> CkksVector:
        """Encrypts a vector.

        Args:
            values: [n] real numbers, 1 to N / 2. Contiguous float64 is not copied.
            message_bound: what a magnitude may reach. Public, so not to be computed from the values;
                values beyond are a ValueError.
        """
        array = np.asarray(values)
        if array.ndim != 1:
            raise ValueError(f"encrypt: values has {array.ndim} dimensions, expected 1")
        return CkksVector(self, array.shape, self._cells(array, message_bound))

    def encrypt_tensor(self, values: npt.ArrayLike, message_bound: float = 1.0) -> CkksTensor:
        """Encrypts [B, ...] real numbers, B up to N / 2: a ciphertext for every index behind the
        first axis. message_bound as of `encrypt`."""
        array = np.asarray(values)
        if array.ndim < 1 or array.size == 0:
            raise ValueError(f"encrypt_tensor: values has shape {array.shape}, expected [B, ...]")
        return CkksTensor(self, array.shape, self._cells(array, message_bound))

    def _cells(self, array: npt.NDArray[Any], message_bound: float) -> Any:
        return self._encrypt_cells(
            array, lambda column: self.evaluator.encode(column, message_bound)
        )

    def encode_matrix(
        self,
        matrix: npt.ArrayLike,
        *,
        level: int | None = None,
        message_bound: float | None = None,
    ) -> _he.EncodedMatrix:
        """A matrix for many products `vector @ encoded`: encoding is a good part of a product's time.

        Args:
            matrix: [n, m] real numbers.
            level: of the vectors, 1 or more; those of a higher level are brought down to it. None: the
                highest, that of fresh ones.
            message_bound: as of `CkksVector.matmul`.
        """
        encoded: _he.EncodedMatrix = self.evaluator.encode_matrix(
            np.asarray(matrix), message_bound=message_bound, level=level
        )
        return encoded

    def vector(self, ciphertext: Any, size: int) -> CkksVector:
        """The vector of a Ciphertext that was encrypted elsewhere: its first `size` slots, zeros
        behind them up to a power of two, and so on."""
        cells = np.empty((), dtype=object)
        cells[()] = ciphertext
        self.evaluator.period(size)
        return CkksVector(None, (size,), cells).link(self)

    def decrypt_for_owner(self, encrypted: CkksVector | CkksTensor) -> npt.NDArray[np.float64]:
        """The numbers with their exact error, for the owner's eyes only: never hand them to whoever
        may have chosen or seen the ciphertext.

        Returns:
            `[*encrypted.shape]` float64.
        """
        decryptor, size = self._owned(), encrypted.shape[0]
        return self._decrypted(
            encrypted, lambda cell: self.evaluator.decode(decryptor.decrypt_for_owner(cell), size)
        )

    def decrypt_for_release(
        self,
        encrypted: CkksVector | CkksTensor,
        *,
        queries: int = 128,
        statistical_bits: int = 40,
    ) -> npt.NDArray[np.float64]:
        """The numbers with noise that hides what their error tells about the key.

        Args:
            queries: ciphertexts of the key that are released in all.
            statistical_bits: 10 to 128.

        Raises:
            ValueError: also if the history is unknown, or the noise does not fit the modulus that
                is left.
        """
        decryptor, size = self._owned(), encrypted.shape[0]
        return self._decrypted(
            encrypted,
            lambda cell: self.evaluator.decode(
                decryptor.decrypt_for_release(
                    cell, queries=queries, statistical_bits=statistical_bits
                ),
                size,
            ),
        )


class BfvKeys(_Keys):
    """The keys of BFV that a party holds, and what is done with them; made by `bfv_keys`."""

    _evaluator_of = _he.bfv.VectorEvaluator
    _encryptor_of = _he.bfv.Encryptor
    _decryptor_of = _he.bfv.Decryptor

    @property
    def modulus(self) -> int:
        """t: integers are computed modulo it."""
        return int(self.context.parameters.plaintext_modulus)

    def encrypt(self, values: npt.ArrayLike) -> BfvVector:
        """Encrypts [n] integers, 1 to N / 2, each in [-t/2, t/2] (else ValueError)."""
        array = np.asarray(values)
        if array.ndim != 1:
            raise ValueError(f"encrypt: values has {array.ndim} dimensions, expected 1")
        return BfvVector(self, array.shape, self._encrypt_cells(array, self.evaluator.encode))

    def encrypt_tensor(self, values: npt.ArrayLike) -> BfvTensor:
        """Encrypts [B, ...] integers, B up to N / 2: a ciphertext for every index behind the first
        axis."""
        array = np.asarray(values)
        if array.ndim < 1 or array.size == 0:
            raise ValueError(f"encrypt_tensor: values has shape {array.shape}, expected [B, ...]")
        return BfvTensor(self, array.shape, self._encrypt_cells(array, self.evaluator.encode))

    def encode_matrix(self, matrix: npt.ArrayLike) -> _he.bfv.EncodedMatrix:
        """A matrix [n, m] of integers in [-t/2, t/2] for many products `vector @ encoded`."""
        encoded: _he.bfv.EncodedMatrix = self.evaluator.encode_matrix(np.asarray(matrix))
        return encoded

    def vector(self, ciphertext: Any, size: int) -> BfvVector:
        """The vector of a Ciphertext that was encrypted elsewhere, as `CkksKeys.vector`."""
        cells = np.empty((), dtype=object)
        cells[()] = ciphertext
        self.evaluator.period(size)
        return BfvVector(None, (size,), cells).link(self)

    def decrypt_for_owner(self, encrypted: BfvVector | BfvTensor) -> npt.NDArray[np.int64]:
        """The integers in [-t/2, t/2], for the owner's eyes only, whoever made the ciphertext.

        Returns:
            `[*encrypted.shape]` int64.
        """
        decryptor, size = self._owned(), encrypted.shape[0]
        return self._decrypted(
            encrypted, lambda cell: self.evaluator.decode(decryptor.decrypt_for_owner(cell), size)
        )

    def decrypt_for_release(self, encrypted: BfvVector | BfvTensor) -> npt.NDArray[np.int64]:
        """The same of what has a known history (else ValueError)."""
        decryptor, size = self._owned(), encrypted.shape[0]
        return self._decrypted(
            encrypted, lambda cell: self.evaluator.decode(decryptor.decrypt_for_release(cell), size)
        )

    def noise_budget_for_owner(self, encrypted: BfvVector | BfvTensor) -> float:
        """Bits that the noise can still grow by, measured; the least of all. For the owner's eyes
        only."""
        decryptor = self._owned()
        return min(float(decryptor.noise_budget_for_owner(c)) for c in encrypted.cells.flat)


def ckks_keys(
    depth: int,
    precision_bits: int = 25,
    *,
    security: int = 128,
    rotations: bool = True,
    threads: int = 1,
    device: str = "cpu",
) -> CkksKeys:
    """New keys of CKKS, for approximate real numbers.

    Args:
        depth: 0 to 60, products one after the other.
        precision_bits: 10 to 45, bits after the binary point of a fresh number of magnitude 1.
        security: 128, 192 or 256 bits.
        rotations: whether to make the keys of rotations, sums and matrices.
        threads, device: as `Context`.

    Raises:
        ValueError: if an argument is out of range, or no ring is large enough.
    """
    parameters = _he.Parameters.for_depth(depth, precision_bits, security)
    return CkksKeys.generate(parameters, rotations=rotations, threads=threads, device=device)


def bfv_keys(
    depth: int,
    plaintext_bits: int = 20,
    *,
    security: int = 128,
    rotations: bool = True,
    threads: int = 1,
    device: str = "cpu",
) -> BfvKeys:
    """New keys of BFV, for integers modulo a prime t of `plaintext_bits` bits.

    Args:
        depth: 0 to 30, products one after the other, each with one rotation; one more for sums and
            matrices after a product, whose noise bounds add up.
        plaintext_bits: 12 to 60.
        security: 128, 192 or 256 bits.
        rotations: whether to make the keys of rotations, sums and matrices.
        threads, device: as `Context`.

    Raises:
        ValueError: if an argument is out of range, or no ring is large enough.
    """
    parameters = _he.Parameters.bfv_for_depth(depth, plaintext_bits, security)
    return BfvKeys.generate(parameters, rotations=rotations, threads=threads, device=device)
