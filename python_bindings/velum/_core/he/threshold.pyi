"""
Keys that several hold together. Documented in velum.he.threshold.
"""
from __future__ import annotations
import collections.abc
import typing
import typing_extensions
import velum._core.he
import velum._core.he.bfv
__all__: list[str] = ['AlreadyUsed', 'DecryptionShare', 'GaloisKeyShare', 'Group', 'Party', 'PublicKeyShare', 'RelinearizationRoundOne', 'RelinearizationShareOne', 'RelinearizationShareTwo', 'SecretShare', 'combine_decryption', 'combine_galois_keys', 'combine_public_key', 'combine_relinearization_key', 'combine_round_one']
class AlreadyUsed(RuntimeError):
    """
    It would be the second one, and two of it would give a secret away.
    """
class Group:
    """
    All that is public about a key that several hold together. Who makes it distributes it
    (parties, threshold and seed), and each party makes the same of it. A group's keys are made
    once; for new ones take a new group.
    """
    @staticmethod
    def create(context: velum._core.he.Context, parties: typing.SupportsInt, threshold: typing.SupportsInt, *, statistical_bits: typing.SupportsInt = 40, randomness: velum._core.he.Randomness | None = None) -> Group:
        """
        A new one.

        Args:
            context: of parameters for so many parties (ParametersBuilder.parties).
            parties: n, 2 to what the parameters say.
            threshold: t, 2 to n: how many decrypt; fewer together learn nothing.
            statistical_bits: 10 to 80, of the noise on decryption shares.

        Raises:
            ValueError: naming the number that is out of range.
        """
    @staticmethod
    def from_bytes(context: velum._core.he.Context, data: typing_extensions.Buffer) -> Group:
        """
        Loads what to_bytes wrote. Raises SerializationError.
        """
    def __copy__(self) -> typing.Any:
        ...
    def __deepcopy__(self, memo: dict[str, typing.Any]) -> typing.Any:
        ...
    def __init__(self, context: velum._core.he.Context, parties: typing.SupportsInt, threshold: typing.SupportsInt, seed: bytes, *, statistical_bits: typing.SupportsInt = 40) -> None:
        """
        One that was announced, by its 32 bytes `seed`.
        """
    def to_bytes(self) -> bytes:
        """
        What announces the group, as bytes.
        """
    @property
    def context(self) -> velum._core.he.Context:
        """
        The Context that it belongs to.
        """
    @property
    def everybody(self) -> list[int]:
        """
        [1, .., n].
        """
    @property
    def id(self) -> bytes:
        """
        32 bytes that every message of the group carries.
        """
    @property
    def key_id(self) -> str:
        """
        32 hexadecimal digits that the collective key and its ciphertexts carry.
        """
    @property
    def parties(self) -> int:
        """
        n.
        """
    @property
    def seed(self) -> bytes:
        """
        32 bytes that all of its public polynomials follow from; public.
        """
    @property
    def threshold(self) -> int:
        """
        t.
        """
class PublicKeyShare:
    """
    For combine_public_key.
    """
    @staticmethod
    def from_bytes(group: Group, data: typing_extensions.Buffer) -> PublicKeyShare:
        """
        Loads what to_bytes wrote, of this group alone. Bytes of anybody: everything is checked but
        whom they are from. Raises SerializationError.
        """
    def __copy__(self) -> typing.Any:
        ...
    def __deepcopy__(self, memo: dict[str, typing.Any]) -> typing.Any:
        ...
    def to_bytes(self) -> bytes:
        """
        The message as bytes.
        """
    @property
    def group(self) -> bytes:
        """
        The id of its group.
        """
    @property
    def party(self) -> int:
        """
        Whose it is, from 1; 0 of what was combined.
        """
class RelinearizationShareOne:
    """
    For combine_round_one.
    """
    @staticmethod
    def from_bytes(group: Group, data: typing_extensions.Buffer) -> RelinearizationShareOne:
        """
        Loads what to_bytes wrote, of this group alone. Bytes of anybody: everything is checked but
        whom they are from. Raises SerializationError.
        """
    def __copy__(self) -> typing.Any:
        ...
    def __deepcopy__(self, memo: dict[str, typing.Any]) -> typing.Any:
        ...
    def to_bytes(self) -> bytes:
        """
        The message as bytes.
        """
    @property
    def group(self) -> bytes:
        """
        The id of its group.
        """
    @property
    def party(self) -> int:
        """
        Whose it is, from 1; 0 of what was combined.
        """
