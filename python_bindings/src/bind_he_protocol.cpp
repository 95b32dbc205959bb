#include <string.h>

#include <algorithm>
#include <array>

#include "he_objects.h"
#include "velum/he/aggregation/protocol.h"

namespace velum::python {
namespace {

using he::Randomness;
using he::aggregation::AggregationContext;
using he::aggregation::Aggregator;
using he::aggregation::Bytes;
using he::aggregation::Identity;
using he::aggregation::Owner;
using he::aggregation::Roster;
using he::threshold::OnceRegister;

using Context = Held<const AggregationContext>;

/// Key pairs have no context. Python's hold a pointer, as others do.
struct HeldIdentity {
  explicit HeldIdentity(Identity made) : value(std::make_shared<Identity>(std::move(made))) {}
  const Identity &get() const { return *value; }
  std::shared_ptr<const Identity> value;
};

struct HeldRoster {
  explicit HeldRoster(Roster made) : value(std::make_shared<Roster>(std::move(made))) {}
  const Roster &get() const { return *value; }
  std::shared_ptr<const Roster> value;
};

void wipe(std::array<std::uint8_t, 32> &key) { explicit_bzero(key.data(), key.size()); }

/// A pair of its own for whoever takes one: the private half stays where it
/// was, too.
Identity copy_of(const Identity &identity) {
  auto key = identity.export_private_key_secret();
  Identity copy = Identity::from_private_key(key);
  wipe(key);
  return copy;
}

std::vector<Bytes> messages_of(const char *function, const std::vector<py::buffer> &buffers) {
  std::vector<Bytes> messages;
  for (const py::buffer &buffer : buffers) {
    const ByteView view(function, buffer);
    messages.emplace_back(view.span().begin(), view.span().end());
  }
  return messages;
}

std::vector<py::bytes> to_python_all(const std::vector<Bytes> &messages) {
  std::vector<py::bytes> out;
  for (const Bytes &message : messages) out.push_back(to_python(message));
  return out;
}

py::array sums_of(const std::vector<std::int32_t> &values) {
  py::array_t<std::int32_t> out(static_cast<py::ssize_t>(values.size()));
  std::copy(values.begin(), values.end(), out.mutable_data());
  return out;
}

void bind_members(py::module_ &module) {
  py::class_<HeldIdentity> identity(
      module, "Identity",
      "An Ed25519 key pair: who one is to the others. Its private half is "
      "wiped when it goes, and\n"
      "neither pickled nor copied.");
  identity.def_static(
      "generate", [] { return HeldIdentity(Identity::generate()); },
      "A new one, from the operating system's randomness.");
  identity.def_static(
      "from_private_key",
      [](const py::bytes &key) {
        auto bytes = digest_of("Identity", "private key", key);
        HeldIdentity made(Identity::from_private_key(bytes));
        wipe(bytes);
        return made;
      },
      py::arg("key"), "The one of 32 bytes that export_private_key_secret gave.");
  identity.def_property_readonly(
      "public_identity",
      [](const HeldIdentity &held) { return to_python(held.get().public_identity()); },
      "32 bytes that the others know it by.");
  identity.def(
      "export_private_key_secret",
      [](const HeldIdentity &held) {
        auto key = held.get().export_private_key_secret();
        const py::bytes bytes = to_python(key);
        wipe(key);
        return bytes;
      },
      "The private half, 32 bytes, to keep in a safe place; Python does not "
      "wipe them.");

  py::class_<HeldRoster> roster(
      module, "Roster",
      "All that the members of a group agree on before they begin, by a way "
      "that the protocol does\n"
      "not give: above all whose public identities are whose.");
  roster.def(py::init([](const py::bytes &aggregator, const std::vector<py::bytes> &owners,
                         const py::bytes &nonce, int quorum, int least_vectors) {
               Roster made;
               made.aggregator = digest_of("Roster", "aggregator", aggregator);
               for (const py::bytes &owner : owners)
                 made.owners.push_back(digest_of("Roster", "an owner", owner));
               made.nonce = digest_of("Roster", "nonce", nonce);
               made.quorum = quorum;
               made.least_vectors = least_vectors;
               return HeldRoster(std::move(made));
             }),
             py::arg("aggregator"), py::arg("owners"), py::arg("nonce"), py::kw_only(),
             py::arg("quorum") = 0, py::arg("least_vectors") = 0,
             "Args:\n"
             "    aggregator, owners: public identities of 32 bytes, those of owners "
             "1 to K in order.\n"
             "    nonce: 32 bytes, different for every group of the same members.\n"
             "    quorum: how many owners must have signed the same account before "
             "shares are given;\n"
             "        0: the threshold, or more than half of K where that is more.\n"
             "    least_vectors: the fewest that a sum may have; 0: more than half of "
             "K, and the\n"
             "        threshold at least.");
  roster.def_property_readonly(
      "aggregator", [](const HeldRoster &held) { return to_python(held.get().aggregator); },
      "The public identity of the one who adds up.");
  roster.def_property_readonly(
      "owners",
      [](const HeldRoster &held) {
        std::vector<py::bytes> owners;
        for (const auto &owner : held.get().owners) owners.push_back(to_python(owner));
        return owners;
      },
      "The public identities of owners 1 to K.");
  roster.def_property_readonly(
      "nonce", [](const HeldRoster &held) { return to_python(held.get().nonce); }, "Its nonce.");
  roster.def_property_readonly(
      "quorum", [](const HeldRoster &held) { return held.get().quorum; },
      "Signatures that shares wait for; 0: follows from the plan.");
  roster.def_property_readonly(
      "least_vectors", [](const HeldRoster &held) { return held.get().least_vectors; },
      "The fewest vectors of a sum; 0: follows from the plan.");
  def_copies_are_itself(roster);
}

void bind_owner(py::module_ &module) {
  using O = Held<Locked<Owner>>;
  py::class_<O> owner(module, "Owner",
                      "One owner of a group: takes and gives signed messages, which anybody "
                      "may carry. In order:\n"
                      "start_setup, deal, finish_setup once for a group; submit (or join), "
                      "confirm, share, result in\n"
                      "each round. A message that is refused is a ProtocolError and changes "
                      "nothing; a call that is\n"
                      "not due a RuntimeError; one that was made before AlreadyUsed. Secrets "
                      "last as long as the\n"
                      "object: after a restart make a group with another nonce.");
  owner.def(py::init([](const Context &context, const HeldRoster &roster, int number,
                        const HeldIdentity &identity, const Register &once,
                        const std::optional<std::shared_ptr<Randomness>> &randomness) {
              const OnceRegister kept = register_of(once);
              const std::shared_ptr<Randomness> source = randomness_or_secure(randomness);
              const std::shared_ptr<const AggregationContext> of = pointer(context);
              const std::shared_ptr<const Session> session = session_of(context);
              Identity own = copy_of(identity.get());
              const Roster members = roster.get();
              return O(session, without_gil([&] {
                         return std::make_shared<Locked<Owner>>(Owner(
                             of, members, number, std::move(own), kept, session->stream, source));
                       }));
            }),
            py::arg("context"), py::arg("roster"), py::arg("number"), py::arg("identity"),
            py::arg("once"), py::arg("randomness") = py::none(),
            "Args:\n"
            "    number: 1 to plan.owners.\n"
            "    identity: whose public half the roster has there.\n"
            "    once: (domain: str, digest: bytes) -> bool, a lasting register: "
            "`OnceDirectory` is one.");
  owner.def_property_readonly(
      "number", [](const O &held) { return value(held).object.number(); }, "From 1.");
  owner.def_property_readonly(
      "group", [](const O &held) { return to_python(value(held).object.group()); },
      "32 bytes: the hash of roster and plan.");
  owner.def_property_readonly(
      "round",
      [](const O &held) { return call_locked(held, [](auto &o, auto &) { return o.round(); }); },
      "Of the round that it takes part in, or did last; 0 before the first.");
  owner.def(
      "start_setup",
      [](const O &held) {
        return to_python(call_locked(held, [](auto &o, auto &) { return o.start_setup(); }));
      },
      "Its key exchange, for the aggregator.");
  owner.def(
      "deal",
      [](const O &held, const py::buffer &keys) {
        const ByteView view("deal", keys);
        return to_python_all(
            call_locked(held, [&](auto &o, auto &) { return o.deal(view.span()); }));
      },
      py::arg("keys"),
      "From Aggregator.setup_keys: one message for each other owner with a "
      "threshold, else none.");
  owner.def(
      "finish_setup",
      [](const O &held, const std::vector<py::buffer> &shares) {
        const std::vector<Bytes> messages = messages_of("finish_setup", shares);
        return to_python(
            call_locked(held, [&](auto &o, auto &) { return o.finish_setup(messages); }));
      },
      py::arg("shares"), "From Aggregator.shares_for; none without a threshold.");
  owner.def(
      "submit",
      [](const O &held, const py::buffer &round_start, const py::object &values) {
        const ByteView view("submit", round_start);
        const Int32Array integers = int32_of("submit", "values", values);
        return to_python(call_locked(
            held, [&](auto &o, auto &) { return o.submit(view.span(), span_of(integers)); }));
      },
      py::arg("round_start"), py::arg("values"),
      "Its vector of a round: [plan.values] int32, each in the plan's range "
      "(else ValueError).");
  owner.def(
      "join",
      [](const O &held, const py::buffer &round_start) {
        const ByteView view("join", round_start);
        call_locked(held, [&](auto &o, auto &) {
          o.join(view.span());
          return 0;
        });
      },
      py::arg("round_start"),
      "Takes part in a round without a vector, to confirm and decrypt. With a "
      "threshold only.");
  const auto def_step = [&](const char *name, auto step, const char *argument, const char *doc) {
    owner.def(
        name,
        [name, step](const O &held, const py::buffer &message) {
          const ByteView view(name, message);
          return to_python(
              call_locked(held, [&](auto &o, auto &) { return (o.*step)(view.span()); }));
        },
        py::arg(argument), doc);
  };
  def_step("confirm", &Owner::confirm, "summary",
           "Its signature on whose vectors are in the sum, from "
           "Aggregator.close_submissions.");
  def_step("share", &Owner::share, "request",
           "Its decryption share, from Aggregator.request_shares: not before a "
           "quorum signed what\n"
           "this owner was told.");
  owner.def(
      "result",
      [](const O &held, const py::buffer &result) {
        const ByteView view("result", result);
        return sums_of(call_locked(held, [&](auto &o, auto &) { return o.result(view.span()); }));
      },
      py::arg("result"), "The sums as the aggregator says they are: [plan.values] int32.");
}

void bind_aggregator(py::module_ &module) {
  using A = Held<Locked<Aggregator>>;
  py::class_<A> aggregator(module, "Aggregator",
                           "The one who adds up; it has no secret but its "
                           "identity. In order: receive the owners'\n"
                           "messages, setup_keys, shares_for each owner; then "
                           "in each round start_round,\n"
                           "close_submissions, request_shares, finish, result. "
                           "What is missing is a RuntimeError that\n"
                           "names it.");
  aggregator.def(
      py::init([](const Context &context, const HeldRoster &roster, const HeldIdentity &identity) {
        const std::shared_ptr<const AggregationContext> of = pointer(context);
        const std::shared_ptr<const Session> session = session_of(context);
        Identity own = copy_of(identity.get());
        const Roster members = roster.get();
        return A(session, without_gil([&] {
                   return std::make_shared<Locked<Aggregator>>(
                       Aggregator(of, members, std::move(own), session->stream));
                 }));
      }),
      py::arg("context"), py::arg("roster"), py::arg("identity"));
  aggregator.def(
      "receive",
      [](const A &held, const py::buffer &message) {
        const ByteView view("receive", message);
        return call_locked(held, [&](auto &a, auto &) { return a.receive(view.span()); });
      },
      py::arg("message"), "Any message of an owner; the owner's number. Raises ProtocolError.");
  const auto def_bytes = [&](const char *name, auto step, const char *doc) {
    aggregator.def(
        name,
        [step](const A &held) {
          return to_python(call_locked(held, [&](auto &a, auto &) { return (a.*step)(); }));
        },
        doc);
  };
  def_bytes("setup_keys", &Aggregator::setup_keys, "The key exchanges of all, to every owner.");
  def_bytes("start_round", &Aggregator::start_round,
            "Begins the next round, also where the last one came to nothing; "
            "to every owner.");
  def_bytes("close_submissions", &Aggregator::close_submissions,
            "Whose vectors are in the sum, and their signatures; to every owner.");
  def_bytes("request_shares", &Aggregator::request_shares,
            "Who decrypts, and the signatures of a quorum; to `parties`.");
  def_bytes("result", &Aggregator::result, "The sums, for the owners.");
  aggregator.def(
      "shares_for",
      [](const A &held, int owner) {
        return to_python_all(
            call_locked(held, [&](auto &a, auto &) { return a.shares_for(owner); }));
      },
      py::arg("owner"), "What was dealt to this owner; none without a threshold.");
  aggregator.def(
      "finish",
      [](const A &held) {
        return sums_of(call_locked(held, [](auto &a, auto &) { return a.finish(); }));
      },
      "The sums of the owners' values, exactly: [plan.values] int32.");
  aggregator.def_property_readonly(
      "round",
      [](const A &held) { return call_locked(held, [](auto &a, auto &) { return a.round(); }); },
      "Its round; 0 before the first.");
  aggregator.def_property_readonly(
      "heard",
      [](const A &held) { return call_locked(held, [](auto &a, auto &) { return a.heard(); }); },
      "Whose message of the present step has come, rising.");
  aggregator.def_property_readonly(
      "parties",
      [](const A &held) { return call_locked(held, [](auto &a, auto &) { return a.parties(); }); },
      "Of whom a decryption share is expected, after request_shares.");
}

}  // namespace

void bind_he_protocol(py::module_ &module) {
  py::register_exception<he::aggregation::ProtocolError>(module, "ProtocolError",
                                                         PyExc_RuntimeError)
      .doc() = "A message that is refused; the state is as before.";
  bind_members(module);
  bind_owner(module);
  bind_aggregator(module);
}

}  // namespace velum::python
