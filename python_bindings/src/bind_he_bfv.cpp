#include "he_objects.h"
#include "velum/he/bfv/batch_encoder.h"
#include "velum/he/bfv/coefficient_encoder.h"
#include "velum/he/bfv/decryptor.h"
#include "velum/he/bfv/encryptor.h"
#include "velum/he/bfv/evaluator.h"
#include "velum/he/bfv/serialization.h"

namespace velum::python {
namespace {

using he::GaloisKeys;
using he::KeySwitchingKey;
using he::PublicKey;
using he::Randomness;
using he::RelinearizationKey;
using he::SecretKey;
using he::Stream;
using he::bfv::BatchEncoder;
using he::bfv::Ciphertext;
using he::bfv::CoefficientEncoder;
using he::bfv::Decryptor;
using he::bfv::EncryptOptions;
using he::bfv::Encryptor;
using he::bfv::Evaluator;
using he::bfv::Plaintext;
using he::bfv::SeededCiphertext;
using he::bfv::SymmetricEncryptor;
using kernels::Span;

using OptionalRandomness = std::optional<std::shared_ptr<Randomness>>;

/// What carries an encrypted message.
template <typename T, typename Class>
void def_ciphertext(Class& cls) {
  def_context<T>(cls);
  cls.def_property_readonly(
      "key_id", [](const Held<T>& held) { return he::to_string(value(held).key_id()); },
      "32 hexadecimal digits that name the secret key that decrypts it.");
  cls.def_property_readonly(
      "level", [](const Held<T>& held) { return value(held).level(); },
      "Primes that it can still be divided by.");
  cls.def_property_readonly(
      "noise_budget_estimate",
      [](const Held<T>& held) { return value(held).noise_budget_estimate(); },
      "Bits that the noise can still grow by before a decryption could be wrong: proven, so never\n"
      "more than what the owner measures.");
  cls.def_property_readonly(
      "history", [](const Held<T>& held) { return history_name(value(held).history()); }, kHistory);
}

/// uint64 arrays stand for [0, t), others for [-t/2, t/2].
template <typename Encode>
Held<Plaintext> encode_integers(const char* function, const py::object& values,
                                const Encode& encode) {
  const py::array array = as_array(values);
  check_dimensions(function, "values", array, 1);
  check_integers(function, "values", array);
  if (array.dtype().kind() == 'u' && array.itemsize() == 8) return encode(UnsignedArray(array));
  return encode(IntArray(array));
}

template <typename T, typename Encoder>
py::array decode_as(const Held<Encoder>& self, const Held<Plaintext>& plaintext,
                    std::int64_t count) {
  py::array_t<T> out(count);
  const Span<T> span = mutable_span_of(out);
  call(
      session_of(self),
      [&](auto& encoder, auto& message, auto& stream) {
        encoder.decode(message, span, stream);
        return 0;
      },
      self, plaintext);
  return out;
}

/// decode(plaintext, count, unsigned=)
template <typename Encoder, typename Class>
void def_decode(Class& cls) {
  cls.def(
      "decode",
      [](const Held<Encoder>& self, const Held<Plaintext>& plaintext,
         std::optional<std::int64_t> count, bool is_unsigned) -> py::array {
        const std::int64_t degree = session_of(self)->context->degree();
        const std::int64_t size = count.value_or(degree);
        if (size < 0 || size > degree) {
          throw std::invalid_argument("decode: count = " + std::to_string(size) +
                                      ", expected 0 to " + std::to_string(degree));
        }
        return is_unsigned ? decode_as<std::uint64_t>(self, plaintext, size)
                           : decode_as<std::int64_t>(self, plaintext, size);
      },
      py::arg("plaintext"), py::arg("count") = py::none(), py::kw_only(),
      py::arg("unsigned") = false,
      "The first values, [count] int64 in [-t/2, t/2], or uint64 in [0, t) if `unsigned`; None:\n"
      "all N.");
}

EncryptOptions encrypt_options(std::optional<int> level) {
  EncryptOptions options;
  if (level) {
    if (*level < 0) {
      throw std::invalid_argument("encrypt: level = " + std::to_string(*level) + ", expected >= 0");
    }
    options.level = *level;
  }
  return options;
}

void bind_messages(py::module_& module) {
  py::class_<Held<Plaintext>> plaintext(
      module, "Plaintext", "A polynomial modulo t, neither encrypted nor scaled; without a level.");
  def_context<Plaintext>(plaintext);
  plaintext.def_property_readonly(
      "coefficient_sum", [](const Held<Plaintext>& held) { return value(held).coefficient_sum(); },
      "What a product with it multiplies the noise by, at most: public.");
  def_serialization<Plaintext>(
      plaintext,
      [](std::ostream& out, const Plaintext& message, const Stream& stream) {
        he::bfv::save(out, message, stream);
      },
      [](auto& in, auto& context, auto& stream, auto&) {
        return he::bfv::load_plaintext(in, context, stream);
      });
  def_copies_are_itself(plaintext);

  py::class_<Held<Ciphertext>> ciphertext(
      module, "Ciphertext", "An encrypted message of BFV. What computes is an Evaluator.");
  def_ciphertext<Ciphertext>(ciphertext);
  ciphertext.def_property_readonly(
      "size", [](const Held<Ciphertext>& held) { return value(held).size(); },
      "Polynomials: 2, or 3 after a product.");
  const auto copied = [](const Held<Ciphertext>& held) {
    return call_held([](auto& c, auto& s) { return c.copy(s); }, held);
  };
  ciphertext.def("__copy__", copied);
  ciphertext.def(
      "__deepcopy__",
      [copied](const Held<Ciphertext>& held, const py::dict&) { return copied(held); },
      py::arg("memo"));
  ciphertext.def(
      "vouch_for_history",
      [copied](Held<Ciphertext>& held) {
        const Held<Ciphertext> next = copied(held);
        next.value->vouch_for_history();
        held.value = next.value;
      },
      "Declares that it was encrypted by this library or as honestly, and computed on as "
      "recorded.\n"
      "Say so only of what came from yourself, by a way on which nobody could change it: the\n"
      "release of a decryption that is wrong can give the key away.");
  def_serialization<Ciphertext>(
      ciphertext,
      [](std::ostream& out, const Ciphertext& message, const Stream& stream) {
        he::bfv::save(out, message, stream);
      },
      [](auto& in, auto& context, auto& stream, auto& options) {
        return he::bfv::load_ciphertext(in, context, stream, options);
      });

  py::class_<Held<SeededCiphertext>> seeded(
      module, "SeededCiphertext", "A fresh symmetric ciphertext of BFV at half the bytes.");
  def_ciphertext<SeededCiphertext>(seeded);
  seeded.def(
      "expand",
      [](const Held<SeededCiphertext>& held) {
        return call_held([](auto& c, auto& s) { return c.expand(s); }, held);
      },
      "The Ciphertext.");
  def_serialization<SeededCiphertext>(
      seeded,
      [](std::ostream& out, const SeededCiphertext& message, const Stream& stream) {
        he::bfv::save(out, message, stream);
      },
      [](auto& in, auto& context, auto& stream, auto& options) {
        return he::bfv::load_seeded_ciphertext(in, context, stream, options);
      });
  def_copies_are_itself(seeded);
}

void bind_encoders(py::module_& module) {
  py::class_<Held<BatchEncoder>> batch(
      module, "BatchEncoder",
      "Between N integers modulo t, two rows of N / 2 slots, and plaintexts: sums and products of\n"
      "plaintexts are those of slots. t must be a prime that is 1 modulo 2 N.");
  batch.def(py::init([](const HeldContext& context) {
              return hold(session_of(context), BatchEncoder(session_of(context)->context));
            }),
            py::arg("context"));
  batch.def(
      "encode",
      [](const Held<BatchEncoder>& self, const py::object& values) {
        return encode_integers("encode", values, [&](const auto& integers) {
          return call_held([&](auto& e, auto& s) { return e.encode(span_of(integers), s); }, self);
        });
      },
      py::arg("values"),
      "Integers into slots.\n\n"
      "Args:\n"
      "    values: [n], up to N: the first row, then the second; what is missing is 0. Each in\n"
      "        [-t/2, t/2]; a uint64 array's in [0, t).\n\n"
      "Raises:\n"
      "    ValueError: naming the first that is not, or if there are too many.\n"
      "    TypeError: if they are no integers of at most 64 bits.");
  def_decode<BatchEncoder>(batch);
  batch.def_property_readonly(
      "slots", [](const Held<BatchEncoder>& held) { return value(held).slots(); }, "N.");
  batch.def_property_readonly(
      "row_size", [](const Held<BatchEncoder>& held) { return value(held).row_size(); }, "N / 2.");

  py::class_<Held<CoefficientEncoder>> coefficient(
      module, "CoefficientEncoder",
      "Integers modulo any t in the coefficients themselves: sums of plaintexts are sums of "
      "values,\n"
      "products are products of polynomials modulo X^N + 1.");
  coefficient.def(py::init([](const HeldContext& context) {
                    return hold(session_of(context),
                                CoefficientEncoder(session_of(context)->context));
                  }),
                  py::arg("context"));
  coefficient.def(
      "encode",
      [](const Held<CoefficientEncoder>& self, const py::object& values, std::int64_t value_bound) {
        return encode_integers("encode", values, [&](const auto& integers) {
          return call_held(
              [&](auto& e, auto& s) {
                const auto span = span_of(integers);
                if constexpr (std::is_same_v<std::decay_t<decltype(*span.data())>, std::int64_t>) {
                  return e.encode(span, s, {value_bound});
                } else {
                  if (value_bound != 0) {
                    throw std::invalid_argument(
                        "encode: value_bound is for signed values, expected 0 of a uint64 array");
                  }
                  return e.encode(span, s);
                }
              },
              self);
        });
      },
      py::arg("values"), py::kw_only(), py::arg("value_bound") = 0,
      "Integers into coefficients.\n\n"
      "Args:\n"
      "    values: [n], up to N, each in [-t/2, t/2); a uint64 array's in [0, t).\n"
      "    value_bound: what a value's magnitude may reach; 0: anything. Public: not to be "
      "computed\n"
      "        from values that are not.");
  def_decode<CoefficientEncoder>(coefficient);
}

void bind_encryption(py::module_& module) {
  const auto level = py::arg("level") = py::none();
  py::class_<Held<Encryptor>> encryptor(module, "Encryptor",
                                        "Encrypts plaintexts of BFV under a public key.");
  encryptor.def(py::init([](const Held<PublicKey>& key, const OptionalRandomness& randomness) {
                  return hold(session_of(key),
                              Encryptor(pointer(key), randomness_or_secure(randomness)));
                }),
                py::arg("public_key"), py::arg("randomness") = py::none());
  encryptor.def(
      "encrypt",
      [](const Held<Encryptor>& self, const Held<Plaintext>& plaintext,
         std::optional<int> at_level) {
        const EncryptOptions options = encrypt_options(at_level);
        return call_held([&](auto& e, auto& p, auto& s) { return e.encrypt(p, s, options); }, self,
                         plaintext);
      },
      py::arg("plaintext"), py::kw_only(), level,
      "A Ciphertext; at a lower level a smaller one with less room for noise.");

  py::class_<Held<SymmetricEncryptor>> symmetric(
      module, "SymmetricEncryptor",
      "Encrypts plaintexts of BFV under the secret key: less noise, and half the bytes.");
  symmetric.def(py::init([](const Held<SecretKey>& key, const OptionalRandomness& randomness) {
                  return hold(session_of(key),
                              SymmetricEncryptor(pointer(key), randomness_or_secure(randomness)));
                }),
                py::arg("secret_key"), py::arg("randomness") = py::none());
  symmetric.def(
      "encrypt",
      [](const Held<SymmetricEncryptor>& self, const Held<Plaintext>& plaintext,
         std::optional<int> at_level) {
        const EncryptOptions options = encrypt_options(at_level);
        return call_held([&](auto& e, auto& p, auto& s) { return e.encrypt(p, s, options); }, self,
                         plaintext);
      },
      py::arg("plaintext"), py::kw_only(), level, "A Ciphertext.");
  symmetric.def(
      "encrypt_seeded",
      [](const Held<SymmetricEncryptor>& self, const Held<Plaintext>& plaintext,
         std::optional<int> at_level) {
        const EncryptOptions options = encrypt_options(at_level);
        return call_held([&](auto& e, auto& p, auto& s) { return e.encrypt_seeded(p, s, options); },
                         self, plaintext);
      },
      py::arg("plaintext"), py::kw_only(), level, "A SeededCiphertext.");

  py::class_<Held<Decryptor>> decryptor(
      module, "Decryptor",
      "Decrypts ciphertexts of BFV, exactly. A result that is wrong tells about the key, so what\n"
      "is released must have a known history.");
  decryptor.def(py::init([](const Held<SecretKey>& key) {
                  return hold(session_of(key), Decryptor(pointer(key)));
                }),
                py::arg("secret_key"));
  decryptor.def(
      "decrypt_for_owner",
      [](const Held<Decryptor>& self, const Held<Ciphertext>& ciphertext) {
        return call_held([](auto& d, auto& c, auto& s) { return d.decrypt_for_owner(c, s); }, self,
                         ciphertext);
      },
      py::arg("ciphertext"),
      "A Plaintext, for the owner's eyes only, whoever made the ciphertext.");
  decryptor.def(
      "decrypt_for_release",
      [](const Held<Decryptor>& self, const Held<Ciphertext>& ciphertext) {
        return call_held([](auto& d, auto& c, auto& s) { return d.decrypt_for_release(c, s); },
                         self, ciphertext);
      },
      py::arg("ciphertext"),
      "A Plaintext, of a ciphertext whose noise bound is known to hold (else ValueError).");
  decryptor.def(
      "noise_budget_for_owner",
      [](const Held<Decryptor>& self, const Held<Ciphertext>& ciphertext) {
        return call(
            session_of(self),
            [](auto& d, auto& c, auto& s) { return d.noise_budget_for_owner(c, s); }, self,
            ciphertext);
      },
      py::arg("ciphertext"),
      "Bits that the noise can still grow by, measured (SEAL: invariant_noise_budget). For the\n"
      "owner's eyes only.");
}

void bind_evaluator(py::module_& module) {
  using E = Held<Evaluator>;
  using C = Held<Ciphertext>;
  using P = Held<Plaintext>;
  py::class_<E> evaluator(
      module, "Evaluator",
      "Arithmetic modulo t on ciphertexts of BFV. Operands are of one context, key and level. A\n"
      "result that might not decrypt is refused before it is computed.");
  evaluator.def(py::init([](const HeldContext& context) {
                  return hold(session_of(context), Evaluator(session_of(context)->context));
                }),
                py::arg("context"));
  evaluator.def(
      "add",
      [](const E& e, const C& a, const C& b) {
        return call_held([](auto& v, auto& x, auto& y, auto& s) { return v.add(x, y, s); }, e, a,
                         b);
      },
      py::arg("a"), py::arg("b"), "a + b.");
  evaluator.def(
      "subtract",
      [](const E& e, const C& a, const C& b) {
        return call_held([](auto& v, auto& x, auto& y, auto& s) { return v.subtract(x, y, s); }, e,
                         a, b);
      },
      py::arg("a"), py::arg("b"), "a - b.");
  evaluator.def(
      "negate",
      [](const E& e, const C& a) {
        return call_held([](auto& v, auto& x, auto& s) { return v.negate(x, s); }, e, a);
      },
      py::arg("a"), "-a.");
  evaluator.def(
      "add_plain",
      [](const E& e, const C& a, const P& b) {
        return call_held([](auto& v, auto& x, auto& y, auto& s) { return v.add_plain(x, y, s); }, e,
                         a, b);
      },
      py::arg("a"), py::arg("b"), "a + b, b a Plaintext.");
  evaluator.def(
      "subtract_plain",
      [](const E& e, const C& a, const P& b) {
        return call_held(
            [](auto& v, auto& x, auto& y, auto& s) { return v.subtract_plain(x, y, s); }, e, a, b);
      },
      py::arg("a"), py::arg("b"), "a - b, b a Plaintext.");
  evaluator.def(
      "multiply",
      [](const E& e, const C& a, const C& b) {
        return call_held([](auto& v, auto& x, auto& y, auto& s) { return v.multiply(x, y, s); }, e,
                         a, b);
      },
      py::arg("a"), py::arg("b"), "a * b: three polynomials; relinearize.");
  evaluator.def(
      "square",
      [](const E& e, const C& a) {
        return call_held([](auto& v, auto& x, auto& s) { return v.square(x, s); }, e, a);
      },
      py::arg("a"), "a * a.");
  evaluator.def(
      "multiply_plain",
      [](const E& e, const C& a, const P& b) {
        return call_held(
            [](auto& v, auto& x, auto& y, auto& s) { return v.multiply_plain(x, y, s); }, e, a, b);
      },
      py::arg("a"), py::arg("b"), "a * b, b a Plaintext.");
  evaluator.def(
      "multiply_integer",
      [](const E& e, const C& a, std::int64_t factor) {
        return call_held(
            [&](auto& v, auto& x, auto& s) { return v.multiply_integer(x, factor, s); }, e, a);
      },
      py::arg("a"), py::arg("factor"), "Times a number, taken modulo t.");
  evaluator.def(
      "relinearize",
      [](const E& e, const C& a, const Held<RelinearizationKey>& key) {
        return call_held([](auto& v, auto& x, auto& k, auto& s) { return v.relinearize(x, k, s); },
                         e, a, key);
      },
      py::arg("a"), py::arg("key"), "A product brought back to two polynomials.");
  evaluator.def(
      "mod_switch_to",
      [](const E& e, const C& a, int level) {
        return call_held([&](auto& v, auto& x, auto& s) { return v.mod_switch_to(x, level, s); }, e,
                         a);
      },
      py::arg("a"), py::arg("level"), "To a lower level: smaller ciphertexts, cheaper operations.");
  evaluator.def(
      "rotate_rows",
      [](const E& e, const C& a, std::int64_t steps, const Held<GaloisKeys>& keys) {
        return call_held(
            [&](auto& v, auto& x, auto& k, auto& s) { return v.rotate_rows(x, steps, k, s); }, e, a,
            keys);
      },
      py::arg("a"), py::arg("steps"), py::arg("keys"),
      "Slot j of each row of the result is slot j + steps of that row. Raises IndexError if there\n"
      "is no key for it.");
  evaluator.def(
      "rotate_columns",
      [](const E& e, const C& a, const Held<GaloisKeys>& keys) {
        return call_held(
            [](auto& v, auto& x, auto& k, auto& s) { return v.rotate_columns(x, k, s); }, e, a,
            keys);
      },
      py::arg("a"), py::arg("keys"), "The two rows exchanged; the key is that of conjugation.");
  evaluator.def(
      "apply_automorphism",
      [](const E& e, const C& a, std::uint32_t element, const Held<GaloisKeys>& keys) {
        return call_held([&](auto& v, auto& x, auto& k,
                             auto& s) { return v.apply_automorphism(x, element, k, s); },
                         e, a, keys);
      },
      py::arg("a"), py::arg("element"), py::arg("keys"), "m(X) becomes m(X^element).");
  evaluator.def(
      "switch_key",
      [](const E& e, const C& a, const Held<KeySwitchingKey>& key, const std::string& from_id) {
        const he::KeyId from = key_id_of(from_id);
        return call_held(
            [&](auto& v, auto& x, auto& k, auto& s) { return v.switch_key(x, k, from, s); }, e, a,
            key);
      },
      py::arg("a"), py::arg("key"), py::arg("from_id"),
      "To the key that `key` switches to; from_id: id of the one that it switches from.");
}

}  // namespace

void bind_he_bfv(py::module_& module) {
  bind_messages(module);
  bind_encoders(module);
  bind_encryption(module);
  bind_evaluator(module);
}

}  // namespace velum::python
