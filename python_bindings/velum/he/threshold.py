"""Keys that several parties hold together: any `threshold` of them decrypt, fewer learn nothing.

    context = velum.he.Context(parameters)          # ParametersBuilder().parties(3)
    group = Group.create(context, parties=3, threshold=2)
    # each party, wherever it is: Group(context, 3, 2, group.seed) is the same
    party = Party(group, index, OnceDirectory(path))
    # whoever combines needs no secret
    public = combine_public_key(group, [party.public_key_share() for party in parties])
    public.vouch_for_history()                      # if all parties are trusted to keep to it
    # `active` parties, who were all asked for the same
    shares = [party.decryption_share(ciphertext, active) for party in active_parties]
    plaintext = combine_decryption(group, ciphertext, shares)

Ciphertexts are ordinary ones, and so are the keys that come out: `velum.he.CkksKeys` and `BfvKeys`
take them. Nothing shows that a message is from whom it says: it is for parties that keep to the
protocol but would read what they get, over channels on which nobody else writes
(docs/threat_model.md).
"""

import os
import pathlib
import re

from .._core.he.threshold import (
    AlreadyUsed,
    DecryptionShare,
    GaloisKeyShare,
    Group,
    Party,
    PublicKeyShare,
    RelinearizationRoundOne,
    RelinearizationShareOne,
    RelinearizationShareTwo,
    SecretShare,
    combine_decryption,
    combine_galois_keys,
    combine_public_key,
    combine_relinearization_key,
    combine_round_one,
)

__all__ = [
    "AlreadyUsed",
    "DecryptionShare",
    "GaloisKeyShare",
    "Group",
    "OnceDirectory",
    "Party",
    "PublicKeyShare",
    "RelinearizationRoundOne",
    "RelinearizationShareOne",
    "RelinearizationShareTwo",
    "SecretShare",
    "combine_decryption",
    "combine_galois_keys",
    "combine_public_key",
    "combine_relinearization_key",
    "combine_round_one",
]


class OnceDirectory:
    """A register of what must be made once, as empty files of a directory.

    An entry survives the process and a power cut once the call has returned: the file and the
    directory are synchronised. All processes that hold the same secret use the same directory, and
    nobody empties it or restores it from a copy while the secret is in use.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Makes the directory if it is not there, readable by its owner only."""
        self.path = pathlib.Path(path)
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def __call__(self, domain: str, digest: bytes) -> bool:
        """True if the pair is new, having entered it; False if it was entered before.

        Raises:
            OSError: if the entry could not be made lasting. It may be there or not; nothing is made
                of the secret then.
        """
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", domain) or len(digest) != 32:
            raise ValueError(
                f"OnceDirectory: domain {domain!r} and a digest of {len(digest)} bytes, expected 1 "
                "to 64 of letters, digits, '.', '_', '-', and 32 bytes"
            )
        try:
            file = os.open(
                self.path / f"{domain}.{digest.hex()}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600
            )
        except FileExistsError:
            return False
        try:
            os.fsync(file)
        finally:
            os.close(file)
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return True
