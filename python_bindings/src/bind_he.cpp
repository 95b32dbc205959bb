#include <algorithm>
#include <bit>
#include <map>
#include <mutex>
#include <tuple>

#include "bindings.h"
#include "he_objects.h"
#include "velum/he/ckks/slot_codec.h"
#include "velum/he/key_generator.h"
#include "velum/he/parameters.h"
#include "velum/kernels/error.h"

namespace velum::python {
namespace {

using he::GaloisKeys;
using he::KeyGenerator;
using he::KeySwitchingKey;
using he::Parameters;
using he::ParametersBuilder;
using he::PublicKey;
using he::Randomness;
using he::RelinearizationKey;
using he::SecretKey;
using he::SecurityLevel;
using he::Stream;
using kernels::Span;

[[noreturn]] void refuse(const char* function, const std::string& text) {
  throw std::invalid_argument(std::string(function) + ": " + text);
}

/// Contexts that are alive, by what makes them the same.
class LiveContexts {
 public:
  std::shared_ptr<const he::Context> get(const Parameters& parameters, const Stream& stream) {
    const Key key{parameters.id(), parameters.security().has_value(), stream.backend(),
                  stream.backend() == kernels::Backend::kCuda ? stream.device() : 0};
    if (std::shared_ptr<const he::Context> live = find(key)) return live;
    const std::shared_ptr<const he::Context> made = he::Context::create(parameters, stream);
    const std::lock_guard<std::mutex> lock(mutex_);
    std::erase_if(contexts_, [](const auto& entry) { return entry.second.expired(); });
    std::weak_ptr<const he::Context>& entry = contexts_[key];
    if (std::shared_ptr<const he::Context> first = entry.lock()) return first;  // made meanwhile
    entry = made;
    return made;
  }

 private:
  using Key = std::tuple<he::ParametersId, bool, kernels::Backend, int>;

  std::shared_ptr<const he::Context> find(const Key& key) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = contexts_.find(key);
    return found == contexts_.end() ? nullptr : found->second.lock();
  }

  std::mutex mutex_;
  std::map<Key, std::weak_ptr<const he::Context>> contexts_;
};

/// Primes of 30 bits whose product is above 2^89: what holds any coefficient of 64 bits.
const std::vector<std::uint32_t> kCodecPrimes{1073741789, 1073741783, 1073741741};

/// Slots and coefficients as CKKS has them, in residues that no ciphertext needs.
class Codec {
 public:
  explicit Codec(const char* function, std::int64_t ring_degree)
      : codec_(log_of(function, ring_degree)),
        stream_(Stream::serial()),
        chain_(kCodecPrimes, stream_),
        limbs_(he::LimbIndices::range(0, static_cast<int>(kCodecPrimes.size()))),
        radix_(chain_, limbs_, stream_),
        residues_(limbs_.count * ring_degree, stream_),
        view_(residues_.data(), 1, limbs_.count, ring_degree) {}

  template <typename Slot>
  void encode(Span<const Slot> slots, double scale, Span<std::int64_t> coefficients) {
    codec_.encode(slots, scale, view_, limbs_, chain_, stream_);
    codec_.decode_integers(view_, radix_, coefficients, stream_);
  }
  void decode(Span<const std::int64_t> coefficients, double scale,
              Span<std::complex<double>> slots) {
    codec_.encode_integers(coefficients, view_, limbs_, chain_, stream_);
    codec_.decode(view_, radix_, scale, slots, stream_);
  }

 private:
  static int log_of(const char* function, std::int64_t ring_degree) {
    constexpr std::int64_t kLargest = std::int64_t{1} << he::CanonicalEmbedding::kMaxLogN;
    if (ring_degree < 2 || ring_degree > kLargest ||
        !std::has_single_bit(static_cast<std::uint64_t>(ring_degree))) {
      refuse(function, "ring_degree = " + std::to_string(ring_degree) +
                           ", expected a power of two from 2 to " + std::to_string(kLargest));
    }
    return std::countr_zero(static_cast<std::uint64_t>(ring_degree));
  }

