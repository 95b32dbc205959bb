"""
Exact sums of vectors that nobody shows. Documented in velum.he.aggregation.
"""
from __future__ import annotations
import collections.abc
import numpy
import numpy.typing
import typing
import typing_extensions
import velum._core.he
__all__: list[str] = ['Aggregator', 'Context', 'DecryptionShare', 'EncryptedSum', 'EncryptedVector', 'Identity', 'Owner', 'PartialDecryptor', 'Plan', 'ProtocolError', 'Roster', 'SecretPart', 'VectorEncryptor', 'decrypt_sum', 'share_secret', 'to_integers', 'to_numbers']
class Plan:
    """
    All that is public and fixed about the sums of a group: how values are packed, the ring, and
    the bounds that prove sums right.
    """
    def __copy__(self) -> typing.Any:
        ...
    def __deepcopy__(self, memo: dict[str, typing.Any]) -> typing.Any:
        ...
    def __eq__(self, arg0: object) -> bool:
        ...
    def __hash__(self) -> int:
        ...
    def __init__(self, values: typing.SupportsInt, bits: typing.SupportsInt, owners: typing.SupportsInt, *, threshold: typing.SupportsInt = 0, statistical_bits: typing.SupportsInt = 40, correctness_bits: typing.SupportsInt = 60, security: typing.SupportsInt = 128) -> None:
        """
        Args:
            values: of every owner's vector, 1 to 2**32.
            bits: a value is an integer in [-2**(bits-1), 2**(bits-1)); 2 to 24, with
                owners * 2**bits at most 2**31.
            owners: as many vectors as a sum may have, 2 to 1024.
            threshold: how many decrypt; 0: all whose vectors are in the sum.
            statistical_bits: of the noise on decryption shares.
            correctness_bits: a sum is wrong with probability at most 2**-correctness_bits.
            security: 128, 192 or 256.

        Raises:
            ValueError: naming the number that is out of range, or if no ring has room.
        """
    def __str__(self) -> str:
        ...
    @property
    def bits(self) -> int:
        """
        Of a value.
        """
    @property
    def bytes_per_value(self) -> float:
        """
        Bytes that a value takes on its way.
        """
    @property
    def ciphertexts(self) -> int:
        """
        Polynomials of a vector.
        """
    @property
    def digits(self) -> int:
        """
        Values in a coefficient.
        """
    @property
    def largest_value(self) -> int:
        """
        2**(bits - 1) - 1.
        """
    @property
    def owners(self) -> int:
        """
        As many vectors as a sum may have.
        """
    @property
    def smallest_value(self) -> int:
        """
        -2**(bits - 1).
        """
    @property
    def threshold(self) -> int:
        """
        How many decrypt; 0: all whose vectors are in the sum.
        """
    @property
    def values(self) -> int:
        """
        Of every owner's vector.
        """
    @property
    def vector_bytes(self) -> int:
        """
        Bytes of one owner's vector.
        """
class Context:
    """
    A plan with its tables, and where work runs.
    """
    def __init__(self, plan: Plan, *, threads: typing.SupportsInt = 1, device: str = 'cpu') -> None:
        """
        threads and device as of velum.he.Context.
        """
    @property
    def plan(self) -> Plan:
        """
        The Plan.
        """
    @property
    def ring(self) -> velum._core.he.Context:
        """
        The velum.he.Context for KeyGenerator.
        """
class EncryptedVector:
    """
    One owner's vector in a round.
    """
    @staticmethod
    def from_bytes(context: Context, data: typing_extensions.Buffer) -> EncryptedVector:
        """
        Loads what to_bytes wrote. Bytes of anybody: everything is checked. Raises
        SerializationError.
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
        The 32 bytes of its group.
        """
    @property
    def owner(self) -> int:
        """
        Number of the owner, from 1.
        """
    @property
    def round(self) -> int:
        """
        Its round.
        """
