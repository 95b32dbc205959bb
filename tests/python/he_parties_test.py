"""Keys held together and sums that nobody shows, against plain sums and products."""

import copy
import itertools
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from velum import he
from velum.he import aggregation, threshold


class Forgetful:
    """A register in memory: for tests."""

    def __init__(self):
        self.entries = set()

    def __call__(self, domain, digest):
        assert isinstance(domain, str) and len(digest) == 32
        new = (domain, digest) not in self.entries
        self.entries.add((domain, digest))
        return new


def test_a_directory_remembers_what_was_entered(tmp_path):
    once = threshold.OnceDirectory(tmp_path / "register")
    digest = bytes(range(32))
    assert once("a.b-c_d", digest)
    again = threshold.OnceDirectory(tmp_path / "register")
    assert not again("a.b-c_d", digest)
    assert again("a.b-c_e", digest) and again("a.b-c_d", bytes(32))
    for domain, wrong in (("", digest), ("a/b", digest), ("..", digest[:31]), ("x" * 65, digest)):
        with pytest.raises(ValueError, match="expected 1"):
            once(domain, wrong)


def group_of(parties, needed, scheme="bfv"):
    builder = he.ParametersBuilder().log_n(14 if scheme == "bfv" else 13).parties(parties)
    if scheme == "bfv":
        builder.plaintext_modulus(he.Parameters.batching_modulus(14, 17)).modulus_bits(200)
    else:
        builder.scale_bits(29).base_bits(120).depth(0).without_key_switching()
    context = he.Context(builder.build())
    group = threshold.Group.create(context, parties, needed)
    # Each party makes the same of what was announced.
    announced = threshold.Group(context, parties, needed, group.seed)
    assert announced.id == group.id and announced.key_id == group.key_id
    members = [threshold.Party(announced, i, Forgetful()) for i in group.everybody]
    return context, group, members


def test_three_parties_compute_and_two_of_them_decrypt():
    context, group, parties = group_of(3, 2)
    public = threshold.combine_public_key(group, [p.public_key_share() for p in parties])
    assert public.history == "unknown" and public.id == group.key_id
    public.vouch_for_history()
    ones = [p.relinearization_share_one() for p in parties]
    round_one = threshold.combine_round_one(group, ones)
    twos = [p.relinearization_share_two(round_one) for p in parties]
    relinearization = threshold.combine_relinearization_key(group, round_one, twos)
    relinearization.vouch_for_history()
    steps = [1, 2]
    galois = threshold.combine_galois_keys(
        group, [p.galois_key_share(step) for step in steps for p in parties]
    )
    galois.vouch_for_history()
    assert len(galois) == 2 and galois.has_rotation(2)

    assert not parties[0].ready_to_decrypt
    dealt = [p.deal_secret_shares() for p in parties]
    assert [s.receiver for s in dealt[1]] == [1, 2, 3] and dealt[1][0].dealer == 2
    with pytest.raises(TypeError):
        pickle.dumps(dealt[0][0])
    with pytest.raises(TypeError):
        copy.copy(dealt[0][0])
    for receiver, party in enumerate(parties):
        party.receive_secret_shares([d[receiver] for d in dealt])
        assert party.ready_to_decrypt
    with pytest.raises(ValueError, match="taken"):
        parties[0].receive_secret_shares([d[0] for d in dealt])

    keys = he.BfvKeys(context, public, relinearization, galois)
    x, y = np.array([3, -4, 5, 6]), np.array([10, 20, -30, 40])
    a, b = keys.encrypt(x), keys.encrypt(y)
    results = [(a * b, x * y), (a + 2 * b, x + 2 * y), (a.rotate(1), np.roll(x, -1))]
    for (encrypted, expected), active in zip(results, itertools.combinations([1, 2, 3], 2)):
        ciphertext = encrypted.ciphertext
        shares = [parties[i - 1].decryption_share(ciphertext, list(active)) for i in active]
        assert shares[0].active == list(active)
        with pytest.raises(ValueError):
            threshold.combine_decryption(group, ciphertext, shares[:1])
        plaintext = threshold.combine_decryption(group, ciphertext, shares)
        assert keys.evaluator.decode(plaintext, 4).tolist() == expected.tolist()
        with pytest.raises(threshold.AlreadyUsed):
            parties[active[0] - 1].decryption_share(ciphertext, list(active))
    with pytest.raises(RuntimeError, match="no secret key"):
        keys.decrypt_for_owner(a)