  he::SlotCodec codec_;
  Stream stream_;
  kernels::ModulusChain<std::uint32_t> chain_;
  he::LimbIndices limbs_;
  kernels::MixedRadix radix_;
  kernels::Buffer<std::uint32_t> residues_;
  he::RnsView<std::uint32_t> view_;
};

py::array ckks_encode(const py::object& values, double scale, std::int64_t ring_degree) {
  constexpr const char* kName = "ckks_encode";
  const py::array array = as_array(values);
  check_dimensions(kName, "values", array, 1);
  const bool complex = is_complex(array);
  if (!complex) check_real(kName, "values", array);
  Codec codec(kName, ring_degree);
  py::array_t<std::int64_t> out(ring_degree);
  const Span<std::int64_t> coefficients = mutable_span_of(out);
  const auto encode = [&](const auto& slots) {
    without_gil([&] {
      codec.encode(span_of(slots), scale, coefficients);
      return 0;
    });
  };
  complex ? encode(ComplexArray(array)) : encode(DoubleArray(array));
  return out;
}

py::array ckks_decode(const py::object& coefficients, double scale) {
  constexpr const char* kName = "ckks_decode";
  const py::array array = as_array(coefficients);
  check_dimensions(kName, "coefficients", array, 1);
  check_integers(kName, "coefficients", array);
  if (array.dtype().kind() == 'u' && array.itemsize() == 8) {
    throw py::type_error("ckks_decode: coefficients is of type uint64, expected int64");
  }
  const IntArray integers(array);
  Codec codec(kName, integers.size());
  py::array_t<std::complex<double>> out(integers.size() / 2);
  const Span<std::complex<double>> slots = mutable_span_of(out);
  without_gil([&] {
    codec.decode(span_of(integers), scale, slots);
    return 0;
  });
  return out;
}

constexpr char kLoadInsecure[] = "from_bytes_insecure_without_security_check";

Parameters load_parameters(const py::buffer& data, bool insecure) {
  return from_bytes(data, [insecure](std::istream& in) {
    return insecure ? he::load_parameters_insecure_without_security_check(in)
                    : he::load_parameters(in);
  });
}
py::bytes bytes_of_parameters(const Parameters& parameters) {
  return bytes_of(he::serialized_size(parameters),
                  [&](std::ostream& out) { he::save(out, parameters); });
}

/// Parameters as Python has them; they never change.
struct HeldParameters {
  explicit HeldParameters(Parameters made) : value(std::make_shared<Parameters>(std::move(made))) {}
  const Parameters& get() const { return *value; }
  std::shared_ptr<const Parameters> value;
};

struct HeldBuilder {
  ParametersBuilder settings;
};
template <typename Setter>
struct SetterValue;
template <typename Value>
struct SetterValue<ParametersBuilder& (ParametersBuilder::*)(Value)> {
  using type = Value;
};

void bind_parameters(py::module_& module) {
  py::class_<HeldParameters> parameters(
      module, "Parameters",
      "All that is public and fixed about a scheme: ring degree, primes, scales or plaintext\n"
      "modulus. Made by for_depth (CKKS), bfv_for_depth, or a ParametersBuilder; all of them hold\n"
      "to the security table of the guidelines of 2024 (ePrint 2024/463).");
  parameters.def_static(
      "for_depth",
      [](int depth, int precision_bits, int security) {
        const SecurityLevel level = security_level("for_depth", security);
        return HeldParameters(
            without_gil([&] { return Parameters::for_depth(depth, precision_bits, level); }));
      },
      py::arg("depth"), py::arg("precision_bits"), py::arg("security") = 128,
      "CKKS: the smallest ring that gives so many multiplications one after the other.\n\n"
      "Args:\n"
      "    depth: 0 to 60, rescalings.\n"
      "    precision_bits: 10 to 45, bits after the binary point that a message of magnitude 1\n"
      "        keeps in a fresh ciphertext under a public key.\n"
      "    security: 128, 192 or 256 bits.\n\n"
      "Raises:\n"
      "    ValueError: if an argument is out of range, or no ring to 2**17 is large enough.");
  parameters.def_static(
      "bfv_for_depth",
      [](int depth, int plaintext_bits, int security) {
        const SecurityLevel level = security_level("bfv_for_depth", security);
        return HeldParameters(
            without_gil([&] { return Parameters::bfv_for_depth(depth, plaintext_bits, level); }));
      },
      py::arg("depth"), py::arg("plaintext_bits"), py::arg("security") = 128,
      "BFV: the smallest ring with slots whose proven noise bounds allow so many multiplications,\n"
      "each with a relinearisation and a rotation.\n\n"
      "Args:\n"
      "    depth: 0 to 30.\n"
      "    plaintext_bits: 12 to 60, bits of the plaintext modulus, a prime with slots.\n"
      "    security: 128, 192 or 256 bits.\n\n"
      "Raises:\n"
      "    ValueError: if an argument is out of range, or no ring to 2**17 is large enough.");
  parameters.def_static("batching_modulus", &Parameters::batching_modulus, py::arg("log_n"),
                        py::arg("bits"),
                        "The largest prime of so many bits that is 1 modulo 2 N: a plaintext\n"
                        "modulus that gives BFV N slots. log_n 4 to 17, bits up to 60.");
  const auto property = [&](const char* name, auto getter, const char* doc) {
    parameters.def_property_readonly(
        name, [getter](const HeldParameters& held) { return getter(held.get()); }, doc);
  };
  property(
      "scheme", [](const Parameters& p) { return he::to_string(p.scheme()); }, "'CKKS' or 'BFV'.");
  property(
      "plaintext_modulus", [](const Parameters& p) { return p.plaintext_modulus(); },
      "t of BFV; 0 of CKKS.");
  property(
      "log_n", [](const Parameters& p) { return p.log_n(); }, "log2 of the ring degree.");
  property(
      "ring_degree", [](const Parameters& p) { return p.ring_degree(); }, "N.");
  property(
      "max_slots", [](const Parameters& p) { return p.max_slots(); },
      "N / 2: slots of CKKS, and of one of the two rows of BFV.");
  property(
      "primes", [](const Parameters& p) { return p.primes(); },
      "All primes, those of key switching first.");
  property(
      "special_prime_count", [](const Parameters& p) { return p.special_prime_count(); },
      "Primes of key switching; 0 if it was left out.");
  property(
      "base_prime_count", [](const Parameters& p) { return p.base_prime_count(); },
      "Primes of level 0.");
  property(
      "primes_per_level", [](const Parameters& p) { return p.primes_per_level(); },
      "Primes that each further level has.");
  property(
      "max_level", [](const Parameters& p) { return p.max_level(); },
      "The level of a fresh ciphertext.");
  property(
      "digit_limbs", [](const Parameters& p) { return p.digit_limbs(); },
      "Primes in a digit of key switching.");
  property(
      "dnum", [](const Parameters& p) { return p.dnum(); },
      "Digits of key switching at the highest level.");
  property(
      "parties", [](const Parameters& p) { return p.parties(); },
      "Of how many parties' secrets the key may be the sum; 1: an ordinary key.");
  property(
      "scale_bits", [](const Parameters& p) { return p.scale_bits(); },
      "log2 of the scale of a fresh CKKS ciphertext.");
  property(
      "log_p", [](const Parameters& p) { return p.log_p(); },
      "log2 of the product of the primes of key switching.");
  property(
      "log_qp", [](const Parameters& p) { return p.log_qp(); },
      "log2 of the product of all primes: what the security table limits.");
  property(
      "security",
      [](const Parameters& p) -> std::optional<int> {
        if (!p.security()) return std::nullopt;
        return static_cast<int>(*p.security());
      },
      "128, 192 or 256; None if the security table was not enforced.");
  property(
      "id", [](const Parameters& p) { return he::to_string(p.id()); },
      "64 hexadecimal digits that every key and ciphertext of these parameters carries.");
  const auto of_level = [&](const char* name, auto getter, const char* doc) {
    parameters.def(
        name, [getter](const HeldParameters& held, int level) { return getter(held.get(), level); },
        py::arg("level"), doc);
  };
  of_level(
      "limbs", [](const Parameters& p, int level) { return p.limbs(level); },
      "Primes of a ciphertext of this level. Raises IndexError beyond max_level.");
  of_level(
      "digit_count", [](const Parameters& p, int level) { return p.digit_count(level); },
      "Digits of key switching at this level. Raises IndexError beyond max_level.");
  of_level(
      "scale", [](const Parameters& p, int level) { return p.scale(level); },
      "CKKS: the scale of ciphertexts of this level. Raises RuntimeError of BFV, IndexError\n"
      "beyond max_level.");
  of_level(
      "level_modulus", [](const Parameters& p, int level) { return p.level_modulus(level); },
      "What rescale divides by at this level, 1 to max_level (else IndexError).");
  of_level(
      "log_q", [](const Parameters& p, int level) { return p.log_q(level); },
      "log2 of the modulus of this level. Raises IndexError beyond max_level.");
  parameters.def("__str__", [](const HeldParameters& held) { return held.get().to_string(); });
  parameters.def("__repr__", [](const HeldParameters& held) {
    return "<velum.he.Parameters\n" + held.get().to_string() + ">";
  });
  parameters.def("__eq__", [](const HeldParameters& a, const py::object& b) {
    return py::isinstance<HeldParameters>(b) && a.get() == b.cast<const HeldParameters&>().get();
  });
  parameters.def("__hash__", [](const HeldParameters& held) {
    std::size_t hash = 0;
    std::memcpy(&hash, held.get().id().data(), sizeof hash);
    return static_cast<py::ssize_t>(hash >> 1);
  });
  parameters.def(
      "to_bytes", [](const HeldParameters& held) { return bytes_of_parameters(held.get()); },
      "The parameters as bytes.");
  parameters.def_static(
      "from_bytes",
      [](const py::buffer& data) { return HeldParameters(load_parameters(data, false)); },
      py::arg("data"),
      "Loads what to_bytes wrote; checks primes and security table anew. Raises\n"
      "SerializationError.");
  parameters.def_static(
      kLoadInsecure,
      [](const py::buffer& data) { return HeldParameters(load_parameters(data, true)); },
      py::arg("data"), "Takes parameters that were built without the security table, too.");
  parameters.def(py::pickle(
      [](const HeldParameters& held) {
        check_pickle(held.get());
        return py::make_tuple(bytes_of_parameters(held.get()));
      },
      [](const py::tuple& state) {
        if (state.size() != 1) throw std::invalid_argument("pickle: not a state of velum.he");
        return HeldParameters(load_parameters(state[0].cast<py::buffer>(), false));
      }));
  def_copies_are_itself(parameters);

  using Builder = HeldBuilder;
  py::class_<Builder> builder(module, "ParametersBuilder",
                              "Chooses the primes of a scheme. Every setter returns the builder; "
                              "build() checks all of it.");
  builder.def(py::init<>());
  const auto setter = [&](const char* name, auto set, const char* doc) {
    builder.def(
        name,
        [set](py::object self, typename SetterValue<decltype(set)>::type value) {
          (self.cast<Builder&>().settings.*set)(value);
          return self;
        },
        py::arg("value"), doc);
  };
  setter("log_n", &ParametersBuilder::log_n, "log2 of the ring degree, 10 to 17. Required.");
  setter("scale_bits", &ParametersBuilder::scale_bits,
         "CKKS: log2 of the scale, 20 to 29 or 36 to 58. Required.");
  setter("depth", &ParametersBuilder::depth, "CKKS: how often one can rescale, 0 to 60.");
  setter("base_bits", &ParametersBuilder::base_bits,
         "CKKS: log2 of what is left at level 0; default scale_bits + 10.");
  setter("plaintext_modulus", &ParametersBuilder::plaintext_modulus,
         "Makes parameters of BFV: integers modulo this, 2 to 2**60.");
  setter("modulus_bits", &ParametersBuilder::modulus_bits,
         "BFV: log2 of the modulus of a fresh ciphertext, 20 to 3523. Required.");
  setter("parties", &ParametersBuilder::parties,
         "For keys that up to so many parties hold together (velum.he.threshold), 1 to 1024.");
  setter("dnum", &ParametersBuilder::dnum, "Digits of key switching at the highest level.");
  builder.def(
      "security",
      [](py::object self, int bits) {
        self.cast<Builder&>().settings.security(security_level("security", bits));
        return self;
      },
      py::arg("bits"), "128, 192 or 256.");
  builder.def(
      "without_key_switching",
      [](py::object self) {
        self.cast<Builder&>().settings.without_key_switching();
        return self;
      },
      "No relinearisation and no rotation: sums, and products with plaintexts.");
  builder.def(
      "insecure_without_security_check",
      [](py::object self) {
        self.cast<Builder&>().settings.insecure_without_security_check();
        return self;
      },
      "For tests: the security table is not enforced, and the parameters say so.");
  builder.def(
      "build",
      [](const Builder& self) {
        const ParametersBuilder settings = self.settings;
        return HeldParameters(without_gil([&] { return settings.build(); }));
      },
      "The parameters.\n\nRaises:\n    ValueError: if a setting is missing or out of range, or "
      "the result is not secure.");
}

void bind_context(py::module_& module) {
  py::class_<HeldContext> context(
      module, "Context",
      "Parameters with the tables that computing needs, and where work runs. Contexts of the same\n"
      "parameters and device share their tables, and their objects mix.");
  context.def(
      py::init([](const HeldParameters& parameters, int threads, const std::string& device) {
        const Parameters kept = parameters.get();
        return HeldContext(without_gil([&] { return make_session(kept, threads, device); }));
      }),
      py::arg("parameters"), py::kw_only(), py::arg("threads") = 1, py::arg("device") = "cpu",
      "Args:\n"
      "    parameters: of the scheme.\n"
      "    threads: that the CPU may use. With more than one, a process that forks must not go on\n"
      "        computing in the child: use the start method 'spawn'.\n"
      "    device: 'cpu', 'cuda' or 'cuda:<index>'.\n\n"
      "Raises:\n"
      "    ValueError: if an argument is out of range.\n"
      "    BackendUnavailable: for CUDA, in a build without it.");
  context.def_property_readonly(
      "parameters",
      [](const HeldContext& held) {
        return HeldParameters(session_of(held)->context->parameters());
      },
      "The Parameters.");
  context.def_property_readonly(
      "threads", [](const HeldContext& held) { return session_of(held)->threads; },
      "Threads that the CPU may use.");
  context.def_property_readonly(
      "device", [](const HeldContext& held) { return session_of(held)->device; },
      "'cpu', 'cuda' or 'cuda:<index>'.");
  context.def("__eq__", [](const HeldContext& a, const py::object& b) {
    return py::isinstance<HeldContext>(b) &&
           session_of(a)->context == session_of(b.cast<const HeldContext&>())->context;
  });
  context.def("__hash__", [](const HeldContext& held) {
    return std::hash<const he::Context*>()(session_of(held)->context.get());
  });
  context.def("__repr__", [](const HeldContext& held) {
    return "<velum.he.Context on " + session_of(held)->device + " of\n" +
           session_of(held)->context->parameters().to_string() + ">";
  });
  context.def(py::pickle(
      [](const HeldContext& held) {
        const Session& session = *session_of(held);
        check_pickle(session.context->parameters());
        return py::make_tuple(bytes_of_parameters(session.context->parameters()), session.threads,
                              session.device);
      },
      [](const py::tuple& state) {
        if (state.size() != 3) throw std::invalid_argument("pickle: not a state of velum.he");
        const Parameters parameters = load_parameters(state[0].cast<py::buffer>(), false);
        const auto threads = state[1].cast<int>();
        const auto device = state[2].cast<std::string>();
        return HeldContext(without_gil([&] { return make_session(parameters, threads, device); }));
      }));
  def_copies_are_itself(context);
}

template <typename T, typename Class>
void def_id(Class& cls) {
  cls.def_property_readonly(
      "id", [](const Held<T>& held) { return he::to_string(value(held).id()); },
      "32 hexadecimal digits that name the secret key in public.");
}

/// id, context, history, vouch_for_history, bytes and pickles of a public key of any kind.
template <typename T, typename Class, typename KeyOf, typename Load>
void def_public_key(Class& cls, const KeyOf& key_of, const Load& load) {
  cls.def_property_readonly(
      "id", [key_of](const Held<T>& held) { return he::to_string(key_of(value(held)).id()); },
      "32 hexadecimal digits that name the secret key in public.");
  def_context<T>(cls);
  cls.def_property_readonly(
      "history",
      [key_of](const Held<T>& held) { return history_name(key_of(value(held)).history()); },
      kHistory);
  cls.def(
      "vouch_for_history",
      [key_of](Held<T>& held) {
        vouch_alone(held, "vouch_for_history", [&](T& key) { key_of(key).vouch_for_history(); });
      },
      kVouchForKey);
  def_serialization<T>(
      cls,
      [](std::ostream& out, const T& key, const Stream& stream) { he::save(out, key, stream); },
      load);
  def_copies_are_itself(cls);
}

[[noreturn]] void refuse_pickling_secret() {
  throw py::type_error(
      "SecretKey: a secret key is not pickled or copied by accident; its owner saves it with "
      "to_bytes_unencrypted() and loads it with SecretKey.from_bytes_unencrypted(context, data)");
}

void bind_secret_key(py::module_& module) {
  py::class_<Held<SecretKey>> key(
      module, "SecretKey",
      "A ternary secret: decrypts everything. Wiped when it goes, never printed, and neither\n"
      "pickled nor copied: to_bytes_unencrypted() is the one way out.");
  def_id<SecretKey>(key);
  def_context<SecretKey>(key);
  key.def(
      "to_bytes_unencrypted",
      [](const Held<SecretKey>& held) {
        const std::shared_ptr<SecretKey> kept = pointer(held);
        const std::shared_ptr<const Session> session = session_of(held);
        return bytes_of(he::serialized_size(*kept), [&](std::ostream& out) {
          he::save_secret_key_unencrypted(out, *kept, session->stream);
        });
      },
      "The secret itself, for its owner alone: whoever reads the bytes can decrypt everything.\n"
      "Nothing encrypts them, and Python does not wipe them.");
  key.def_static(
      "from_bytes_unencrypted",
      [](const HeldContext& context, const py::buffer& data,
         const std::optional<std::string>& expected_key) {
        const std::shared_ptr<const Session> session = session_of(context);
        const he::LoadOptions options = load_options(expected_key);
        return hold(session, from_bytes(data, [&](std::istream& in) {
                      return he::load_secret_key_unencrypted(in, session->context, session->stream,
                                                             options);
                    }));
      },
      py::arg("context"), py::arg("data"), py::kw_only(), py::arg("expected_key") = py::none(),
      "Loads what to_bytes_unencrypted wrote. Raises SerializationError.");
  for (const char* name : {"__getstate__", "__reduce__", "__copy__"})
    key.def(name, [](const Held<SecretKey>&) -> py::object { refuse_pickling_secret(); });
  for (const char* name : {"__reduce_ex__", "__deepcopy__"}) {
    key.def(
        name,
        [](const Held<SecretKey>&, const py::object&) -> py::object { refuse_pickling_secret(); },
        py::arg("value"));
  }
}

void bind_keys(py::module_& module) {
  bind_secret_key(module);
  py::class_<Held<PublicKey>> public_key(module, "PublicKey",
                                         "Encrypts; for anybody. Saved as a seed and a half.");
  def_public_key<PublicKey>(
      public_key, [](auto& key) -> auto& { return key; },
      [](auto& in, auto& context, auto& stream, auto& options) {
        return he::load_public_key(in, context, stream, options);
      });
  py::class_<Held<KeySwitchingKey>> switching(
      module, "KeySwitchingKey",
      "Turns ciphertexts of one secret key into ciphertexts of another one.");
  def_public_key<KeySwitchingKey>(
      switching, [](auto& key) -> auto& { return key; },
      [](auto& in, auto& context, auto& stream, auto& options) {
        return he::load_key_switching_key(in, context, stream, options);
      });
  py::class_<Held<RelinearizationKey>> relinearization(
      module, "RelinearizationKey",
      "Brings products back to two polynomials; for whoever computes.");
  def_public_key<RelinearizationKey>(
      relinearization, [](auto& key) -> auto& { return key.key; },
      [](auto& in, auto& context, auto& stream, auto& options) {
        return he::load_relinearization_key(in, context, stream, options);
      });

  py::class_<Held<GaloisKeys>> galois(module, "GaloisKeys",
                                      "For rotations of slots; for whoever computes.");
  def_context<GaloisKeys>(galois);
  galois.def_property_readonly(
      "id",
      [](const Held<GaloisKeys>& held) -> std::optional<std::string> {
        const GaloisKeys& keys = value(held);
        if (keys.keys.empty()) return std::nullopt;
        return he::to_string(keys.keys.begin()->second.id());
      },
      "32 hexadecimal digits that name the secret key in public; None if there are no keys.");
  galois.def(
      "__len__", [](const Held<GaloisKeys>& held) { return value(held).keys.size(); },
      "How many keys.");
  galois.def_property_readonly(
      "elements",
      [](const Held<GaloisKeys>& held) {
        std::vector<std::uint32_t> elements;
        for (const auto& [element, key] : value(held).keys) elements.push_back(element);
        return elements;
      },
      "The Galois elements g of X -> X^g, rising.");
  galois.def(
      "has_rotation",
      [](const Held<GaloisKeys>& held, std::int64_t steps) {
        return value(held).has(
            he::galois_element_of_rotation(session_of(held)->context->parameters().log_n(), steps));
      },
      py::arg("steps"), "Whether there is a key for this rotation.");
  galois.def_property_readonly(
      "history",
      [](const Held<GaloisKeys>& held) {
        he::History history = he::History::kKnown;
        for (const auto& [element, key] : value(held).keys)
          history = he::combined(history, key.history());
        return history_name(history);
      },
      kHistory);
  galois.def(
      "vouch_for_history",
      [](Held<GaloisKeys>& held) {
        vouch_alone(held, "vouch_for_history", [](GaloisKeys& keys) {
          for (auto& [element, key] : keys.keys) key.vouch_for_history();
        });
      },
      kVouchForKey);
  def_serialization<GaloisKeys>(
      galois,
      [](std::ostream& out, const GaloisKeys& keys, const Stream& stream) {
        he::save(out, keys, stream);
      },
      [](auto& in, auto& context, auto& stream, auto& options) {
        return he::load_galois_keys(in, context, stream, options);
      });
  def_copies_are_itself(galois);
}

void bind_key_generator(py::module_& module) {
  py::class_<Randomness, std::shared_ptr<Randomness>> randomness(
      module, "Randomness", "Where keys, encryptions and flooding take their randomness from.");
  randomness.def_static("secure", &Randomness::secure, "The operating system: the default.");
  randomness.def_static(
      "insecure_from_seed", &Randomness::insecure_from_seed, py::arg("seed"),
      "A sequence that whoever knows the seed can compute: for tests, never for a secret.");

  py::class_<Held<KeyGenerator>> generator(
      module, "KeyGenerator",
      "Makes keys, each from its own randomness; errors of standard deviation 3.19.");
  generator.def(py::init([](const HeldContext& context,
                            const std::optional<std::shared_ptr<Randomness>>& source) {
                  return hold(session_of(context), KeyGenerator(session_of(context)->context,
                                                                randomness_or_secure(source)));
                }),
                py::arg("context"), py::arg("randomness") = py::none());
  generator.def(
      "secret_key",
      [](const Held<KeyGenerator>& self) {
        return call_held([](auto& g, auto& s) { return g.secret_key(s); }, self);
      },
      "A new SecretKey with uniform ternary coefficients.");
  generator.def(
      "fixed_weight_secret_key_insecure",
      [](const Held<KeyGenerator>& self, std::int64_t weight) {
        return call_held(
            [&](auto& g, auto& s) { return g.fixed_weight_secret_key_insecure(weight, s); }, self);
      },
      py::arg("weight"),
      "A secret with so many coefficients that are not 0; no table holds for it.");
  generator.def(
      "public_key",
      [](const Held<KeyGenerator>& self, const Held<SecretKey>& secret) {
        return call_held([](auto& g, auto& k, auto& s) { return g.public_key(k, s); }, self,
                         secret);
      },
      py::arg("secret_key"), "A PublicKey.");
  generator.def(
      "relinearization_key",
      [](const Held<KeyGenerator>& self, const Held<SecretKey>& secret) {
        return call_held([](auto& g, auto& k, auto& s) { return g.relinearization_key(k, s); },
                         self, secret);
      },
      py::arg("secret_key"), "A RelinearizationKey.");
  generator.def(
      "galois_keys",
      [](const Held<KeyGenerator>& self, const Held<SecretKey>& secret,
         const std::vector<std::int64_t>& steps, bool conjugation) {
        return call_held(
            [&](auto& g, auto& k, auto& s) { return g.galois_keys(k, steps, conjugation, s); },
            self, secret);
      },
      py::arg("secret_key"), py::arg("steps"), py::arg("conjugation") = false,
      "GaloisKeys for rotations by these numbers of slots, and for conjugation (of BFV: for\n"
      "rotate_columns).");
  generator.def(
      "galois_keys_of_elements",
      [](const Held<KeyGenerator>& self, const Held<SecretKey>& secret,
         const std::vector<std::uint32_t>& elements) {
        return call_held(
            [&](auto& g, auto& k, auto& s) { return g.galois_keys_of_elements(k, elements, s); },
            self, secret);
      },
      py::arg("secret_key"), py::arg("elements"),
      "GaloisKeys for X -> X^g, each g odd and in [3, 2 N).");
  generator.def(
      "key_switching_key",
      [](const Held<KeyGenerator>& self, const Held<SecretKey>& from, const Held<SecretKey>& to) {
        return call_held(
            [](auto& g, auto& f, auto& t, auto& s) { return g.key_switching_key(f, t, s); }, self,
            from, to);
      },
      py::arg("from_key"), py::arg("to_key"),
      "A KeySwitchingKey: whoever holds it can turn ciphertexts of the one into those of the\n"
      "other.");
}

}  // namespace