class EncryptedSum:
    """
    The sum of the vectors of some owners in a round.
    """
    def __init__(self, context: Context, group: bytes, round: typing.SupportsInt) -> None:
        ...
    def add(self, vectors: collections.abc.Sequence[EncryptedVector]) -> None:
        """
        Adds vectors, in one pass.

        Raises:
            ValueError: if one is of another plan or round, or its owner is in the sum already; the
                sum is as it was then.
        """
    @property
    def group(self) -> bytes:
        """
        The 32 bytes of its group.
        """
    @property
    def owners(self) -> list[int]:
        """
        Whose vectors are in it, rising.
        """
    @property
    def round(self) -> int:
        """
        Its round.
        """
class VectorEncryptor:
    """
    Encrypts an owner's vectors, one a round. Two vectors of one owner in one round would tell
    their difference; so each round is entered in a register before anything is computed.
    """
    def __init__(self, context: Context, secret_key: velum._core.he.SecretKey, owner: typing.SupportsInt, group: bytes, once: collections.abc.Callable[[str, bytes], bool], randomness: velum._core.he.Randomness | None = None) -> None:
        """
        Args:
            secret_key: of context.ring, of this owner in this group alone.
            owner: its number, 1 to plan.owners.
            group: 32 bytes, the same for all who take part, and of no other group.
            once: (domain: str, digest: bytes) -> bool, a lasting register: True if the pair is new
                to it, having entered it. `OnceDirectory` is one.
        """
    def encrypt(self, round: typing.SupportsInt, values: typing.Any) -> EncryptedVector:
        """
        An EncryptedVector.

        Args:
            round: its number.
            values: [plan.values] int32.

        Raises:
            ValueError: naming the first value that is out of the plan's range; the round is not
                used up then.
            AlreadyUsed: if the round was used.
        """
class DecryptionShare:
    """
    What a party adds to the sum of a round so that it can be read.
    """
    @staticmethod
    def from_bytes(context: Context, data: typing_extensions.Buffer) -> DecryptionShare:
        """
        Loads what to_bytes wrote. Bytes of anybody: everything is checked. Raises
        SerializationError.
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
        The 32 bytes of its group.
        """
    @property
    def owners(self) -> list[int]:
        """
        Whose vectors the sum has, rising.
        """
    @property
    def parties(self) -> list[int]:
        """
        Whose shares belong together, rising.
        """
    @property
    def party(self) -> int:
        """
        Number of the party, from 1.
        """
    @property
    def round(self) -> int:
        """
        Its round.
        """
class SecretPart:
    """
    A party's part of an owner's secret key, by share_secret: for that party alone, and neither
    pickled nor copied.
    """
class PartialDecryptor:
    """
    A party's decryption shares, one a round. Without a threshold a party is an owner, and its
    part is its own secret; with one, `of_parts` takes what all owners gave it.
    """
    @staticmethod
    def of_parts(context: Context, parts: collections.abc.Sequence[typing.Any], party: typing.SupportsInt, group: bytes, masks: collections.abc.Mapping[int, bytes], once: collections.abc.Callable[[str, bytes], bool], randomness: velum._core.he.Randomness | None = None) -> PartialDecryptor:
        """
        Of a plan with a threshold.

        Args:
            parts: the SecretParts of this party from the owners 1, 2, .., all of them, in order. A
                secret has one place: they are used up, whatever comes of it.
            party, group, masks, once: as above.
        """
    def __init__(self, context: Context, secret_key: velum._core.he.SecretKey, party: typing.SupportsInt, group: bytes, masks: collections.abc.Mapping[int, bytes], once: collections.abc.Callable[[str, bytes], bool], randomness: velum._core.he.Randomness | None = None) -> None:
        """
        Args:
            masks: {other owner's number: 32 bytes that the two share and nobody else has}, for
                every other owner: what hides a share from all but the sum. From a key exchange.
            secret_key, party, group, once: as of VectorEncryptor.
        """
    def share(self, round: typing.SupportsInt, owners: collections.abc.Sequence[typing.SupportsInt], parties: collections.abc.Sequence[typing.SupportsInt]) -> DecryptionShare:
        """
        A DecryptionShare of the sum of `owners`, with those of the other `parties`: without a
        threshold both are the same.

        Raises:
            AlreadyUsed: if this party gave a share of this round before.
        """
