#include <algorithm>
#include <array>
#include <functional>
#include <map>

#include "he_objects.h"
#include "velum/he/aggregation/context.h"
#include "velum/he/aggregation/decryption.h"
#include "velum/he/aggregation/encrypted_vector.h"
#include "velum/he/aggregation/encryptor.h"
#include "velum/he/aggregation/fixed_point.h"
#include "velum/he/aggregation/plan.h"
#include "velum/he/aggregation/serialization.h"

namespace velum::python {
namespace {

using he::Randomness;
using he::SecretKey;
using he::aggregation::AggregationContext;
using he::aggregation::AggregationPlan;
using he::aggregation::DecryptionShare;
using he::aggregation::Digest;
using he::aggregation::EncryptedSum;
using he::aggregation::EncryptedVector;
using he::aggregation::MaskKeys;
using he::aggregation::PartialDecryptor;
using he::aggregation::PlanRequest;
using he::aggregation::Round;
using he::aggregation::VectorEncryptor;
using he::threshold::OnceRegister;
using he::threshold::SecretPolynomial;
using kernels::Span;

/// A plan as Python has it; it never changes.
struct HeldPlan {
  explicit HeldPlan(AggregationPlan made)
      : value(std::make_shared<AggregationPlan>(std::move(made))) {}
  const AggregationPlan& get() const { return *value; }
  std::shared_ptr<const AggregationPlan> value;
};

MaskKeys masks_of(const char* function, const std::map<int, py::bytes>& keys) {
  MaskKeys masks;
  for (const auto& [other, bytes] : keys)
    masks.set(other, random_key_of(function, "a mask key", bytes));
  return masks;
}

using Context = Held<const AggregationContext>;

template <typename T, typename Class>
void def_round(Class& cls) {
  cls.def_property_readonly(
      "round", [](const Held<T>& held) { return value(held).round().number; }, "Its round.");
  cls.def_property_readonly(
      "group",
      [](const Held<T>& held) {
        const Digest& group = value(held).round().group;
        return to_python(group);
      },
      "The 32 bytes of its group.");
}

/// to_bytes and from_bytes of a message of a plan.
template <typename T, typename Class, typename Load>
void def_message_bytes(Class& cls, const Load& load) {
  cls.def(
      "to_bytes",
      [](const Held<T>& held) {
        const std::vector<std::uint8_t> bytes = call(
            session_of(held), [](auto& message, auto& s) { return to_bytes(message, s); }, held);
        return to_python(bytes);
      },
      "The message as bytes.");
  cls.def_static(
      "from_bytes",
      [load](const Context& context, const py::buffer& data) {
        const ByteView bytes("from_bytes", data);
        const std::shared_ptr<const AggregationContext> kept = pointer(context);
        const std::shared_ptr<const Session> session = session_of(context);
        return hold(session,
                    without_gil([&] { return load(bytes.span(), kept, session->stream); }));
      },
      py::arg("context"), py::arg("data"),
      "Loads what to_bytes wrote. Bytes of anybody: everything is checked. Raises\n"
      "SerializationError.");
}

void bind_plan(py::module_& module) {
  py::class_<HeldPlan> plan(module, "Plan",
                            "All that is public and fixed about the sums of a group: how values "
                            "are packed, the ring, and\n"
                            "the bounds that prove sums right.");
  plan.def(py::init([](std::int64_t values, int bits, int owners, int threshold,
                       int statistical_bits, int correctness_bits, int security) {
             PlanRequest request;
             request.values = values;
             request.bits = bits;
             request.owners = owners;
             request.threshold = threshold;
             request.statistical_bits = statistical_bits;
             request.correctness_bits = correctness_bits;
             request.security = security_level("Plan", security);
             return HeldPlan(without_gil([&] { return AggregationPlan::create(request); }));
           }),
           py::arg("values"), py::arg("bits"), py::arg("owners"), py::kw_only(),
           py::arg("threshold") = 0, py::arg("statistical_bits") = 40,
           py::arg("correctness_bits") = 60, py::arg("security") = 128,
           "Args:\n"
           "    values: of every owner's vector, 1 to 2**32.\n"
           "    bits: a value is an integer in [-2**(bits-1), 2**(bits-1)); 2 to 24, with\n"
           "        owners * 2**bits at most 2**31.\n"
           "    owners: as many vectors as a sum may have, 2 to 1024.\n"
           "    threshold: how many decrypt; 0: all whose vectors are in the sum.\n"
           "    statistical_bits: of the noise on decryption shares.\n"
           "    correctness_bits: a sum is wrong with probability at most 2**-correctness_bits.\n"
           "    security: 128, 192 or 256.\n\n"
           "Raises:\n"
           "    ValueError: naming the number that is out of range, or if no ring has room.");
  const auto property = [&](const char* name, auto getter, const char* doc) {
    plan.def_property_readonly(
        name, [getter](const HeldPlan& held) { return getter(held.get()); }, doc);
  };
  using P = AggregationPlan;
  property(
      "values", [](const P& p) { return p.values(); }, "Of every owner's vector.");
  property(
      "bits", [](const P& p) { return p.request().bits; }, "Of a value.");
  property(
      "owners", [](const P& p) { return p.owners(); }, "As many vectors as a sum may have.");
  property(
      "threshold", [](const P& p) { return p.request().threshold; },
      "How many decrypt; 0: all whose vectors are in the sum.");
  property(
      "digits", [](const P& p) { return p.digits(); }, "Values in a coefficient.");
  property(
      "smallest_value", [](const P& p) { return p.smallest_value(); }, "-2**(bits - 1).");
  property(
      "largest_value", [](const P& p) { return p.largest_value(); }, "2**(bits - 1) - 1.");
  property(
      "ciphertexts", [](const P& p) { return p.ciphertexts(); }, "Polynomials of a vector.");
  property(
      "vector_bytes", [](const P& p) { return p.vector_bytes(); }, "Bytes of one owner's vector.");
  property(
      "bytes_per_value", [](const P& p) { return p.bytes_per_value(); },
      "Bytes that a value takes on its way.");
  plan.def("__str__", [](const HeldPlan& held) { return held.get().to_string(); });
  plan.def("__eq__", [](const HeldPlan& a, const py::object& b) {
    return py::isinstance<HeldPlan>(b) && a.get() == b.cast<const HeldPlan&>().get();
  });
  plan.def("__hash__", [](const HeldPlan& held) {
    std::size_t hash = 0;
    std::memcpy(&hash, held.get().id().data(), sizeof hash);
    return static_cast<py::ssize_t>(hash >> 1);
  });
  def_copies_are_itself(plan);

  py::class_<Context> context(module, "Context", "A plan with its tables, and where work runs.");
  context.def(py::init([](const HeldPlan& held, int threads, const std::string& device) {
                const AggregationPlan kept = held.get();
                const he::Stream stream = stream_of(threads, device);
                std::shared_ptr<const AggregationContext> made =
                    without_gil([&] { return AggregationContext::create(kept, stream); });
                auto session =
                    std::make_shared<const Session>(made->ring(), stream, threads, device);
                return Context(std::move(session), std::move(made));
              }),
              py::arg("plan"), py::kw_only(), py::arg("threads") = 1, py::arg("device") = "cpu",
              "threads and device as of velum.he.Context.");
  context.def_property_readonly(
      "plan", [](const Context& held) { return HeldPlan(value(held).plan()); }, "The Plan.");
  context.def_property_readonly(
      "ring", [](const Context& held) { return HeldContext(session_of(held)); },
      "The velum.he.Context for KeyGenerator.");
}

void bind_vectors(py::module_& module) {
  py::class_<Held<EncryptedVector>> vector(module, "EncryptedVector",
                                           "One owner's vector in a round.");
  vector.def_property_readonly(
      "owner", [](const Held<EncryptedVector>& held) { return value(held).owner(); },
      "Number of the owner, from 1.");
  def_round<EncryptedVector>(vector);
  def_message_bytes<EncryptedVector>(vector, [](const auto& bytes, auto& context, auto& stream) {
    return he::aggregation::encrypted_vector_from_bytes(bytes, context, stream);
  });
  def_copies_are_itself(vector);

  py::class_<Held<EncryptedSum>> sum(module, "EncryptedSum",
                                     "The sum of the vectors of some owners in a round.");
  sum.def(py::init([](const Context& context, const py::bytes& group, std::uint64_t round) {
            const Round of{digest_of("EncryptedSum", "group", group), round};
            const std::shared_ptr<const AggregationContext> kept = pointer(context);
            const std::shared_ptr<const Session> session = session_of(context);
            return hold(session,
                        without_gil([&] { return EncryptedSum(kept, of, session->stream); }));
          }),
          py::arg("context"), py::arg("group"), py::arg("round"));
  sum.def_property_readonly(
      "owners", [](const Held<EncryptedSum>& held) { return value(held).owners(); },
      "Whose vectors are in it, rising.");
  def_round<EncryptedSum>(sum);
  // Under the GIL: it changes the sum, which another thread may be decrypting or adding to.
  sum.def(
      "add",
      [](const Held<EncryptedSum>& held, const std::vector<const Held<EncryptedVector>*>& vectors) {
        std::vector<const EncryptedVector*> all;
        for (const Held<EncryptedVector>* one : vectors) {
          if (one == nullptr) throw py::type_error("add: a vector is None");
          all.push_back(&value(*one));
        }
        if (pointer(held).use_count() != 1)
          throw std::logic_error("add: the sum is being decrypted by another thread");
        value(held).add(all, session_of(held)->stream);
      },
      py::arg("vectors"),
      "Adds vectors, in one pass.\n\n"
      "Raises:\n"
      "    ValueError: if one is of another plan or round, or its owner is in the sum already; "
      "the\n"
      "        sum is as it was then.");
}

void bind_parties(py::module_& module) {
  py::class_<Held<VectorEncryptor>> encryptor(
      module, "VectorEncryptor",
      "Encrypts an owner's vectors, one a round. Two vectors of one owner in one round would tell\n"
      "their difference; so each round is entered in a register before anything is computed.");
  encryptor.def(py::init([](const Context& context, const Held<SecretKey>& secret, int owner,
                            const py::bytes& group, const Register& once,
                            const std::optional<std::shared_ptr<Randomness>>& randomness) {
                  return hold(session_of(context),
                              VectorEncryptor(pointer(context), pointer(secret), owner,
                                              digest_of("VectorEncryptor", "group", group),
                                              register_of(once), randomness_or_secure(randomness)));
                }),
                py::arg("context"), py::arg("secret_key"), py::arg("owner"), py::arg("group"),
                py::arg("once"), py::arg("randomness") = py::none(),
                "Args:\n"
                "    secret_key: of context.ring, of this owner in this group alone.\n"
                "    owner: its number, 1 to plan.owners.\n"
                "    group: 32 bytes, the same for all who take part, and of no other group.\n"
                "    once: (domain: str, digest: bytes) -> bool, a lasting register: True if the "
                "pair is new\n"
                "        to it, having entered it. `OnceDirectory` is one.");
  encryptor.def(
      "encrypt",
      [](const Held<VectorEncryptor>& self, std::uint64_t round, const py::object& values) {
        const Int32Array integers = int32_of("encrypt", "values", values);
        return call_held([&](auto& e, auto& s) { return e.encrypt(round, span_of(integers), s); },
                         self);
      },
      py::arg("round"), py::arg("values"),
      "An EncryptedVector.\n\n"
      "Args:\n"
      "    round: its number.\n"
      "    values: [plan.values] int32.\n\n"
      "Raises:\n"
      "    ValueError: naming the first value that is out of the plan's range; the round is not\n"
      "        used up then.\n"
      "    AlreadyUsed: if the round was used.");

  py::class_<Held<DecryptionShare>> share(
      module, "DecryptionShare", "What a party adds to the sum of a round so that it can be read.");
  share.def_property_readonly(
      "party", [](const Held<DecryptionShare>& held) { return value(held).party(); },
      "Number of the party, from 1.");
  share.def_property_readonly(
      "owners", [](const Held<DecryptionShare>& held) { return value(held).owners(); },
      "Whose vectors the sum has, rising.");
  share.def_property_readonly(
      "parties", [](const Held<DecryptionShare>& held) { return value(held).parties(); },
      "Whose shares belong together, rising.");
  def_round<DecryptionShare>(share);
  def_message_bytes<DecryptionShare>(share, [](const auto& bytes, auto& context, auto& stream) {
    return he::aggregation::decryption_share_from_bytes(bytes, context, stream);
  });
  def_copies_are_itself(share);

  py::class_<Held<SecretPolynomial>> part(module, "SecretPart",
                                          "A party's part of an owner's secret key, by "
                                          "share_secret: for that party alone, and neither\n"
                                          "pickled nor copied.");
  module.def(
      "share_secret",
      [](const Held<SecretKey>& secret, int parties, int threshold,
         const std::optional<std::shared_ptr<Randomness>>& randomness) {
        const std::shared_ptr<Randomness> source = randomness_or_secure(randomness);
        std::vector<SecretPolynomial> parts = call(
            session_of(secret),
            [&](auto& s, auto& stream) {
              return he::threshold::share_secret(s, parties, threshold, *source, stream);
            },
            secret);
        std::vector<Held<SecretPolynomial>> out;
        for (SecretPolynomial& one : parts) out.push_back(hold(session_of(secret), std::move(one)));
        return out;
      },
      py::arg("secret_key"), py::arg("parties"), py::arg("threshold"),
      py::arg("randomness") = py::none(),
      "An owner's secret shared: [parties] SecretParts, number i for party i + 1 alone. Any\n"
      "`threshold` of them together have the secret, fewer know nothing of it.");

  py::class_<Held<PartialDecryptor>> decryptor(
      module, "PartialDecryptor",
      "A party's decryption shares, one a round. Without a threshold a party is an owner, and its\n"
      "part is its own secret; with one, `of_parts` takes what all owners gave it.");
  decryptor.def(
      py::init([](const Context& context, const Held<SecretKey>& secret, int party,
                  const py::bytes& group, const std::map<int, py::bytes>& masks,
                  const Register& once,
                  const std::optional<std::shared_ptr<Randomness>>& randomness) {
        return hold(session_of(context),
                    PartialDecryptor(pointer(context), pointer(secret), party,
                                     digest_of("PartialDecryptor", "group", group),
                                     masks_of("PartialDecryptor", masks), register_of(once),
                                     randomness_or_secure(randomness)));
      }),
      py::arg("context"), py::arg("secret_key"), py::arg("party"), py::arg("group"),
      py::arg("masks"), py::arg("once"), py::arg("randomness") = py::none(),
      "Args:\n"
      "    masks: {other owner's number: 32 bytes that the two share and nobody else has}, for\n"
      "        every other owner: what hides a share from all but the sum. From a key exchange.\n"
      "    secret_key, party, group, once: as of VectorEncryptor.");
  decryptor.def_static(
      "of_parts",
      [](const Context& context, const Objects& parts, int party, const py::bytes& group,
         const std::map<int, py::bytes>& masks, const Register& once,
         const std::optional<std::shared_ptr<Randomness>>& randomness) {
        return hold(
            session_of(context),
            PartialDecryptor(pointer(context), Borrowed<SecretPolynomial>("of_parts", parts).take(),
                             party, digest_of("PartialDecryptor", "group", group),
                             masks_of("PartialDecryptor", masks), register_of(once),
                             randomness_or_secure(randomness)));
      },
      py::arg("context"), py::arg("parts"), py::arg("party"), py::arg("group"), py::arg("masks"),
      py::arg("once"), py::arg("randomness") = py::none(),
      "Of a plan with a threshold.\n\n"
      "Args:\n"
      "    parts: the SecretParts of this party from the owners 1, 2, .., all of them, in order. "
      "A\n"
      "        secret has one place: they are used up, whatever comes of it.\n"
      "    party, group, masks, once: as above.");
  decryptor.def(
      "share",
      [](const Held<PartialDecryptor>& self, std::uint64_t round, const std::vector<int>& owners,
         const std::vector<int>& parties) {
        return call_held([&](auto& d, auto& s) { return d.share(round, owners, parties, s); },
                         self);
      },
      py::arg("round"), py::arg("owners"), py::arg("parties"),
      "A DecryptionShare of the sum of `owners`, with those of the other `parties`: without a\n"
      "threshold both are the same.\n\n"
      "Raises:\n"
      "    AlreadyUsed: if this party gave a share of this round before.");

  module.def(
      "decrypt_sum",
      [](const Held<EncryptedSum>& sum, const std::vector<const Held<DecryptionShare>*>& shares) {
        std::vector<std::shared_ptr<DecryptionShare>> kept;
        for (const Held<DecryptionShare>* one : shares) {
          if (one == nullptr) throw py::type_error("decrypt_sum: a share is None");
          kept.push_back(pointer(*one));
        }
        std::vector<const DecryptionShare*> all;
        for (const auto& one : kept) all.push_back(one.get());
        const std::vector<std::int32_t> values = call(
            session_of(sum),
            [&](auto& of, auto& s) { return he::aggregation::decrypt_sum(of, all, s); }, sum);
        py::array_t<std::int32_t> out(static_cast<py::ssize_t>(values.size()));
        std::copy(values.begin(), values.end(), out.mutable_data());
        return out;
      },
      py::arg("sum"), py::arg("shares"),
      "The sums of the owners' values, exactly: [plan.values] int32.\n\n"
      "Raises:\n"
      "    ValueError: if a share is of something else, there twice or missing.\n"
      "    RuntimeError: if a vector or a share was not made as this library makes them.");
  module.def(
      "to_integers",
      [](const HeldPlan& held, const py::object& numbers, double step) {
        const std::shared_ptr<const AggregationPlan> plan = held.value;
        held.get();
        const py::array array = as_array(numbers);
        check_real("to_integers", "numbers", array);
        check_dimensions("to_integers", "numbers", array, 1);
        const DoubleArray reals(array);
        py::array_t<std::int32_t> out(reals.size());
        const Span<std::int32_t> span = mutable_span_of(out);
        without_gil([&] {
          he::aggregation::to_integers(*plan, span_of(reals), step, span);
          return 0;
        });
        return out;
      },
      py::arg("plan"), py::arg("numbers"), py::arg("step"),
      "[n] real numbers as multiples of `step`, to the nearest, ties to even: [n] int32.\n\n"
      "Raises:\n"
      "    ValueError: naming the first whose multiple is out of the plan's range.");
  module.def(
      "to_numbers",
      [](const py::object& integers, double step) {
        const Int32Array kept = int32_of("to_numbers", "integers", integers);
        py::array_t<double> out(kept.size());
        he::aggregation::to_numbers(span_of(kept), step, mutable_span_of(out));
        return out;
      },
      py::arg("integers"), py::arg("step"), "Integers times `step`: [n] float64.");
}

}  // namespace

void bind_he_aggregation(py::module_& module) {
  bind_plan(module);
  bind_vectors(module);
  bind_parties(module);
}

}  // namespace velum::python