def test_messages_travel_and_parties_restart():
    context, group, parties = group_of(3, 2)
    assert threshold.Group.from_bytes(context, group.to_bytes()).id == group.id
    _, other, _ = group_of(3, 2)

    def sent(message):
        data = message.to_bytes()
        arrived = type(message).from_bytes(group, data)
        assert arrived.to_bytes() == data and arrived.party == message.party
        for bad in (data[:-1], data + b"x", b""):
            with pytest.raises(he.SerializationError):
                type(message).from_bytes(group, bad)
        with pytest.raises(he.SerializationError):
            type(message).from_bytes(other, data)
        return arrived

    public = threshold.combine_public_key(group, [sent(p.public_key_share()) for p in parties])
    public.vouch_for_history()
    ones = [sent(p.relinearization_share_one()) for p in parties]
    round_one = sent(threshold.combine_round_one(group, ones))
    twos = [sent(p.relinearization_share_two(round_one)) for p in parties]
    threshold.combine_relinearization_key(group, round_one, twos)
    threshold.combine_galois_keys(group, [sent(p.galois_key_share(1)) for p in parties])
    dealt = [
        [
            threshold.SecretShare.from_bytes_unencrypted(group, share.to_bytes_unencrypted())
            for share in p.deal_secret_shares()
        ]
        for p in parties
    ]
    register = Forgetful()
    for receiver, party in enumerate(parties):
        party.receive_secret_shares([d[receiver] for d in dealt])
    restarted = [
        threshold.Party.from_bytes_unencrypted(group, p.to_bytes_unencrypted(), register)
        for p in parties
    ]
    assert restarted[1].index == 2 and restarted[1].ready_to_decrypt
    keys = he.BfvKeys(context, public)
    ciphertext = keys.encrypt([7, -8]).ciphertext
    shares = [sent(restarted[i - 1].decryption_share(ciphertext, [1, 3])) for i in (1, 3)]
    plaintext = threshold.combine_decryption(group, ciphertext, shares)
    assert keys.evaluator.decode(plaintext, 2).tolist() == [7, -8]
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            attempt(restarted[0])


def test_approximate_numbers_of_two_parties():
    context, group, parties = group_of(2, 2, "ckks")
    shares = [p.public_key_share() for p in parties]
    with pytest.raises(ValueError, match="there twice"):
        threshold.combine_public_key(group, [shares[0], shares[0]])
    with pytest.raises(ValueError):
        threshold.combine_public_key(group, shares[:1])
    public = threshold.combine_public_key(group, shares)  # shares outlive what failed
    public.vouch_for_history()
    encoder = he.Encoder(context)
    x = np.array([0.5, -0.25])
    ciphertext = he.Encryptor(public).encrypt(encoder.encode(x, scale=2.0**100))
    shares = [p.decryption_share(ciphertext, [1, 2]) for p in parties]
    decoded = encoder.decode(threshold.combine_decryption(group, ciphertext, shares), 2)
    assert 0 < np.abs(decoded - x).max() < 2.0**-8


def test_a_register_that_fails_makes_nothing():
    def broken(domain, digest):
        raise OSError("disk full")

    def odd(domain, digest):
        return 1

    context, group, _ = group_of(2, 2)
    with pytest.raises(OSError, match="disk full"):
        threshold.Party(group, 1, broken).public_key_share()
    with pytest.raises(TypeError, match="True or False"):
        threshold.Party(group, 1, odd).public_key_share()
    with pytest.raises(ValueError, match="index|party"):
        threshold.Party(group, 3, Forgetful())
    with pytest.raises(ValueError, match="expected 32"):
        threshold.Group(context, 2, 2, b"short")


class Model(torch.nn.Module):
    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.first = torch.nn.Linear(20, 8)
        self.second = torch.nn.Linear(8, 3, dtype=torch.bfloat16)


class Hospitals:
    """Everything of everybody in one process."""

    def __init__(self, summing, owners, register=Forgetful):
        self.summing, self.context = summing, summing.context
        self.group = b"hospitals of the test, 32 bytes."
        generator = he.KeyGenerator(self.context.ring)
        self.encryptors, self.decryptors = [], []
        for owner in range(1, owners + 1):
            secret, once = generator.secret_key(), register()
            masks = {
                other: bytes([min(owner, other), max(owner, other)] * 16)
                for other in range(1, owners + 1)
                if other != owner
            }
            self.encryptors.append(
                aggregation.VectorEncryptor(self.context, secret, owner, self.group, once)
            )
            self.decryptors.append(
                aggregation.PartialDecryptor(self.context, secret, owner, self.group, masks, once)
            )


