#include <map>
#include <mutex>

#include "he_objects.h"
#include "velum/he/threshold/combine.h"
#include "velum/he/threshold/group.h"
#include "velum/he/threshold/party.h"
#include "velum/he/threshold/serialization.h"

namespace velum::python {
namespace {

using he::Randomness;
using he::threshold::DecryptionShare;
using he::threshold::Digest;
using he::threshold::GaloisKeyShare;
using he::threshold::Group;
using he::threshold::GroupShape;
using he::threshold::OnceRegister;
using he::threshold::Party;
using he::threshold::PublicKeyShare;
using he::threshold::RelinearizationRoundOne;
using he::threshold::RelinearizationShareOne;
using he::threshold::RelinearizationShareTwo;
using he::threshold::SecretShare;

/// Little-endian words, on every machine.
py::bytes bytes_of_seed(const he::PublicSeed& seed) {
  std::string bytes;
  for (const std::uint32_t word : seed.words)
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(word >> shift));
  return bytes;
}

GroupShape shape_of(int parties, int threshold, int statistical_bits) {
  return {parties, threshold, {statistical_bits}};
}

void bind_group(py::module_& module) {
  using G = Held<Group>;
  py::class_<G> group(
      module, "Group",
      "All that is public about a key that several hold together. Who makes it distributes it\n"
      "(parties, threshold and seed), and each party makes the same of it. A group's keys are "
      "made\n"
      "once; for new ones take a new group.");
  group.def_static(
      "create",
      [](const HeldContext& context, int parties, int threshold, int statistical_bits,
         const std::optional<std::shared_ptr<Randomness>>& randomness) {
        return hold(session_of(context),
                    Group::create(session_of(context)->context,
                                  shape_of(parties, threshold, statistical_bits),
                                  randomness_or_secure(randomness)));
      },
      py::arg("context"), py::arg("parties"), py::arg("threshold"), py::kw_only(),
      py::arg("statistical_bits") = 40, py::arg("randomness") = py::none(),
      "A new one.\n\n"
      "Args:\n"
      "    context: of parameters for so many parties (ParametersBuilder.parties).\n"
      "    parties: n, 2 to what the parameters say.\n"
      "    threshold: t, 2 to n: how many decrypt; fewer together learn nothing.\n"
      "    statistical_bits: 10 to 80, of the noise on decryption shares.\n\n"
      "Raises:\n"
      "    ValueError: naming the number that is out of range.");
  group.def(py::init([](const HeldContext& context, int parties, int threshold,
                        const py::bytes& seed, int statistical_bits) {
              return hold(session_of(context), Group(session_of(context)->context,
                                                     shape_of(parties, threshold, statistical_bits),
                                                     random_key_of("Group", "seed", seed)));
            }),
            py::arg("context"), py::arg("parties"), py::arg("threshold"), py::arg("seed"),
            py::kw_only(), py::arg("statistical_bits") = 40,
            "One that was announced, by its 32 bytes `seed`.");
  group.def_property_readonly(
      "parties", [](const G& held) { return value(held).parties(); }, "n.");
  group.def_property_readonly(
      "threshold", [](const G& held) { return value(held).threshold(); }, "t.");
  group.def_property_readonly(
      "seed", [](const G& held) { return bytes_of_seed(value(held).seed()); },
      "32 bytes that all of its public polynomials follow from; public.");
  group.def_property_readonly(
      "id", [](const G& held) { return to_python(value(held).id()); },
      "32 bytes that every message of the group carries.");
  group.def_property_readonly(
      "key_id", [](const G& held) { return he::to_string(value(held).key_id()); },
      "32 hexadecimal digits that the collective key and its ciphertexts carry.");
  group.def_property_readonly(
      "everybody", [](const G& held) { return value(held).everybody(); }, "[1, .., n].");
  def_context<Group>(group);
  group.def(
      "to_bytes",
      [](const G& held) {
        const std::shared_ptr<Group> kept = pointer(held);
        return bytes_of(serialized_size(*kept),
                        [&](std::ostream& out) { he::threshold::save(out, *kept); });
      },
      "What announces the group, as bytes.");
  group.def_static(
      "from_bytes",
      [](const HeldContext& context, const py::buffer& data) {
        const std::shared_ptr<const Session> session = session_of(context);
        return hold(session, from_bytes(data, [&](std::istream& in) {
                      return he::threshold::load_group(in, session->context, session->stream);
                    }));
      },
      py::arg("context"), py::arg("data"), "Loads what to_bytes wrote. Raises SerializationError.");
  def_copies_are_itself(group);
}

/// What `load` makes of bytes for a group.
template <typename Load>
auto load_for(const Held<Group>& group, const py::buffer& data, const Load& load) {
  const std::shared_ptr<const Group> kept = pointer(group);
  const std::shared_ptr<const Session> session = session_of(group);
  return hold(session,
              from_bytes(data, [&](std::istream& in) { return load(in, *kept, session->stream); }));
}

/// @param load  (std::istream&, group, stream).
template <typename T, typename Load>
py::class_<Held<T>> bind_message(py::module_& module, const char* name, const char* doc,
                                 const Load& load) {
  py::class_<Held<T>> message(module, name, doc);
  message.def_property_readonly(
      "group", [](const Held<T>& held) { return to_python(value(held).group()); },
      "The id of its group.");
  message.def_property_readonly(
      "party", [](const Held<T>& held) { return value(held).party(); },
      "Whose it is, from 1; 0 of what was combined.");
  message.def(
      "to_bytes",
      [](const Held<T>& held) {
        const std::shared_ptr<T> kept = pointer(held);
        const std::shared_ptr<const Session> session = session_of(held);
        return bytes_of(serialized_size(*kept), [&](std::ostream& out) {
          he::threshold::save(out, *kept, session->stream);
        });
      },
      "The message as bytes.");
  message.def_static(
      "from_bytes",
      [load](const Held<Group>& group, const py::buffer& data) {
        return load_for(group, data, load);
      },
      py::arg("group"), py::arg("data"),
      "Loads what to_bytes wrote, of this group alone. Bytes of anybody: everything is checked "
      "but\n"
      "whom they are from. Raises SerializationError.");
  def_copies_are_itself(message);
  return message;
}

void bind_messages(py::module_& module) {
  namespace t = he::threshold;
  bind_message<PublicKeyShare>(
      module, "PublicKeyShare", "For combine_public_key.",
      [](auto& in, auto& group, auto& s) { return t::load_public_key_share(in, group, s); });
  bind_message<RelinearizationShareOne>(module, "RelinearizationShareOne", "For combine_round_one.",
                                        [](auto& in, auto& group, auto& s) {
                                          return t::load_relinearization_share_one(in, group, s);
                                        });
  bind_message<RelinearizationRoundOne>(module, "RelinearizationRoundOne",
                                        "The sum of the first round, for all parties.",
                                        [](auto& in, auto& group, auto& s) {
                                          return t::load_relinearization_round_one(in, group, s);
                                        });
  bind_message<RelinearizationShareTwo>(module, "RelinearizationShareTwo",
                                        "For combine_relinearization_key.",
                                        [](auto& in, auto& group, auto& s) {
                                          return t::load_relinearization_share_two(in, group, s);
                                        });
  bind_message<GaloisKeyShare>(
      module, "GaloisKeyShare", "For combine_galois_keys.",
      [](auto& in, auto& group, auto& s) { return t::load_galois_key_share(in, group, s); })
      .def_property_readonly(
          "galois_element",
          [](const Held<GaloisKeyShare>& held) { return value(held).galois_element(); },
          "The g of X -> X^g.");
  bind_message<DecryptionShare>(
      module, "DecryptionShare", "A smudged share of the decryption of one ciphertext.",
      [](auto& in, auto& group, auto& s) { return t::load_decryption_share(in, group, s); })
      .def_property_readonly(
          "active", [](const Held<DecryptionShare>& held) { return value(held).active(); },
          "Whose shares belong together, rising.");

  py::class_<Held<SecretShare>> secret(
      module, "SecretShare",
      "What one party gives another of its secret: for the receiver alone, and neither pickled "
      "nor\n"
      "copied. Whoever reads `threshold` of the same dealer's knows its secret.");
  secret.def_property_readonly(
      "dealer", [](const Held<SecretShare>& held) { return value(held).dealer(); },
      "Whose secret.");
  secret.def_property_readonly(
      "receiver", [](const Held<SecretShare>& held) { return value(held).receiver(); },
      "Whom it is for.");
  secret.def(
      "to_bytes_unencrypted",
      [](const Held<SecretShare>& held) {
        const std::shared_ptr<SecretShare> kept = pointer(held);
        const std::shared_ptr<const Session> session = session_of(held);
        return bytes_of(serialized_size(*kept), [&](std::ostream& out) {
          t::save_secret_share_unencrypted(out, *kept, session->stream);
        });
      },
      "For its receiver alone. Nothing encrypts it here, and Python does not wipe it.");
  secret.def_static(
      "from_bytes_unencrypted",
      [](const Held<Group>& group, const py::buffer& data) {
        return load_for(group, data, [](auto& in, auto& of, auto& s) {
          return t::load_secret_share_unencrypted(in, of, s);
        });
      },
      py::arg("group"), py::arg("data"),
      "Loads what to_bytes_unencrypted wrote. Raises SerializationError.");
}

void bind_party(py::module_& module) {
  using P = Held<Locked<Party>>;
  py::class_<P> party(
      module, "Party",
      "One party of a group and its secret; the group's secret key is the sum of all, and nobody\n"
      "has it. In order:\n\n"
      "    1. public_key_share of all -> combine_public_key\n"
      "    2. for products: relinearization_share_one of all -> combine_round_one, for all;\n"
      "       relinearization_share_two of all -> combine_relinearization_key\n"
      "    3. for rotations: galois_key_share of all, for each step -> combine_galois_keys\n"
      "    4. if threshold < parties: deal_secret_shares of all, each to its receiver ->\n"
      "       receive_secret_shares\n"
      "    5. decryption_share of `threshold` parties -> combine_decryption\n\n"
      "Whatever is made of the secret is made once, which a register remembers: a second one is\n"
      "AlreadyUsed, since of two the errors cancel.");
  party.def(py::init([](const Held<Group>& group, int index, const Register& once,
                        const std::optional<std::shared_ptr<Randomness>>& randomness) {
              const OnceRegister kept = register_of(once);
              const std::shared_ptr<Randomness> source = randomness_or_secure(randomness);
              return P(session_of(group), call(
                                              session_of(group),
                                              [&](auto& g, auto& s) {
                                                return std::make_shared<Locked<Party>>(
                                                    Party(g, index, kept, s, source));
                                              },
                                              group));
            }),
            py::arg("group"), py::arg("index"), py::arg("once"), py::arg("randomness") = py::none(),
            "A new secret.\n\n"
            "Args:\n"
            "    index: 1 to n, a different one for each party.\n"
            "    once: (domain: str, digest: bytes) -> bool, a lasting register: True if the pair "
            "is new\n"
            "        to it, having entered it. `OnceDirectory` is one. It remembers as long as the "
            "secret\n"
            "        is kept.");
  party.def_property_readonly(
      "index", [](const P& held) { return value(held).object.index(); }, "From 1.");
  party.def_property_readonly(
      "ready_to_decrypt",
      [](const P& held) {
        return call_locked(held, [](auto& p, auto&) { return p.ready_to_decrypt(); });
      },
      "Whether it can decrypt: all decrypt together, or it has received shares of all.");
  party.def(
      "public_key_share",
      [](const P& held) {
        return hold(session_of(held),
                    call_locked(held, [](auto& p, auto& s) { return p.public_key_share(s); }));
      },
      "A PublicKeyShare; once.");
  party.def(
      "relinearization_share_one",
      [](const P& held) {
        return hold(session_of(held), call_locked(held, [](auto& p, auto& s) {
                      return p.relinearization_share_one(s);
                    }));
      },
      "A RelinearizationShareOne; once.");
  party.def(
      "relinearization_share_two",
      [](const P& held, const Held<RelinearizationRoundOne>& sum) {
        const auto kept = pointer(sum);
        return hold(session_of(held), call_locked(held, [&](auto& p, auto& s) {
                      return p.relinearization_share_two(*kept, s);
                    }));
      },
      py::arg("round_one"), "A RelinearizationShareTwo; once. RuntimeError without the first.");
  party.def(
      "galois_key_share",
      [](const P& held, std::int64_t steps) {
        const std::uint32_t element =
            he::galois_element_of_rotation(session_of(held)->context->parameters().log_n(), steps);
        return hold(session_of(held), call_locked(held, [&](auto& p, auto& s) {
                      return p.galois_key_share(element, s);
                    }));
      },
      py::arg("steps"), "A GaloisKeyShare for rotations by `steps`; once for each.");
  party.def(
      "deal_secret_shares",
      [](const P& held) {
        std::vector<SecretShare> dealt =
            call_locked(held, [](auto& p, auto& s) { return p.deal_secret_shares(s); });
        std::vector<Held<SecretShare>> out;
        for (SecretShare& share : dealt) out.push_back(hold(session_of(held), std::move(share)));
        return out;
      },
      "Its secret shared among all: [n] SecretShares, number j - 1 for party j alone; once.");
  party.def(
      "receive_secret_shares",
      [](const P& held, const Objects& shares) {
        std::vector<SecretShare> taken =
            Borrowed<SecretShare>("receive_secret_shares", shares).take();
        call_locked(held, [&](auto& p, auto& s) {
          p.receive_secret_shares(std::move(taken), s);
          return 0;
        });
      },
      py::arg("shares"),
      "What all parties, itself too, have dealt to this one. A secret has one place: the shares "
      "are\n"
      "used up, whatever comes of it.\n\n"
      "Raises:\n"
      "    ValueError: naming the share that is of another group, for another receiver, missing "
      "or\n"
      "        there twice.");
  party.def(
      "to_bytes_unencrypted",
      [](const P& held) {
        const std::shared_ptr<Locked<Party>> kept = pointer(held);
        const std::shared_ptr<const Session> session = session_of(held);
        const std::int64_t size =
            call_locked(held, [](auto& p, auto&) { return serialized_size(p); });
        return bytes_of(size, [&](std::ostream& out) {
          const std::lock_guard<std::mutex> lock(kept->mutex);
          he::threshold::save_party_unencrypted(out, kept->object, session->stream);
        });
      },
      "All that the party needs to decrypt after a restart, its secret among it, for its owner "
      "alone.\n"
      "Nothing encrypts it, and Python does not wipe it.");
  party.def_static(
      "from_bytes_unencrypted",
      [](const Held<Group>& group, const py::buffer& data, const Register& once,
         const std::optional<std::shared_ptr<Randomness>>& randomness) {
        const OnceRegister kept = register_of(once);
        const std::shared_ptr<Randomness> source = randomness_or_secure(randomness);
        const std::shared_ptr<const Group> of = pointer(group);
        const std::shared_ptr<const Session> session = session_of(group);
        return P(session, from_bytes(data, [&](std::istream& in) {
                   return std::make_shared<Locked<Party>>(he::threshold::load_party_unencrypted(
                       in, *of, kept, session->stream, source));
                 }));
      },
      py::arg("group"), py::arg("data"), py::arg("once"), py::arg("randomness") = py::none(),
      "Loads what to_bytes_unencrypted wrote. `once` is the very register that the party had: one\n"
      "that was put back from a copy forgets shares. Raises SerializationError.");
  const auto def_share = [&](auto ciphertext) {
    using C = decltype(ciphertext);
    party.def(
        "decryption_share",
        [](const P& held, const C& encrypted, const std::vector<int>& active) {
          const auto kept = pointer(encrypted);
          return hold(session_of(held), call_locked(held, [&](auto& p, auto& s) {
                        return p.decryption_share(*kept, active, s);
                      }));
        },
        py::arg("ciphertext"), py::arg("active"),
        "A DecryptionShare of a ciphertext of CKKS or BFV; once for each ciphertext.\n\n"
        "Args:\n"
        "    active: who decrypts, this one too: threshold or more; all if all must.\n\n"
        "Raises:\n"
        "    AlreadyUsed: if a share of this very ciphertext was made before.\n"
        "    ValueError: if the ciphertext is of another key, has three polynomials or an unknown\n"
        "        history, or the noise of all shares does not fit.\n"
        "    RuntimeError: unless ready_to_decrypt.");
  };
  def_share(Held<he::Ciphertext>(nullptr, nullptr));
  def_share(Held<he::bfv::Ciphertext>(nullptr, nullptr));
}

void bind_combine(py::module_& module) {
  using G = Held<Group>;
  module.def(
      "combine_public_key",
      [](const G& group, const Objects& shares) {
        const Borrowed<PublicKeyShare> all("combine_public_key", shares);
        return call_held(
            [&](auto& g, auto& s) { return he::threshold::combine_public_key(g, all.values, s); },
            group);
      },
      py::arg("group"), py::arg("shares"),
      "The PublicKey of the group, from a share of each party. Its history is unknown: whoever\n"
      "trusts all parties to keep to the protocol says vouch_for_history(). As of all here, a "
      "share\n"
      "that is missing, there twice or of something else is a ValueError that says which.");
  module.def(
      "combine_round_one",
      [](const G& group, const Objects& shares) {
        const Borrowed<RelinearizationShareOne> all("combine_round_one", shares);
        return call_held(
            [&](auto& g, auto& s) { return he::threshold::combine_round_one(g, all.values, s); },
            group);
      },
      py::arg("group"), py::arg("shares"), "A RelinearizationRoundOne, for all parties.");
  module.def(
      "combine_relinearization_key",
      [](const G& group, const Held<RelinearizationRoundOne>& sum, const Objects& shares) {
        const Borrowed<RelinearizationShareTwo> all("combine_relinearization_key", shares);
        return call_held(
            [&](auto& g, auto& one, auto& s) {
              return he::threshold::combine_relinearization_key(g, one, all.values, s);
            },
            group, sum);
      },
      py::arg("group"), py::arg("round_one"), py::arg("shares"), "The RelinearizationKey.");
  module.def(
      "combine_galois_keys",
      [](const G& group, const Objects& shares) {
        std::map<std::uint32_t, Objects> by_element;
        for (const py::object& share : shares)
          by_element[value(share.cast<const Held<GaloisKeyShare>&>()).galois_element()].push_back(
              share);
        he::GaloisKeys keys;
        for (const auto& [element, those] : by_element) {
          const Borrowed<GaloisKeyShare> all("combine_galois_keys", those);
          keys.keys.insert(call(
              session_of(group),
              [&](auto& g, auto& s) { return he::threshold::combine_galois_key(g, all.values, s); },
              group));
        }
        return hold(session_of(group), std::move(keys));
      },
      py::arg("group"), py::arg("shares"), "GaloisKeys, from shares of all parties for all steps.");
  const auto def_combine = [&](auto ciphertext) {
    using C = decltype(ciphertext);
    module.def(
        "combine_decryption",
        [](const G& group, const C& encrypted, const Objects& shares) {
          const Borrowed<DecryptionShare> all("combine_decryption", shares);
          return call_held(
              [&](auto& g, auto& c, auto& s) {
                return he::threshold::combine_decryption(g, c, all.values, s);
              },
              group, encrypted);
        },
        py::arg("group"), py::arg("ciphertext"), py::arg("shares"),
        "The Plaintext, from the shares of the parties that they name as active: of BFV exactly, "
        "of\n"
        "CKKS with its error and the noise of all shares.");
  };
  def_combine(Held<he::Ciphertext>(nullptr, nullptr));
  def_combine(Held<he::bfv::Ciphertext>(nullptr, nullptr));
}

/// Deletes a Python object under the GIL, wherever the last reference goes.
std::shared_ptr<py::function> shared_function(const py::function& function) {
  return {new py::function(function), [](py::function* held) {
            const py::gil_scoped_acquire gil;
            delete held;
          }};
}

}  // namespace

