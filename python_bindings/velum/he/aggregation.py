"""Exact sums of vectors that nobody shows: several owners' models, averaged under encryption.

Each owner sends one encrypted vector a round; whoever adds them up sees none of them, and the sum
comes out when the parties' decryption shares are put together. Nothing but the sum comes out. Who
learns what: docs/threat_model.md; scheme and proofs: docs/noise.md, "Aggregation".

    models = StateDictSum(model.state_dict(), owners=3, step=2**-12)
    identity = Identity.generate()                  # each member; public halves go into the roster
    roster = Roster(aggregator_identity, owner_identities, nonce)
    owner = Owner(models.context, roster, number, identity, OnceDirectory(path))
    aggregator = Aggregator(models.context, roster, identity)

`Owner` and `Aggregator` take and give signed bytes, which anybody may carry: set-up once, by
`start_setup`, `setup_keys`, `deal`, `shares_for`, `finish_setup`; then rounds, by `start_round`,
`submit`, `close_submissions`, `confirm`, `request_shares`, `share`, `finish`. An owner submits
`models.pack(state_dict)`, and `models.unpack(sums)` is the sum of all.

Below them, for protocols of another kind: VectorEncryptor, EncryptedSum, PartialDecryptor and
decrypt_sum, whose callers agree on keys and on who takes part by themselves.

The sum itself is no secret: under differential privacy it is what noise must be added to before.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import torch

from .._core.he.aggregation import (
    Aggregator,
    Context,
    DecryptionShare,
    EncryptedSum,
    EncryptedVector,
    Identity,
    Owner,
    PartialDecryptor,
    Plan,
    ProtocolError,
    Roster,
    SecretPart,
    VectorEncryptor,
    decrypt_sum,
    share_secret,
    to_integers,
    to_numbers,
)
from .threshold import AlreadyUsed, OnceDirectory

__all__ = [
    "Aggregator",
    "AlreadyUsed",
    "Context",
    "DecryptionShare",
    "EncryptedSum",
    "EncryptedVector",
    "Identity",
    "OnceDirectory",
    "Owner",
    "PartialDecryptor",
    "Plan",
    "ProtocolError",
    "Roster",
    "SecretPart",
    "StateDictSum",
    "VectorEncryptor",
    "decrypt_sum",
    "share_secret",
    "to_integers",
    "to_numbers",
]


class StateDictSum:
    """How the state_dicts of a group of owners become vectors, and sums of vectors state_dicts.

    Numbers become multiples of `step`, to the nearest: each is off by at most step / 2, a sum of K
    by K step / 2, and nothing else is lost.
    """

    def __init__(
        self,
        template: Mapping[str, torch.Tensor],
        owners: int,
        *,
        step: float,
        bits: int = 16,
        threshold: int = 0,
        threads: int = 1,
        device: str = "cpu",
    ) -> None:
        """Plans sums of state_dicts like `template`.

        Args:
            template: names, shapes and types; values are not read.
            owners: as many state_dicts as a sum may have, 2 to 1024.
            step: what a number is rounded to multiples of.
            bits: a number is at most step * 2**(bits - 1) in magnitude; 2 to 24.
            threshold: how many decrypt; 0: all whose state_dicts are in the sum.
            threads, device: as of `velum.he.Context`.

        Raises:
            ValueError: if a number is out of range, or a tensor is not of floating point: counters
                are left out by the caller.
        """
        if not 0 < step < float("inf"):
            raise ValueError(f"StateDictSum: step = {step}, expected finite and > 0")
        self.step = float(step)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, torch.dtype] = {}
        for name, tensor in template.items():
            if not tensor.is_floating_point():
                raise ValueError(
                    f"StateDictSum: {name} is of type {tensor.dtype}, expected floating point; "
                    "leave it out"
                )
            self.shapes[name] = tuple(tensor.shape)
            self.dtypes[name] = tensor.dtype
        values = sum(int(np.prod(shape, dtype=np.int64)) for shape in self.shapes.values())
        plan = Plan(values, bits, owners, threshold=threshold)
        self.context = Context(plan, threads=threads, device=device)

    def pack(self, state_dict: Mapping[str, torch.Tensor]) -> npt.NDArray[np.int32]:
        """The vector of a state_dict.

        Returns:
            [plan.values] int32, names in the order of the template.

        Raises:
            ValueError: if names or shapes differ from the template's, or a number is out of range:
                its position in the vector is named, and it is not.
        """
        if list(state_dict) != list(self.shapes):
            raise ValueError(
                f"StateDictSum: the names are {list(state_dict)}, expected {list(self.shapes)}"
            )
        parts = []
        for name, tensor in state_dict.items():
            if tuple(tensor.shape) != self.shapes[name]:
                raise ValueError(
                    f"StateDictSum: {name} has shape {list(tensor.shape)}, expected "
                    f"{list(self.shapes[name])}"
                )
            parts.append(tensor.detach().to("cpu", torch.float64).numpy().ravel())
        return to_integers(self.context.plan, np.concatenate(parts), self.step)

    def unpack(self, sums: npt.NDArray[np.int32]) -> dict[str, torch.Tensor]:
        """The state_dict of sums that a vector of sums stands for, in the types of the template.

        Args:
            sums: [plan.values] int32, of `decrypt_sum`.
        """
        if sums.shape != (self.context.plan.values,):
            raise ValueError(
                f"StateDictSum: sums has shape {list(sums.shape)}, expected "
                f"[{self.context.plan.values}]"
            )
        numbers = torch.from_numpy(to_numbers(sums, self.step))
        sizes = [int(np.prod(shape, dtype=np.int64)) for shape in self.shapes.values()]
        parts: Iterable[torch.Tensor] = torch.split(numbers, sizes)
        return {
            name: part.reshape(shape).to(self.dtypes[name])
            for (name, shape), part in zip(self.shapes.items(), parts)
        }