class RelinearizationRoundOne:
    """
    The sum of the first round, for all parties.
    """
    @staticmethod
    def from_bytes(group: Group, data: typing_extensions.Buffer) -> RelinearizationRoundOne:
        """
        Loads what to_bytes wrote, of this group alone. Bytes of anybody: everything is checked but
        whom they are from. Raises SerializationError.
        """
    def __copy__(self) -> typing.Any:
        ...
    def __deepcopy__(self, memo: dict[str, typing.Any]) -> typing.Any:
        ...
    def to_bytes(self) -> bytes:
        """
        The message as bytes.
        """
    @property
    def group(self) -> bytes:
        """
        The id of its group.
        """
    @property
    def party(self) -> int:
        """
        Whose it is, from 1; 0 of what was combined.
        """
class RelinearizationShareTwo:
    """
    For combine_relinearization_key.
    """
    @staticmethod
    def from_bytes(group: Group, data: typing_extensions.Buffer) -> RelinearizationShareTwo:
        """
        Loads what to_bytes wrote, of this group alone. Bytes of anybody: everything is checked but
        whom they are from. Raises SerializationError.
        """
    def __copy__(self) -> typing.Any:
        ...
    def __deepcopy__(self, memo: dict[str, typing.Any]) -> typing.Any:
        ...
    def to_bytes(self) -> bytes:
        """
        The message as bytes.
        """
    @property
    def group(self) -> bytes:
        """
        The id of its group.
        """
    @property
    def party(self) -> int:
        """
        Whose it is, from 1; 0 of what was combined.
        """
class GaloisKeyShare:
    """
    For combine_galois_keys.
    """
    @staticmethod
    def from_bytes(group: Group, data: typing_extensions.Buffer) -> GaloisKeyShare:
        """
        Loads what to_bytes wrote, of this group alone. Bytes of anybody: everything is checked but
        whom they are from. Raises SerializationError.
        """
    def __copy__(self) -> typing.Any:
        ...
    def __deepcopy__(self, memo: dict[str, typing.Any]) -> typing.Any:
        ...
    def to_bytes(self) -> bytes:
        """
        The message as bytes.
        """
    @property
    def galois_element(self) -> int:
        """
        The g of X -> X^g.
        """
    @property
    def group(self) -> bytes:
        """
        The id of its group.
        """
    @property
    def party(self) -> int:
        """
        Whose it is, from 1; 0 of what was combined.
        """
class DecryptionShare:
    """
    A smudged share of the decryption of one ciphertext.
    """
    @staticmethod
    def from_bytes(group: Group, data: typing_extensions.Buffer) -> DecryptionShare:
        """
        Loads what to_bytes wrote, of this group alone. Bytes of anybody: everything is checked but
        whom they are from. Raises SerializationError.
        """
    def __copy__(self) -> typing.Any:
        ...
    def __deepcopy__(self, memo: dict[str, typing.Any]) -> typing.Any:
        ...
    def to_bytes(self) -> bytes:
        """
        The message as bytes.
        """
    @property
    def active(self) -> list[int]:
        """
        Whose shares belong together, rising.
        """
    @property
    def group(self) -> bytes:
        """
        The id of its group.
        """
    @property
    def party(self) -> int:
        """
        Whose it is, from 1; 0 of what was combined.
        """
class SecretShare:
    """
    What one party gives another of its secret: for the receiver alone, and neither pickled nor
    copied. Whoever reads `threshold` of the same dealer's knows its secret.
    """
    @staticmethod
    def from_bytes_unencrypted(group: Group, data: typing_extensions.Buffer) -> SecretShare:
        """
        Loads what to_bytes_unencrypted wrote. Raises SerializationError.
        """
    def to_bytes_unencrypted(self) -> bytes:
        """
        For its receiver alone. Nothing encrypts it here, and Python does not wipe it.
        """
    @property
    def dealer(self) -> int:
        """
        Whose secret.
        """
    @property
    def receiver(self) -> int:
        """
        Whom it is for.
        """
