#include <pybind11/complex.h>
#include <pybind11/functional.h>

#include <cmath>

#include "he_objects.h"
#include "velum/he/ckks/encoder.h"
#include "velum/he/ckks/evaluator.h"
#include "velum/he/ckks/linear_transform.h"
#include "velum/he/ckks/polynomial.h"
#include "velum/he/decryptor.h"
#include "velum/he/encryptor.h"

namespace velum::python {
namespace {

using he::Ciphertext;
using he::Decryptor;
using he::EncodeOptions;
using he::Encoder;
using he::Encryptor;
using he::Evaluator;
using he::GaloisKeys;
using he::HoistedCiphertext;
using he::KeySwitchingKey;
using he::LinearTransform;
using he::Plaintext;
using he::Polynomial;
using he::PublicKey;
using he::Randomness;
using he::RelinearizationKey;
using he::SecretKey;
using he::SeededCiphertext;
using he::Stream;
using kernels::Span;

using OptionalRandomness = std::optional<std::shared_ptr<Randomness>>;

/// context, level, scale, message_bound, history: of everything that carries a message.
template <typename T, typename Class>
void def_message(Class& cls) {
  def_context<T>(cls);
  cls.def_property_readonly(
      "level", [](const Held<T>& held) { return value(held).level(); },
      "Rescalings that are left.");
  cls.def_property_readonly(
      "scale", [](const Held<T>& held) { return value(held).scale(); },
      "What the message is multiplied by: the factor itself.");
  cls.def_property_readonly(
      "message_bound", [](const Held<T>& held) { return value(held).noise().message_bound; },
      "The declared bound of a slot's magnitude: public.");
  cls.def_property_readonly(
      "slot_bound", [](const Held<T>& held) { return value(held).noise().slot_bound; },
      "A bound of the error's magnitude in a slot of the scaled message.");
  cls.def_property_readonly(
      "history", [](const Held<T>& held) { return history_name(value(held).history()); }, kHistory);
}

template <typename T, typename Class>
void def_key_id(Class& cls) {
  cls.def_property_readonly(
      "key_id", [](const Held<T>& held) { return he::to_string(value(held).key_id()); },
      "32 hexadecimal digits that name the secret key that decrypts it.");
}

EncodeOptions encode_options(std::optional<int> level, std::optional<double> scale,
                             double message_bound) {
  EncodeOptions options;
  // What stands for a default in C++ is no value here.
  if (level) {
    if (*level < 0)
      throw std::invalid_argument("encode: level = " + std::to_string(*level) + ", expected >= 0");
    options.level = *level;
  }
  if (scale) {
    if (!(*scale > 0))
      throw std::invalid_argument("encode: scale = " + std::to_string(*scale) + ", expected > 0");
    options.scale = *scale;
  }
  options.message_bound = message_bound;
  return options;
}

Held<Plaintext> encode(const Held<Encoder>& self, const py::object& values,
                       std::optional<int> level, std::optional<double> scale,
                       double message_bound) {
  const EncodeOptions options = encode_options(level, scale, message_bound);
  const py::array array = as_array(values);
  check_dimensions("encode", "values", array, 1);
  const auto encoded = [&](const auto& slots) {
    return call_held([&](auto& encoder,
                         auto& stream) { return encoder.encode(span_of(slots), stream, options); },
                     self);
  };
  if (is_complex(array)) return encoded(ComplexArray(array));
  check_real("encode", "values", array);
  return encoded(DoubleArray(array));
}

/// A length that the encoder would take; more is refused before memory is asked for.
std::int64_t count_or(const char* function, const char* name, std::optional<std::int64_t> count,
                      std::int64_t largest) {
  if (!count) return largest;
  if (*count < 0 || *count > largest) {
    throw std::invalid_argument(std::string(function) + ": " + name + " = " +
                                std::to_string(*count) + ", expected 0 to " +
                                std::to_string(largest));
  }
  return *count;
}

template <typename T>
py::array decode(const char* function, const Held<Encoder>& self, const Held<Plaintext>& plaintext,
                 std::optional<std::int64_t> slots) {
  const std::int64_t most = session_of(self)->context->parameters().max_slots();
  py::array_t<T> out(count_or(function, "slots", slots, most));
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

void bind_messages(py::module_& module) {
  py::class_<Held<Plaintext>> plaintext(module, "Plaintext",
                                        "A message of CKKS that is encoded but not encrypted.");
  def_message<Plaintext>(plaintext);
  def_serialization<Plaintext>(
      plaintext,
      [](std::ostream& out, const Plaintext& message, const Stream& stream) {
        he::save(out, message, stream);
      },
      [](auto& in, auto& context, auto& stream, auto&) {
        return he::load_plaintext(in, context, stream);
      });
  def_copies_are_itself(plaintext);

  py::class_<Held<Ciphertext>> ciphertext(
      module, "Ciphertext", "An encrypted message of CKKS. What computes is an Evaluator.");
  def_message<Ciphertext>(ciphertext);
  def_key_id<Ciphertext>(ciphertext);
  ciphertext.def_property_readonly(
      "size", [](const Held<Ciphertext>& held) { return value(held).size(); },
      "Polynomials: 2, or 3 after a product.");
  ciphertext.def_property_readonly(
      "estimated_error", [](const Held<Ciphertext>& held) { return value(held).estimated_error(); },
      "Estimated standard deviation of the error of a decoded slot, in units of the message.");
  ciphertext.def_property_readonly(
      "estimated_precision_bits",
      [](const Held<Ciphertext>& held) { return value(held).estimated_precision_bits(); },
      "Bits after the binary point that a decoded slot has: -log2(estimated_error).");
  const auto copied = [](const Held<Ciphertext>& held) {
    return call_held([](auto& c, auto& s) { return c.copy(s); }, held);
  };
  ciphertext.def("__copy__", copied);
  ciphertext.def(
      "__deepcopy__",
      [copied](const Held<Ciphertext>& held, const py::dict&) { return copied(held); },
      py::arg("memo"));
  // A copy is changed and takes the old one's place: what is computed from the old one goes on.
  const auto change = [copied](Held<Ciphertext>& held, const auto& set) {
    const Held<Ciphertext> next = copied(held);
    set(*next.value);
    held.value = next.value;
  };
  ciphertext.def(
      "vouch_for_history",
      [change](Held<Ciphertext>& held) {
        change(held, [](Ciphertext& c) { c.vouch_for_history(); });
      },
      "Declares that it was encrypted by this library or as honestly, within its message_bound,\n"
      "and computed on as recorded. Say so only of what came from yourself, by a way on which\n"
      "nobody could change it: a release of any other can give the key away.");
  ciphertext.def(
      "declare_message_bound",
      [change](Held<Ciphertext>& held, double bound) {
        change(held, [&](Ciphertext& c) { c.declare_message_bound(bound); });
      },
      py::arg("bound"),
      "Says what the caller knows of the message: no slot's magnitude is above `bound`. Nothing\n"
      "can check it; estimates of noise and the flooding of a release rely on it.");
  ciphertext.def(
      "declare_real_slots",
      [change](Held<Ciphertext>& held) {
        change(held, [](Ciphertext& c) { c.declare_real_slots(); });
      },
      "Says what the caller knows of the message: every slot is a real number.");
  def_serialization<Ciphertext>(
      ciphertext,
      [](std::ostream& out, const Ciphertext& message, const Stream& stream) {
        he::save(out, message, stream);
      },
      [](auto& in, auto& context, auto& stream, auto& options) {
        return he::load_ciphertext(in, context, stream, options);
      });

  py::class_<Held<SeededCiphertext>> seeded(
      module, "SeededCiphertext", "A fresh symmetric ciphertext of CKKS at half the bytes.");
  def_message<SeededCiphertext>(seeded);
  def_key_id<SeededCiphertext>(seeded);
  seeded.def(
      "expand",
      [](const Held<SeededCiphertext>& held) {
        return call_held([](auto& c, auto& s) { return c.expand(s); }, held);
      },
      "The Ciphertext.");
  def_serialization<SeededCiphertext>(
      seeded,
      [](std::ostream& out, const SeededCiphertext& message, const Stream& stream) {
        he::save(out, message, stream);
      },
      [](auto& in, auto& context, auto& stream, auto& options) {
        return he::load_seeded_ciphertext(in, context, stream, options);
      });
  def_copies_are_itself(seeded);
}

void bind_encoder(py::module_& module) {
  py::class_<Held<Encoder>> encoder(module, "Encoder",
                                    "Between numbers and plaintexts of CKKS: SEAL's CKKSEncoder.");
  encoder.def(py::init([](const HeldContext& context) {
                return hold(session_of(context), Encoder(session_of(context)->context));
              }),
              py::arg("context"));
  encoder.def(
      "encode", &encode, py::arg("values"), py::kw_only(), py::arg("level") = py::none(),
      py::arg("scale") = py::none(), py::arg("message_bound") = 1.0,
      "Numbers into slots.\n\n"
      "Args:\n"
      "    values: [n] real or complex, n a power of two up to N / 2; fewer are repeated.\n"
      "    level: 0 to max_level; None: the highest.\n"
      "    scale: None: the scale that ciphertexts of the level have.\n"
      "    message_bound: what a slot's magnitude may reach. Public: not to be computed from the\n"
      "        values.\n\n"
      "Raises:\n"
      "    ValueError: if n, level or scale is out of range, a value is not finite or beyond\n"
      "        message_bound, or the message does not fit the modulus.");
  encoder.def(
      "encode_coefficients",
      [](const Held<Encoder>& self, const py::object& values, std::optional<int> level,
         std::optional<double> scale, double message_bound) {
        const EncodeOptions options = encode_options(level, scale, message_bound);
        const py::array array = as_array(values);
        check_dimensions("encode_coefficients", "values", array, 1);
        check_real("encode_coefficients", "values", array);
        const DoubleArray numbers(array);
        return call_held(
            [&](auto& e, auto& stream) {
              return e.encode_coefficients(span_of(numbers), stream, options);
            },
            self);
      },
      py::arg("values"), py::kw_only(), py::arg("level") = py::none(),
      py::arg("scale") = py::none(), py::arg("message_bound") = 1.0,
      "At most N real numbers into the coefficients themselves: for sums; products of such\n"
      "plaintexts are no products of values.");
  encoder.def(
      "decode",
      [](const Held<Encoder>& self, const Held<Plaintext>& plaintext,
         std::optional<std::int64_t> slots) {
        return decode<double>("decode", self, plaintext, slots);
      },
      py::arg("plaintext"), py::arg("slots") = py::none(),
      "The real parts of the slots, [slots] float64: a power of two; None: all N / 2.");
  encoder.def(
      "decode_complex",
      [](const Held<Encoder>& self, const Held<Plaintext>& plaintext,
         std::optional<std::int64_t> slots) {
        return decode<std::complex<double>>("decode_complex", self, plaintext, slots);
      },
      py::arg("plaintext"), py::arg("slots") = py::none(),
      "The slots, [slots] complex128: a power of two; None: all N / 2.");
  encoder.def(
      "decode_coefficients",
      [](const Held<Encoder>& self, const Held<Plaintext>& plaintext,
         std::optional<std::int64_t> count) {
        py::array_t<double> out(
            count_or("decode_coefficients", "count", count, session_of(self)->context->degree()));
        const Span<double> span = mutable_span_of(out);
        call(
            session_of(self),
            [&](auto& e, auto& message, auto& stream) {
              e.decode_coefficients(message, span, stream);
              return 0;
            },
            self, plaintext);
        return out;
      },
      py::arg("plaintext"), py::arg("count") = py::none(),
      "The first coefficients, [count] float64; None: all N.");
}

void bind_encryption(py::module_& module) {
  py::class_<Held<Encryptor>> encryptor(module, "Encryptor",
                                        "Encrypts plaintexts of CKKS under a public key.");
  encryptor.def(py::init([](const Held<PublicKey>& key, const OptionalRandomness& randomness) {
                  return hold(session_of(key),
                              Encryptor(pointer(key), randomness_or_secure(randomness)));
                }),
                py::arg("public_key"), py::arg("randomness") = py::none());
  encryptor.def(
      "encrypt",
      [](const Held<Encryptor>& self, const Held<Plaintext>& plaintext) {
        return call_held([](auto& e, auto& p, auto& s) { return e.encrypt(p, s); }, self,
                         plaintext);
      },
      py::arg("plaintext"), "A Ciphertext at the plaintext's level; new randomness every time.");

  py::class_<Held<he::SymmetricEncryptor>> symmetric(
      module, "SymmetricEncryptor",
      "Encrypts plaintexts of CKKS under the secret key: a smaller error, and half the bytes.");
  symmetric.def(py::init([](const Held<SecretKey>& key, const OptionalRandomness& randomness) {
                  return hold(session_of(key), he::SymmetricEncryptor(
                                                   pointer(key), randomness_or_secure(randomness)));
                }),
                py::arg("secret_key"), py::arg("randomness") = py::none());
  symmetric.def(
      "encrypt",
      [](const Held<he::SymmetricEncryptor>& self, const Held<Plaintext>& plaintext) {
        return call_held([](auto& e, auto& p, auto& s) { return e.encrypt(p, s); }, self,
                         plaintext);
      },
      py::arg("plaintext"), "A Ciphertext.");
  symmetric.def(
      "encrypt_seeded",
      [](const Held<he::SymmetricEncryptor>& self, const Held<Plaintext>& plaintext) {
        return call_held([](auto& e, auto& p, auto& s) { return e.encrypt_seeded(p, s); }, self,
                         plaintext);
      },
      py::arg("plaintext"), "A SeededCiphertext.");

  py::class_<Held<Decryptor>> decryptor(
      module, "Decryptor",
      "Decrypts ciphertexts of CKKS. The error of a decryption tells about the key to whoever\n"
      "sees it (ePrint 2020/1533), so there are two ways, and the one that leaves the house\n"
      "floods.");
  decryptor.def(py::init([](const Held<SecretKey>& key, const OptionalRandomness& randomness) {
                  return hold(session_of(key),
                              Decryptor(pointer(key), randomness_or_secure(randomness)));
                }),
                py::arg("secret_key"), py::arg("randomness") = py::none());
  decryptor.def(
      "decrypt_for_owner",
      [](const Held<Decryptor>& self, const Held<Ciphertext>& ciphertext) {
        return call_held([](auto& d, auto& c, auto& s) { return d.decrypt_for_owner(c, s); }, self,
                         ciphertext);
      },
      py::arg("ciphertext"),
      "A Plaintext with its exact error, for the owner's eyes only: never hand it to whoever may\n"
      "have chosen or seen the ciphertext.");
  decryptor.def(
      "decrypt_for_release",
      [](const Held<Decryptor>& self, const Held<Ciphertext>& ciphertext, std::int64_t queries,
         int statistical_bits) {
        const he::ReleasePolicy policy{queries, statistical_bits};
        return call_held(
            [&](auto& d, auto& c, auto& s) { return d.decrypt_for_release(c, policy, s); }, self,
            ciphertext);
      },
      py::arg("ciphertext"), py::kw_only(), py::arg("queries") = 128,
      py::arg("statistical_bits") = 40,
      "A Plaintext with noise that hides what the error tells about the key.\n\n"
      "Args:\n"
      "    queries: decryptions of the key that are released in all, at least 1.\n"
      "    statistical_bits: 10 to 128.\n\n"
      "Raises:\n"
      "    ValueError: if the ciphertext's history is unknown, the policy is out of range, or the\n"
      "        noise does not fit the modulus that is left.");
}

void bind_evaluator(py::module_& module) {
  py::class_<Held<HoistedCiphertext>> hoisted(module, "HoistedCiphertext",
                                              "What all rotations of one ciphertext share.");
  hoisted.def_property_readonly(
      "level", [](const Held<HoistedCiphertext>& held) { return value(held).level; }, "Its level.");

  using E = Held<Evaluator>;
  using C = Held<Ciphertext>;
  using P = Held<Plaintext>;
  py::class_<E> evaluator(
      module, "Evaluator",
      "Arithmetic on ciphertexts of CKKS. Operands are of one context, key and level; a sum also\n"
      "needs one scale. Nothing is adjusted silently: a ValueError names both values and the\n"
      "remedy. A result that would not fit its modulus is refused before it is computed.");
  evaluator.def(py::init([](const HeldContext& context) {
                  return hold(session_of(context), Evaluator(session_of(context)->context));
                }),
                py::arg("context"));
  const auto bound = py::arg("message_bound") = 0.0;
  evaluator.def(
      "add",
      [](const E& e, const C& a, const C& b, double message_bound) {
        return call_held(
            [&](auto& v, auto& x, auto& y, auto& s) { return v.add(x, y, s, {message_bound}); }, e,
            a, b);
      },
      py::arg("a"), py::arg("b"), py::kw_only(), bound,
      "a + b. message_bound: what the caller knows of the sum's slots; 0: nothing.");
  evaluator.def(
      "subtract",
      [](const E& e, const C& a, const C& b, double message_bound) {
        return call_held([&](auto& v, auto& x, auto& y,
                             auto& s) { return v.subtract(x, y, s, {message_bound}); },
                         e, a, b);
      },
      py::arg("a"), py::arg("b"), py::kw_only(), bound, "a - b.");
  evaluator.def(
      "negate",
      [](const E& e, const C& a) {
        return call_held([](auto& v, auto& x, auto& s) { return v.negate(x, s); }, e, a);
      },
      py::arg("a"), "-a.");
  evaluator.def(
      "add_plain",
      [](const E& e, const C& a, const P& b, double message_bound) {
        return call_held([&](auto& v, auto& x, auto& y,
                             auto& s) { return v.add_plain(x, y, s, {message_bound}); },
                         e, a, b);
      },
      py::arg("a"), py::arg("b"), py::kw_only(), bound, "a + b, b a Plaintext.");
  evaluator.def(
      "subtract_plain",
      [](const E& e, const C& a, const P& b, double message_bound) {
        return call_held([&](auto& v, auto& x, auto& y,
                             auto& s) { return v.subtract_plain(x, y, s, {message_bound}); },
                         e, a, b);
      },
      py::arg("a"), py::arg("b"), py::kw_only(), bound, "a - b, b a Plaintext.");
  evaluator.def(
      "add_constant",
      [](const E& e, const C& a, double number, double message_bound) {
        return call_held([&](auto& v, auto& x,
                             auto& s) { return v.add_constant(x, number, s, {message_bound}); },
                         e, a);
      },
      py::arg("a"), py::arg("value"), py::kw_only(), bound, "The same real number to every slot.");
  evaluator.def(
      "multiply",
      [](const E& e, const C& a, const C& b) {
        return call_held([](auto& v, auto& x, auto& y, auto& s) { return v.multiply(x, y, s); }, e,
                         a, b);
      },
      py::arg("a"), py::arg("b"),
      "a * b: three polynomials, and the product of the scales; relinearize, then rescale.");
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
      py::arg("a"), py::arg("b"), "a * b, b a Plaintext; the product of the scales.");
  evaluator.def(
      "multiply_constant",
      [](const E& e, const C& a, double number, double scale) {
        return call_held(
            [&](auto& v, auto& x, auto& s) { return v.multiply_constant(x, number, scale, s); }, e,
            a);
      },
      py::arg("a"), py::arg("value"), py::arg("scale"),
      "Every slot times a real number, which is rounded to a multiple of 1 / scale.");
  evaluator.def(
      "multiply_integer",
      [](const E& e, const C& a, std::int64_t factor) {
        return call_held(
            [&](auto& v, auto& x, auto& s) { return v.multiply_integer(x, factor, s); }, e, a);
      },
      py::arg("a"), py::arg("factor"),
      "Exact, without a change of scale; the magnitude of factor is below 2**62.");
  evaluator.def(
      "relinearize",
      [](const E& e, const C& a, const Held<RelinearizationKey>& key) {
        return call_held([](auto& v, auto& x, auto& k, auto& s) { return v.relinearize(x, k, s); },
                         e, a, key);
      },
      py::arg("a"), py::arg("key"), "A product brought back to two polynomials.");
  evaluator.def(
      "rescale",
      [](const E& e, const C& a) {
        return call_held([](auto& v, auto& x, auto& s) { return v.rescale(x, s); }, e, a);
      },
      py::arg("a"), "One level down: divides by the primes of the level (SEAL: rescale_to_next).");
  evaluator.def(
      "drop_to_level",
      [](const E& e, const C& a, int level) {
        return call_held([&](auto& v, auto& x, auto& s) { return v.drop_to_level(x, level, s); }, e,
                         a);
      },
      py::arg("a"), py::arg("level"), "To a lower level; the scale stays (SEAL: mod_switch_to).");
  evaluator.def(
      "adjust",
      [](const E& e, const C& a, int level, double scale) {
        return call_held([&](auto& v, auto& x, auto& s) { return v.adjust(x, level, scale, s); }, e,
                         a);
      },
      py::arg("a"), py::arg("level"), py::arg("scale"), "To a lower level and any scale there.");
  evaluator.def(
      "rotate",
      [](const E& e, const C& a, std::int64_t steps, const Held<GaloisKeys>& keys) {
        return call_held(
            [&](auto& v, auto& x, auto& k, auto& s) { return v.rotate(x, steps, k, s); }, e, a,
            keys);
      },
      py::arg("a"), py::arg("steps"), py::arg("keys"),
      "Slot j of the result is slot j + steps of a. Raises IndexError if there is no key for it.");
  evaluator.def(
      "rotate",
      [](const E& e, const Held<HoistedCiphertext>& a, std::int64_t steps,
         const Held<GaloisKeys>& keys) {
        return call_held(
            [&](auto& v, auto& x, auto& k, auto& s) { return v.rotate(x, steps, k, s); }, e, a,
            keys);
      },
      py::arg("a"), py::arg("steps"), py::arg("keys"), "The same of what hoist gave.");
  evaluator.def(
      "hoist",
      [](const E& e, const C& a) {
        return call_held([](auto& v, auto& x, auto& s) { return v.hoist(x, s); }, e, a);
      },
      py::arg("a"), "What all rotations of it share, made once.");
  evaluator.def(
      "conjugate",
      [](const E& e, const C& a, const Held<GaloisKeys>& keys) {
        return call_held([](auto& v, auto& x, auto& k, auto& s) { return v.conjugate(x, k, s); }, e,
                         a, keys);
      },
      py::arg("a"), py::arg("keys"), "Every slot's complex conjugate.");
  evaluator.def(
      "sum_slots",
      [](const E& e, const C& a, std::int64_t slots, const Held<GaloisKeys>& keys,
         double message_bound) {
        return call_held([&](auto& v, auto& x, auto& k,
                             auto& s) { return v.sum_slots(x, slots, k, s, {message_bound}); },
                         e, a, keys);
      },
      py::arg("a"), py::arg("slots"), py::arg("keys"), py::kw_only(), bound,
      "Slot j of the result is the sum of slots j .. j + slots - 1 of a; rotates by 1, 2, 4, ..");
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

void bind_transforms(py::module_& module) {
  using T = Held<LinearTransform>;
  py::class_<T> transform(
      module, "LinearTransform",
      "A matrix on the slots of a ciphertext, by diagonals with baby and giant steps; about\n"
      "2 sqrt(n) rotations, of which the baby steps share one decomposition.");
  transform.def_static(
      "from_matrix",
      [](const Held<Encoder>& encoder, const py::object& matrix, std::optional<int> level,
         double row_bound) {
        if (level && *level < 0) {
          throw std::invalid_argument("LinearTransform: level = " + std::to_string(*level) +
                                      ", expected >= 1");
        }
        const he::LinearTransformOptions options{level.value_or(-1), row_bound};
        const py::array array = as_array(matrix);
        check_dimensions("LinearTransform", "matrix", array, 2);
        const auto make = [&](const auto& entries) {
          using Entry = typename std::decay_t<decltype(entries)>::value_type;
          const kernels::MatrixView<const Entry> view(entries.data(), entries.shape(0),
                                                      entries.shape(1));
          return call_held(
              [&](auto& e, auto& stream) {
                return LinearTransform::from_matrix(e, view, stream, options);
              },
              encoder);
        };
        if (is_complex(array)) return make(ComplexArray(array));
        check_real("LinearTransform", "matrix", array);
        return make(DoubleArray(array));
      },
      py::arg("encoder"), py::arg("matrix"), py::kw_only(), py::arg("level") = py::none(),
      py::arg("row_bound") = 1.0,
      "Args:\n"
      "    encoder: of the context.\n"
      "    matrix: [n, n] real or complex, row j giving slot j of the result; n a power of two.\n"
      "    level: of the ciphertexts that it is applied to; None: the highest. One is used up.\n"
      "    row_bound: what the magnitudes of a row may add up to; public.");
  transform.def_property_readonly(
      "rotations", [](const T& held) { return value(held).rotations(); },
      "Steps whose Galois keys apply needs.");
  transform.def_property_readonly(
      "level", [](const T& held) { return value(held).level(); }, "Of its arguments.");
  transform.def(
      "apply",
      [](const T& self, const Held<Evaluator>& evaluator, const Held<Ciphertext>& argument,
         const Held<GaloisKeys>& keys) {
        return call_held(
            [](auto& t, auto& e, auto& a, auto& k, auto& s) { return t.apply(e, a, k, s); }, self,
            evaluator, argument, keys);
      },
      py::arg("evaluator"), py::arg("argument"), py::arg("keys"),
      "The product, rescaled: one level lower, at the argument's scale.");

  using Poly = HeldPolynomial;
  py::class_<Poly> polynomial(module, "Polynomial", "A real polynomial of one variable.");
  polynomial.def(
      py::init([](std::vector<double> coefficients, const std::string& basis, double bound) {
        Polynomial made;
        if (basis == "chebyshev") {
          made.basis = Polynomial::Basis::kChebyshev;
        } else if (basis != "monomial") {
          throw std::invalid_argument("Polynomial: basis = '" + basis +
                                      "', expected 'monomial' or 'chebyshev'");
        }
        if (!(bound > 0 && std::isfinite(bound))) {
          throw std::invalid_argument("Polynomial: bound = " + std::to_string(bound) +
                                      ", expected finite and > 0");
        }
        made.coefficients = std::move(coefficients);
        made.bound = bound;
        return Poly(std::move(made));
      }),
      py::arg("coefficients"), py::kw_only(), py::arg("basis") = "monomial", py::arg("bound") = 1.0,
      "Args:\n"
      "    coefficients: from the constant on.\n"
      "    basis: 'monomial', or 'chebyshev': T_i(x / bound) on [-bound, bound].\n"
      "    bound: of no meaning for monomials.");
  polynomial.def_static(
      "chebyshev",
      [](const std::function<double(double)>& f, double bound, int degree) {
        return Poly(Polynomial::chebyshev(f, bound, degree));
      },
      py::arg("f"), py::arg("bound"), py::arg("degree"),
      "The interpolation of a function in the degree + 1 Chebyshev points of [-bound, bound];\n"
      "degree 0 to 1023. What f raises passes on.");
  polynomial.def_property_readonly(
      "coefficients", [](const Poly& p) { return p.get().coefficients; }, "From the constant on.");
  polynomial.def_property_readonly(
      "basis",
      [](const Poly& p) {
        return p.get().basis == Polynomial::Basis::kChebyshev ? "chebyshev" : "monomial";
      },
      "'monomial' or 'chebyshev'.");
  polynomial.def_property_readonly(
      "bound", [](const Poly& p) { return p.get().bound; }, "Of the interval.");
  polynomial.def_property_readonly(
      "degree", [](const Poly& p) { return p.get().degree(); }, "Its degree.");
  polynomial.def_property_readonly(
      "depth", [](const Poly& p) { return he::polynomial_depth(p.get()); },
      "Levels that evaluate uses.");
  polynomial.def(
      "__call__", [](const Poly& p, double x) { return p.get()(x); }, py::arg("x"),
      "Its value at a number.");
  module.def(
      "evaluate",
      [](const Held<Evaluator>& evaluator, const Held<Ciphertext>& argument,
         const HeldPolynomial& poly, const Held<RelinearizationKey>& key) {
        const Polynomial kept = poly.get();
        return call_held(
            [&](auto& e, auto& a, auto& k, auto& s) { return he::evaluate(e, a, kept, k, s); },
            evaluator, argument, key);
      },
      py::arg("evaluator"), py::arg("argument"), py::arg("polynomial"), py::arg("key"),
      "The polynomial of every slot, `depth` levels lower, at the scale of that level.\n\n"
      "Raises:\n"
      "    ValueError: if the levels do not suffice, the argument's message_bound is above the\n"
      "        polynomial's bound, or the result might not fit its modulus.");
}

}  // namespace

void bind_he_ckks(py::module_& module) {
  bind_messages(module);
  bind_encoder(module);
  bind_encryption(module);
  bind_evaluator(module);
  bind_transforms(module);
}

}  // namespace velum::python