Digest digest_of(const char* function, const char* name, const py::bytes& bytes) {
  const std::string_view text = bytes;
  Digest digest{};
  if (text.size() != digest.size()) {
    throw std::invalid_argument(std::string(function) + ": " + name + " has " +
                                std::to_string(text.size()) + " bytes, expected 32");
  }
  std::memcpy(digest.data(), text.data(), digest.size());
  return digest;
}

kernels::RandomKey random_key_of(const char* function, const char* name, const py::bytes& bytes) {
  const Digest key = digest_of(function, name, bytes);
  kernels::RandomKey words{};
  for (std::size_t i = 0; i < key.size(); ++i)
    words.words[i / 4] |= std::uint32_t{key[i]} << (8 * (i % 4));
  return words;
}

OnceRegister register_of(const Register& function) {
  return [held = shared_function(function)](std::string_view domain, const Digest& digest) {
    const py::gil_scoped_acquire gil;
    const py::object answer = (*held)(py::str(domain.data(), domain.size()), to_python(digest));
    if (!py::isinstance<py::bool_>(answer))
      throw py::type_error("once: the register answered something else than True or False");
    return answer.cast<bool>();
  };
}

void bind_he_threshold(py::module_& module) {
  py::register_exception<he::threshold::AlreadyUsed>(module, "AlreadyUsed", PyExc_RuntimeError)
      .doc() = "It would be the second one, and two of it would give a secret away.";
  bind_group(module);
  bind_messages(module);
  bind_party(module);
  bind_combine(module);
}

}  // namespace velum::python