class ProtocolError(RuntimeError):
    """
    A message that is refused; the state is as before.
    """
class Identity:
    """
    An Ed25519 key pair: who one is to the others. Its private half is wiped when it goes, and
    neither pickled nor copied.
    """
    @staticmethod
    def from_private_key(key: bytes) -> Identity:
        """
        The one of 32 bytes that export_private_key_secret gave.
        """
    @staticmethod
    def generate() -> Identity:
        """
        A new one, from the operating system's randomness.
        """
    def export_private_key_secret(self) -> bytes:
        """
        The private half, 32 bytes, to keep in a safe place; Python does not wipe them.
        """
    @property
    def public_identity(self) -> bytes:
        """
        32 bytes that the others know it by.
        """
class Roster:
    """
    All that the members of a group agree on before they begin, by a way that the protocol does
    not give: above all whose public identities are whose.
    """
    def __copy__(self) -> typing.Any:
        ...
    def __deepcopy__(self, memo: dict[str, typing.Any]) -> typing.Any:
        ...
    def __init__(self, aggregator: bytes, owners: collections.abc.Sequence[bytes], nonce: bytes, *, quorum: typing.SupportsInt = 0, least_vectors: typing.SupportsInt = 0) -> None:
        """
        Args:
            aggregator, owners: public identities of 32 bytes, those of owners 1 to K in order.
            nonce: 32 bytes, different for every group of the same members.
            quorum: how many owners must have signed the same account before shares are given;
                0: the threshold, or more than half of K where that is more.
            least_vectors: the fewest that a sum may have; 0: more than half of K, and the
                threshold at least.
        """
    @property
    def aggregator(self) -> bytes:
        """
        The public identity of the one who adds up.
        """
    @property
    def least_vectors(self) -> int:
        """
        The fewest vectors of a sum; 0: follows from the plan.
        """
    @property
    def nonce(self) -> bytes:
        """
        Its nonce.
        """
    @property
    def owners(self) -> list[bytes]:
        """
        The public identities of owners 1 to K.
        """
    @property
    def quorum(self) -> int:
        """
        Signatures that shares wait for; 0: follows from the plan.
        """
class Owner:
    """
    One owner of a group: takes and gives signed messages, which anybody may carry. In order:
    start_setup, deal, finish_setup once for a group; submit (or join), confirm, share, result in
    each round. A message that is refused is a ProtocolError and changes nothing; a call that is
    not due a RuntimeError; one that was made before AlreadyUsed. Secrets last as long as the
    object: after a restart make a group with another nonce.
    """
    def __init__(self, context: Context, roster: Roster, number: typing.SupportsInt, identity: Identity, once: collections.abc.Callable[[str, bytes], bool], randomness: velum._core.he.Randomness | None = None) -> None:
        """
        Args:
            number: 1 to plan.owners.
            identity: whose public half the roster has there.
            once: (domain: str, digest: bytes) -> bool, a lasting register: `OnceDirectory` is one.
        """
    def confirm(self, summary: typing_extensions.Buffer) -> bytes:
        """
        Its signature on whose vectors are in the sum, from Aggregator.close_submissions.
        """
    def deal(self, keys: typing_extensions.Buffer) -> list[bytes]:
        """
        From Aggregator.setup_keys: one message for each other owner with a threshold, else none.
        """
    def finish_setup(self, shares: collections.abc.Sequence[typing_extensions.Buffer]) -> bytes:
        """
        From Aggregator.shares_for; none without a threshold.
        """
    def join(self, round_start: typing_extensions.Buffer) -> None:
        """
        Takes part in a round without a vector, to confirm and decrypt. With a threshold only.
        """
    def result(self, result: typing_extensions.Buffer) -> numpy.ndarray:
        """
        The sums as the aggregator says they are: [plan.values] int32.
        """
    def share(self, request: typing_extensions.Buffer) -> bytes:
        """
        Its decryption share, from Aggregator.request_shares: not before a quorum signed what
        this owner was told.
        """
    def start_setup(self) -> bytes:
        """
        Its key exchange, for the aggregator.
        """
    def submit(self, round_start: typing_extensions.Buffer, values: typing.Any) -> bytes:
        """
        Its vector of a round: [plan.values] int32, each in the plan's range (else ValueError).
        """
    @property
    def group(self) -> bytes:
        """
        32 bytes: the hash of roster and plan.
        """
    @property
    def number(self) -> int:
        """
        From 1.
        """
    @property
    def round(self) -> int:
        """
        Of the round that it takes part in, or did last; 0 before the first.
        """