def test_state_dicts_are_summed_under_encryption():
    models = [Model(seed).state_dict() for seed in range(3)]
    summing = aggregation.StateDictSum(models[0], owners=3, step=2.0**-12)
    plan = summing.context.plan
    assert plan.values == 20 * 8 + 8 + 8 * 3 + 3 and plan.owners == 3
    hospitals = Hospitals(summing, 3)
    vectors = [e.encrypt(1, summing.pack(m)) for e, m in zip(hospitals.encryptors, models)]
    sent = [v.to_bytes() for v in vectors]
    assert len(sent[0]) == plan.vector_bytes
    received = [aggregation.EncryptedVector.from_bytes(summing.context, data) for data in sent]
    total = aggregation.EncryptedSum(summing.context, hospitals.group, 1)
    total.add(received)
    assert total.owners == [1, 2, 3] and total.round == 1
    with pytest.raises(ValueError):
        total.add(received[:1])
    shares = [
        aggregation.DecryptionShare.from_bytes(
            summing.context, d.share(1, total.owners, total.owners).to_bytes()
        )
        for d in hospitals.decryptors
    ]
    with pytest.raises(ValueError):
        aggregation.decrypt_sum(total, shares[:2])
    sums = summing.unpack(aggregation.decrypt_sum(total, shares))
    assert list(sums) == list(models[0])
    for name, computed in sums.items():
        exact = sum(m[name].double() for m in models)
        assert computed.dtype == models[0][name].dtype and computed.shape == exact.shape
        rounding = 2.0**-8 * exact.abs() if computed.dtype == torch.bfloat16 else 1e-6
        assert ((computed.double() - exact).abs() <= 3 * 2.0**-13 + rounding).all()
    Model(9).load_state_dict(sums)
    with pytest.raises(aggregation.AlreadyUsed):
        hospitals.encryptors[0].encrypt(1, summing.pack(models[0]))
    with pytest.raises(aggregation.AlreadyUsed):
        hospitals.decryptors[0].share(1, [1, 2], [1, 2])
    with pytest.raises(he.SerializationError):
        aggregation.EncryptedVector.from_bytes(summing.context, sent[0][:-1])


def test_sums_of_integers_are_exact():
    plan = aggregation.Plan(5000, 12, 4)
    summing = type("Sums", (), {"context": aggregation.Context(plan)})
    hospitals = Hospitals(summing, 4)
    generator = np.random.default_rng(1)
    values = generator.integers(-2048, 2048, (4, 5000), dtype=np.int32)
    values[:, :2] = [[-2048, 2047]] * 4
    total = aggregation.EncryptedSum(summing.context, hospitals.group, 7)
    # One of the four is away: the sum is that of the others.
    owners = [1, 2, 4]
    total.add([hospitals.encryptors[i - 1].encrypt(7, values[i - 1]) for i in owners])
    shares = [hospitals.decryptors[i - 1].share(7, owners, owners) for i in owners]
    sums = aggregation.decrypt_sum(total, shares)
    assert sums.dtype == np.int32
    assert np.array_equal(sums, values[[0, 1, 3]].sum(0))


def test_two_of_three_decrypt_when_one_is_away():
    context = aggregation.Context(aggregation.Plan(100, 8, 3, threshold=2))
    assert context.plan.threshold == 2
    group, generator = bytes(range(32)), he.KeyGenerator(context.ring)
    encryptors, parts = [], []
    for owner in (1, 2, 3):
        secret = generator.secret_key()
        encryptors.append(aggregation.VectorEncryptor(context, secret, owner, group, Forgetful()))
        parts.append(aggregation.share_secret(secret, 3, 2))
    with pytest.raises(TypeError):
        pickle.dumps(parts[0][0])
    decryptors = []
    for party in (1, 2, 3):
        masks = {i: bytes([min(party, i), max(party, i)] * 16) for i in {1, 2, 3} - {party}}
        mine = [owner[party - 1] for owner in parts]
        decryptors.append(
            aggregation.PartialDecryptor.of_parts(context, mine, party, group, masks, Forgetful())
        )
        with pytest.raises(ValueError, match="taken"):
            aggregation.PartialDecryptor.of_parts(context, mine, party, group, masks, Forgetful())
    values = np.random.default_rng(2).integers(-128, 128, (3, 100), dtype=np.int32)
    total = aggregation.EncryptedSum(context, group, 0)
    total.add([e.encrypt(0, v) for e, v in zip(encryptors, values)])
    shares = [decryptors[i - 1].share(0, [1, 2, 3], [1, 3]) for i in (1, 3)]
    assert np.array_equal(aggregation.decrypt_sum(total, shares), values.sum(0))