SecurityLevel security_level(const char* function, int bits) {
  for (const SecurityLevel level : {SecurityLevel::k128, SecurityLevel::k192, SecurityLevel::k256})
    if (static_cast<int>(level) == bits) return level;
  refuse(function, "security = " + std::to_string(bits) + ", expected 128, 192 or 256");
}

Stream stream_of(int threads, const std::string& device) {
  constexpr int kMostThreads = 1024;
  if (threads < 1 || threads > kMostThreads) {
    refuse("Context", "threads = " + std::to_string(threads) + ", expected 1 to " +
                          std::to_string(kMostThreads));
  }
  if (device == "cpu") return threads == 1 ? Stream::serial() : Stream::cpu(threads);
  if (device == "cuda") return Stream::cuda(nullptr, 0);
  constexpr std::string_view kPrefix = "cuda:";
  const std::string index = device.substr(std::min(device.size(), kPrefix.size()));
  if (device.compare(0, kPrefix.size(), kPrefix) != 0 || index.empty() || index.size() > 3 ||
      !std::all_of(index.begin(), index.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    refuse("Context", "device = '" + device + "', expected 'cpu', 'cuda' or 'cuda:<index>'");
  }
  return Stream::cuda(nullptr, std::stoi(index));
}

std::shared_ptr<const Session> make_session(const Parameters& parameters, int threads,
                                            const std::string& device) {
  static LiveContexts contexts;
  const Stream stream = stream_of(threads, device);
  return std::make_shared<const Session>(contexts.get(parameters, stream), stream, threads, device);
}

py::array as_array(const py::object& values) {
  const py::object array = py::module_::import("numpy").attr("asarray")(values);
  return py::reinterpret_borrow<py::array>(array);
}

namespace {

[[noreturn]] void refuse_type(const char* function, const char* name, const py::array& array,
                              const char* expected) {
  throw py::type_error(std::string(function) + ": " + name + " is of type " +
                       py::str(array.dtype()).cast<std::string>() + ", expected " + expected);
}

}  // namespace

bool is_complex(const py::array& array) { return array.dtype().kind() == 'c'; }

void check_real(const char* function, const char* name, const py::array& array) {
  const char kind = array.dtype().kind();
  if (kind != 'f' && kind != 'i' && kind != 'u' && kind != 'b')
    refuse_type(function, name, array, "real numbers");
}

void check_integers(const char* function, const char* name, const py::array& array) {
  const char kind = array.dtype().kind();
  if (kind != 'i' && kind != 'u' && kind != 'b')
    refuse_type(function, name, array, "integers of at most 64 bits");
}

Int32Array int32_of(const char* function, const char* name, const py::object& values) {
  const py::array array = as_array(values);
  check_dimensions(function, name, array, 1);
  if (!py::isinstance<py::array_t<std::int32_t>>(array))
    refuse_type(function, name, array, "int32");
  return Int32Array(array);
}

void check_dimensions(const char* function, const char* name, const py::array& array,
                      int dimensions) {
  if (array.ndim() == dimensions) return;
  refuse(function, std::string(name) + " has " + std::to_string(array.ndim()) +
                       " dimensions, expected " + std::to_string(dimensions));
}

std::string history_name(he::History history) {
  return history == he::History::kKnown ? "known" : "unknown";
}

he::KeyId key_id_of(const std::string& text) {
  he::KeyId id{};
  const bool right =
      text.size() == 2 * id.size() && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
      });
  if (!right) refuse("expected_key", "'" + text + "', expected 32 hexadecimal digits, as `id`");
  for (std::size_t i = 0; i < id.size(); ++i)
    id[i] = static_cast<std::uint8_t>(std::stoi(text.substr(2 * i, 2), nullptr, 16));
  return id;
}