class Aggregator:
    """
    The one who adds up; it has no secret but its identity. In order: receive the owners'
    messages, setup_keys, shares_for each owner; then in each round start_round,
    close_submissions, request_shares, finish, result. What is missing is a RuntimeError that
    names it.
    """
    def __init__(self, context: Context, roster: Roster, identity: Identity) -> None:
        ...
    def close_submissions(self) -> bytes:
        """
        Whose vectors are in the sum, and their signatures; to every owner.
        """
    def finish(self) -> numpy.ndarray:
        """
        The sums of the owners' values, exactly: [plan.values] int32.
        """
    def receive(self, message: typing_extensions.Buffer) -> int:
        """
        Any message of an owner; the owner's number. Raises ProtocolError.
        """
    def request_shares(self) -> bytes:
        """
        Who decrypts, and the signatures of a quorum; to `parties`.
        """
    def result(self) -> bytes:
        """
        The sums, for the owners.
        """
    def setup_keys(self) -> bytes:
        """
        The key exchanges of all, to every owner.
        """
    def shares_for(self, owner: typing.SupportsInt) -> list[bytes]:
        """
        What was dealt to this owner; none without a threshold.
        """
    def start_round(self) -> bytes:
        """
        Begins the next round, also where the last one came to nothing; to every owner.
        """
    @property
    def heard(self) -> list[int]:
        """
        Whose message of the present step has come, rising.
        """
    @property
    def parties(self) -> list[int]:
        """
        Of whom a decryption share is expected, after request_shares.
        """
    @property
    def round(self) -> int:
        """
        Its round; 0 before the first.
        """
def decrypt_sum(sum: EncryptedSum, shares: collections.abc.Sequence[DecryptionShare]) -> numpy.typing.NDArray[numpy.int32]:
    """
    The sums of the owners' values, exactly: [plan.values] int32.

    Raises:
        ValueError: if a share is of something else, there twice or missing.
        RuntimeError: if a vector or a share was not made as this library makes them.
    """
def share_secret(secret_key: velum._core.he.SecretKey, parties: typing.SupportsInt, threshold: typing.SupportsInt, randomness: velum._core.he.Randomness | None = None) -> list[SecretPart]:
    """
    An owner's secret shared: [parties] SecretParts, number i for party i + 1 alone. Any
    `threshold` of them together have the secret, fewer know nothing of it.
    """
def to_integers(plan: Plan, numbers: typing.Any, step: typing.SupportsFloat) -> numpy.typing.NDArray[numpy.int32]:
    """
    [n] real numbers as multiples of `step`, to the nearest, ties to even: [n] int32.

    Raises:
        ValueError: naming the first whose multiple is out of the plan's range.
    """
def to_numbers(integers: typing.Any, step: typing.SupportsFloat) -> numpy.typing.NDArray[numpy.float64]:
    """
    Integers times `step`: [n] float64.
    """