class Carried:
    """A group whose messages go from hand to hand."""

    def __init__(self, context, owners):
        self.identities = [aggregation.Identity.generate() for _ in range(owners + 1)]
        public = [i.public_identity for i in self.identities]
        self.roster = aggregation.Roster(public[0], public[1:], bytes(range(32)))
        self.aggregator = aggregation.Aggregator(context, self.roster, self.identities[0])
        self.owners = [
            aggregation.Owner(context, self.roster, i, self.identities[i], Forgetful())
            for i in range(1, owners + 1)
        ]

    def set_up(self):
        for owner in self.owners:
            assert self.aggregator.receive(owner.start_setup()) == owner.number
        keys = self.aggregator.setup_keys()
        for owner in self.owners:
            for dealt in owner.deal(keys):
                self.aggregator.receive(dealt)
        for owner in self.owners:
            shares = self.aggregator.shares_for(owner.number)
            self.aggregator.receive(owner.finish_setup(shares))

    def round(self, values, away=()):
        """values by owner; those in `away` fall silent after the submissions."""
        start = self.aggregator.start_round()
        for owner in self.owners:
            if owner.number in values:
                self.aggregator.receive(owner.submit(start, values[owner.number]))
            elif owner.number not in away:
                owner.join(start)
        present = [o for o in self.owners if o.number not in away]
        summary = self.aggregator.close_submissions()
        for owner in present:
            self.aggregator.receive(owner.confirm(summary))
        request = self.aggregator.request_shares()
        for owner in present:
            if owner.number in self.aggregator.parties:
                self.aggregator.receive(owner.share(request))
        sums = self.aggregator.finish()
        for owner in present:
            assert np.array_equal(owner.result(self.aggregator.result()), sums)
        return sums


@pytest.mark.parametrize("needed", [0, 2])
def test_rounds_as_messages(needed):
    context = aggregation.Context(aggregation.Plan(50, 8, 3, threshold=needed))
    group = Carried(context, 3)
    group.set_up()
    assert group.owners[0].group == group.owners[2].group and len(group.owners[0].group) == 32
    generator = np.random.default_rng(needed)
    for number in (1, 2):
        values = {i: generator.integers(-128, 128, 50, dtype=np.int32) for i in (1, 2, 3)}
        assert np.array_equal(group.round(values), sum(values.values()))
        assert group.aggregator.round == group.owners[1].round == number
    if needed:
        values = {i: generator.integers(-128, 128, 50, dtype=np.int32) for i in (1, 3)}
        assert np.array_equal(group.round(values, away=(2,)), values[1] + values[3])


def test_what_is_not_due_or_not_signed_is_refused():
    context = aggregation.Context(aggregation.Plan(10, 8, 2))
    group = Carried(context, 2)
    with pytest.raises(RuntimeError):
        group.aggregator.setup_keys()
    message = bytearray(group.owners[0].start_setup())
    message[-1] ^= 1
    with pytest.raises(aggregation.ProtocolError):
        group.aggregator.receive(message)
    with pytest.raises(aggregation.ProtocolError):
        group.aggregator.receive(b"")
    with pytest.raises((RuntimeError, aggregation.AlreadyUsed)):
        group.owners[0].start_setup()
    with pytest.raises(ValueError):
        aggregation.Owner(context, group.roster, 1, group.identities[2], Forgetful())
    with pytest.raises(ValueError, match="expected 32"):
        aggregation.Roster(b"short", [], bytes(32))


def test_an_identity_leaves_only_by_the_call_that_says_so():
    identity = aggregation.Identity.generate()
    key = identity.export_private_key_secret()
    again = aggregation.Identity.from_private_key(key)
    assert again.public_identity == identity.public_identity and len(key) == 32
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            attempt(identity)


def test_numbers_become_the_nearest_multiples():
    plan = aggregation.Plan(6, 4, 2)
    numbers = np.array([0.3, -0.26, 0.25, 0.75, -2.0, 1.75])
    integers = aggregation.to_integers(plan, numbers, 0.25)
    assert integers.tolist() == [1, -1, 1, 3, -8, 7]
    assert aggregation.to_integers(plan, [0.125, 0.375], 0.25).tolist() == [0, 2]  # ties to even
    assert aggregation.to_numbers(integers, 0.25).tolist() == [0.25, -0.25, 0.25, 0.75, -2.0, 1.75]
    for bad in (2.0, -2.2, np.nan, np.inf):
        with pytest.raises(ValueError, match="number 1 is not within -2 to 1.75"):
            aggregation.to_integers(plan, [0.0, bad], 0.25)
    for step in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="step"):
            aggregation.to_integers(plan, [0.0], step)