class Party:
    """
    One party of a group and its secret; the group's secret key is the sum of all, and nobody
    has it. In order:

        1. public_key_share of all -> combine_public_key
        2. for products: relinearization_share_one of all -> combine_round_one, for all;
           relinearization_share_two of all -> combine_relinearization_key
        3. for rotations: galois_key_share of all, for each step -> combine_galois_keys
        4. if threshold < parties: deal_secret_shares of all, each to its receiver ->
           receive_secret_shares
        5. decryption_share of `threshold` parties -> combine_decryption

    Whatever is made of the secret is made once, which a register remembers: a second one is
    AlreadyUsed, since of two the errors cancel.
    """
    @staticmethod
    def from_bytes_unencrypted(group: Group, data: typing_extensions.Buffer, once: collections.abc.Callable[[str, bytes], bool], randomness: velum._core.he.Randomness | None = None) -> Party:
        """
        Loads what to_bytes_unencrypted wrote. `once` is the very register that the party had: one
        that was put back from a copy forgets shares. Raises SerializationError.
        """
    def __init__(self, group: Group, index: typing.SupportsInt, once: collections.abc.Callable[[str, bytes], bool], randomness: velum._core.he.Randomness | None = None) -> None:
        """
        A new secret.

        Args:
            index: 1 to n, a different one for each party.
            once: (domain: str, digest: bytes) -> bool, a lasting register: True if the pair is new
                to it, having entered it. `OnceDirectory` is one. It remembers as long as the secret
                is kept.
        """
    def deal_secret_shares(self) -> list[SecretShare]:
        """
        Its secret shared among all: [n] SecretShares, number j - 1 for party j alone; once.
        """
    @typing.overload
    def decryption_share(self, ciphertext: velum._core.he.Ciphertext, active: collections.abc.Sequence[typing.SupportsInt]) -> DecryptionShare:
        """
        A DecryptionShare of a ciphertext of CKKS or BFV; once for each ciphertext.

        Args:
            active: who decrypts, this one too: threshold or more; all if all must.

        Raises:
            AlreadyUsed: if a share of this very ciphertext was made before.
            ValueError: if the ciphertext is of another key, has three polynomials or an unknown
                history, or the noise of all shares does not fit.
            RuntimeError: unless ready_to_decrypt.
        """
    @typing.overload
    def decryption_share(self, ciphertext: velum._core.he.bfv.Ciphertext, active: collections.abc.Sequence[typing.SupportsInt]) -> DecryptionShare:
        """
        A DecryptionShare of a ciphertext of CKKS or BFV; once for each ciphertext.

        Args:
            active: who decrypts, this one too: threshold or more; all if all must.

        Raises:
            AlreadyUsed: if a share of this very ciphertext was made before.
            ValueError: if the ciphertext is of another key, has three polynomials or an unknown
                history, or the noise of all shares does not fit.
            RuntimeError: unless ready_to_decrypt.
        """
    def galois_key_share(self, steps: typing.SupportsInt) -> GaloisKeyShare:
        """
        A GaloisKeyShare for rotations by `steps`; once for each.
        """
    def public_key_share(self) -> PublicKeyShare:
        """
        A PublicKeyShare; once.
        """
    def receive_secret_shares(self, shares: collections.abc.Sequence[typing.Any]) -> None:
        """
        What all parties, itself too, have dealt to this one. A secret has one place: the shares are
        used up, whatever comes of it.

        Raises:
            ValueError: naming the share that is of another group, for another receiver, missing or
                there twice.
        """
    def relinearization_share_one(self) -> RelinearizationShareOne:
        """
        A RelinearizationShareOne; once.
        """
    def relinearization_share_two(self, round_one: RelinearizationRoundOne) -> RelinearizationShareTwo:
        """
        A RelinearizationShareTwo; once. RuntimeError without the first.
        """
    def to_bytes_unencrypted(self) -> bytes:
        """
        All that the party needs to decrypt after a restart, its secret among it, for its owner alone.
        Nothing encrypts it, and Python does not wipe it.
        """
    @property
    def index(self) -> int:
        """
        From 1.
        """
    @property
    def ready_to_decrypt(self) -> bool:
        """
        Whether it can decrypt: all decrypt together, or it has received shares of all.
        """
@typing.overload
def combine_decryption(group: Group, ciphertext: velum._core.he.Ciphertext, shares: collections.abc.Sequence[typing.Any]) -> velum._core.he.Plaintext:
    """
    The Plaintext, from the shares of the parties that they name as active: of BFV exactly, of
    CKKS with its error and the noise of all shares.
    """
@typing.overload
def combine_decryption(group: Group, ciphertext: velum._core.he.bfv.Ciphertext, shares: collections.abc.Sequence[typing.Any]) -> velum._core.he.bfv.Plaintext:
    """
    The Plaintext, from the shares of the parties that they name as active: of BFV exactly, of
    CKKS with its error and the noise of all shares.
    """
def combine_galois_keys(group: Group, shares: collections.abc.Sequence[typing.Any]) -> velum._core.he.GaloisKeys:
    """
    GaloisKeys, from shares of all parties for all steps.
    """
def combine_public_key(group: Group, shares: collections.abc.Sequence[typing.Any]) -> velum._core.he.PublicKey:
    """
    The PublicKey of the group, from a share of each party. Its history is unknown: whoever
    trusts all parties to keep to the protocol says vouch_for_history(). As of all here, a share
    that is missing, there twice or of something else is a ValueError that says which.
    """
def combine_relinearization_key(group: Group, round_one: RelinearizationRoundOne, shares: collections.abc.Sequence[typing.Any]) -> velum._core.he.RelinearizationKey:
    """
    The RelinearizationKey.
    """
def combine_round_one(group: Group, shares: collections.abc.Sequence[typing.Any]) -> RelinearizationRoundOne:
    """
    A RelinearizationRoundOne, for all parties.
    """