he::LoadOptions load_options(const std::optional<std::string>& expected_key) {
  he::LoadOptions options;
  if (expected_key) options.expected_key = key_id_of(*expected_key);
  return options;
}

std::shared_ptr<Randomness> randomness_or_secure(
    const std::optional<std::shared_ptr<Randomness>>& randomness) {
  return randomness && *randomness != nullptr ? *randomness : Randomness::secure();
}

void check_pickle(const Parameters& parameters) {
  if (parameters.security()) return;
  throw std::invalid_argument(
      std::string("pickle: the parameters were built without the security table, and a pickle "
                  "would not say so; save them with to_bytes() and load them with Parameters.") +
      kLoadInsecure);
}

void bind_he(py::module_& parent) {
  py::module_ module = parent.def_submodule(
      "he", "Homomorphic encryption: CKKS in this module, BFV in `bfv`. Documented in velum.he.");
  py::register_exception<he::SerializationError>(module, "SerializationError", PyExc_RuntimeError)
      .doc() = "Damaged, foreign or truncated bytes.";
  module.def("ckks_encode", &ckks_encode, py::arg("values"), py::arg("scale"),
             py::arg("ring_degree"));
  module.def("ckks_decode", &ckks_decode, py::arg("coefficients"), py::arg("scale"));
  bind_parameters(module);
  bind_context(module);
  bind_keys(module);
  bind_key_generator(module);
  bind_he_ckks(module);
  py::module_ bfv =
      module.def_submodule("bfv", "BFV: exact integers modulo t. Documented in velum.he.bfv.");
  bind_he_bfv(bfv);
  bind_he_vectors(module, bfv);
  py::module_ threshold = module.def_submodule(
      "threshold", "Keys that several hold together. Documented in velum.he.threshold.");
  bind_he_threshold(threshold);
  py::module_ aggregation = module.def_submodule(
      "aggregation",
      "Exact sums of vectors that nobody shows. Documented in velum.he.aggregation.");
  bind_he_aggregation(aggregation);
  bind_he_protocol(aggregation);
}

}  // namespace velum::python