def test_what_a_state_dict_must_be():
    template = {"weight": torch.zeros(2, 3)}
    summing = aggregation.StateDictSum(template, owners=2, step=0.5)
    with pytest.raises(ValueError, match=r"shape \[3, 2\], expected \[2, 3\]"):
        summing.pack({"weight": torch.zeros(3, 2)})
    with pytest.raises(ValueError, match="names"):
        summing.pack({"bias": torch.zeros(2, 3)})
    with pytest.raises(ValueError, match="clip before"):
        summing.pack({"weight": torch.full((2, 3), 1e9)})
    with pytest.raises(ValueError, match="leave it out"):
        aggregation.StateDictSum({"count": torch.zeros(1, dtype=torch.int64)}, 2, step=1.0)
    with pytest.raises(ValueError, match="step"):
        aggregation.StateDictSum(template, 2, step=0.0)
    with pytest.raises(ValueError, match=r"sums has shape \[5\]"):
        summing.unpack(np.zeros(5, np.int32))


def test_a_register_may_be_a_directory(tmp_path):
    summing = type("Sums", (), {"context": aggregation.Context(aggregation.Plan(10, 8, 2))})
    hospitals = Hospitals(summing, 2, lambda: threshold.OnceDirectory(tmp_path / "once"))
    hospitals.encryptors[0].encrypt(3, np.zeros(10, np.int32))
    # What an out-of-range value refuses is not used up.
    with pytest.raises(ValueError, match="value 0 is outside"):
        hospitals.encryptors[0].encrypt(4, np.full(10, 200, np.int32))
    hospitals.encryptors[0].encrypt(4, np.zeros(10, np.int32))
    with pytest.raises(aggregation.AlreadyUsed):
        hospitals.encryptors[0].encrypt(3, np.zeros(10, np.int32))


def test_everything_public_says_what_it_is():
    for module in (threshold, aggregation):
        assert module.__doc__
        for name in module.__all__:
            thing = getattr(module, name)
            assert thing.__doc__, name
            if isinstance(thing, type):
                for attribute, member in vars(thing).items():
                    assert attribute.startswith("_") or member.__doc__, (name, attribute)


anything = st.one_of(
    st.none(),
    st.integers(),
    st.integers(-1, 40),
    st.floats(),
    st.binary(max_size=40),
    st.just(b"x" * 32),
    st.text(max_size=3),
    st.lists(st.integers(-1, 4), max_size=4),
    st.builds(lambda n: np.zeros(n, np.int32), st.integers(0, 12)),
    st.just(Forgetful()),
    st.dictionaries(st.integers(0, 3), st.binary(max_size=33), max_size=3),
)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_argument_crashes(data):
    things = parties_of_the_fuzz()
    owner = data.draw(st.sampled_from([threshold, aggregation, *things]))
    name = data.draw(st.sampled_from([n for n in dir(owner) if not n.startswith("_")]))
    if name in {"OnceDirectory", "os", "pathlib", "re", "torch"}:  # which makes directories
        return
    arguments = st.one_of(anything, st.sampled_from(things), st.lists(st.sampled_from(things)))
    drawn = data.draw(st.lists(arguments, max_size=6))
    if name == "Plan" and any(isinstance(a, int) and a > 10**6 for a in drawn):
        return  # honest and large is slow, not wrong
    try:
        member = getattr(owner, name)
        if callable(member):
            member(*drawn)
    except (TypeError, ValueError, IndexError, OverflowError, RuntimeError, AttributeError):
        pass


def parties_of_the_fuzz(made=[]):  # noqa: B006 - made once
    if not made:
        context, group, parties = group_of(2, 2)
        plan = aggregation.Plan(10, 8, 2)
        summing = type("Sums", (), {"context": aggregation.Context(plan)})
        hospitals = Hospitals(summing, 2)
        made += [context, group, *parties, plan, summing.context]
        made += [parties[0].public_key_share(), hospitals.encryptors[0], hospitals.decryptors[0]]
        made += [hospitals.encryptors[1].encrypt(0, np.zeros(10, np.int32))]
        made += [aggregation.EncryptedSum(summing.context, hospitals.group, 0)]
        carried = Carried(summing.context, 2)
        made += [carried.roster, carried.aggregator, *carried.owners, carried.identities[0]]
    return made
