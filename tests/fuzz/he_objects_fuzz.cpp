// What he_gpu reads from outside: objects of every kind, each by the loader of the kind that it
// names. The hashes of an input are set right first (and in one of eight inputs left as they are),
// so that what stands behind the hash is reached.
#include <openssl/sha.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <istream>
#include <memory>
#include <ostream>
#include <streambuf>
#include <vector>

#include "velum/he/bfv/serialization.h"
#include "velum/he/serialization.h"
#include "velum/he/threshold/serialization.h"

namespace he = velum::he;
using velum::kernels::Stream;

namespace {

constexpr std::size_t kHeaderBytes = 128, kHashBytes = 32;

/// The ring of tests/fuzz/corpus/he_objects.
const std::shared_ptr<const he::Context>& context() {
  static const auto instance = he::Context::create(he::ParametersBuilder()
                                                       .log_n(4)
                                                       .scale_bits(20)
                                                       .depth(1)
                                                       .dnum(2)
                                                       .insecure_without_security_check()
                                                       .build(),
                                                   Stream::serial());
  return instance;
}

const std::shared_ptr<const he::Context>& bfv_context() {
  static const auto instance = he::Context::create(he::ParametersBuilder()
                                                       .log_n(4)
                                                       .plaintext_modulus(257)
                                                       .modulus_bits(60)
                                                       .dnum(2)
                                                       .insecure_without_security_check()
                                                       .build(),
                                                   Stream::serial());
  return instance;
}

/// That of tests/he_gpu/write_objects.cpp.
const he::threshold::Group& group() {
  static const he::threshold::Group instance(
      he::Context::create(he::ParametersBuilder()
                              .log_n(4)
                              .plaintext_modulus(97)
                              .modulus_bits(60)
                              .dnum(2)
                              .parties(3)
                              .insecure_without_security_check()
                              .build(),
                          Stream::serial()),
      {3, 2, {.statistical_bits = 10}}, {{1, 2, 3, 4, 5, 6, 7, 8}});
  return instance;
}

class Source final : public std::streambuf {
 public:
  Source(std::uint8_t* data, std::size_t size) {
    char* const begin = reinterpret_cast<char*>(data);
    setg(begin, begin, begin + size);
  }
  std::size_t taken() const { return static_cast<std::size_t>(gptr() - eback()); }
};

class Sink final : public std::streambuf {
 public:
  std::vector<std::uint8_t> bytes;

 private:
  std::streamsize xsputn(const char* data, std::streamsize size) override {
    const auto* const first = reinterpret_cast<const std::uint8_t*>(data);
    bytes.insert(bytes.end(), first, first + size);
    return size;
  }
  int_type overflow(int_type byte) override {
    bytes.push_back(static_cast<std::uint8_t>(byte));
    return byte;
  }
};

void require(bool holds) {
  if (!holds) std::abort();
}

/// The hash of the object at `begin` that is `size` bytes long with it.
void set_hash(std::vector<std::uint8_t>& input, std::size_t begin, std::size_t size) {
  if (size < kHashBytes || begin + size > input.size()) return;
  SHA256(input.data() + begin, size - kHashBytes, input.data() + begin + size - kHashBytes);
}

/// Loads; what was accepted is, saved again, what was read.
template <typename Load, typename Save>
void check(std::vector<std::uint8_t>& input, const Load& load, const Save& save) {
  Source source(input.data(), input.size());
  std::istream in(&source);
  try {
    const auto object = load(in);
    Sink sink;
    std::ostream out(&sink);
    save(out, object);
    require(sink.bytes.size() == source.taken());
    require(std::equal(sink.bytes.begin(), sink.bytes.end(), input.begin()));
  } catch (const he::SerializationError&) {
  }
}

/// Groups and what belongs to them; whatever has no kind is tried as one.
void check_threshold(unsigned kind, std::vector<std::uint8_t>& input) {
  using namespace he::threshold;
  const Stream stream = Stream::serial();
  const auto save_message = [&](std::ostream& out, const auto& message) {
    save(out, message, stream);
  };
  const auto message = [&](const auto& load) {
    check(
        input, [&](std::istream& in) { return load(in, group(), stream); }, save_message);
  };
  switch (kind) {
    default:
      check(
          input, [&](std::istream& in) { return load_group(in, group().context(), stream); },
          [&](std::ostream& out, const Group& loaded) { save(out, loaded); });
      break;
    case 16:
      return message(load_public_key_share);
    case 17:
      return message(load_relinearization_share_one);
    case 18:
      return message(load_relinearization_round_one);
    case 19:
      return message(load_relinearization_share_two);
    case 20:
      return message(load_galois_key_share);
    case 21:
      return message(load_decryption_share);
    case 22:
      check(
          input,
          [&](std::istream& in) { return load_secret_share_unencrypted(in, group(), stream); },
          [&](std::ostream& out, const SecretShare& share) {
            save_secret_share_unencrypted(out, share, stream);
          });
      break;
    case 23:
      check(
          input,
          [&](std::istream& in) {
            return load_party_unencrypted(in, group(), once_register_that_forgets_on_restart(),
                                          stream);
          },
          [&](std::ostream& out, const Party& party) {
            save_party_unencrypted(out, party, stream);
          });
      break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::uint8_t> input(data, data + size);
  const Stream stream = Stream::serial();
  const unsigned kind = size < kHeaderBytes ? 0 : data[12];
  const auto save = [&](std::ostream& out, const auto& object) { he::save(out, object, stream); };
  const auto save_bfv = [&](std::ostream& out, const auto& object) {
    he::bfv::save(out, object, stream);
  };
  if (size == 0 || data[size - 1] % 8 != 0) {
    if (kind == 9) {  // a header, then keys of equal sizes
      const std::size_t first = kHeaderBytes + kHashBytes;
      const std::size_t keys = (size - std::min(size, first));
      const std::size_t count = std::max<std::size_t>(data[68], 1);
      set_hash(input, 0, first);
      for (std::size_t i = 0; i < count && keys >= count; ++i)
        set_hash(input, first + i * (keys / count), keys / count);
    } else {
      set_hash(input, 0, size);
    }
  }
  switch (kind) {
    case 1:
    case 11: {
      const auto save_parameters = [](std::ostream& out, const he::Parameters& parameters) {
        he::save(out, parameters);
      };
      check(input, he::load_parameters, save_parameters);
      check(input, he::load_parameters_insecure_without_security_check, save_parameters);
      break;
    }
    case 2:
      check(
          input, [&](std::istream& in) { return he::load_plaintext(in, context(), stream); }, save);
      break;
    case 3:
      check(
          input, [&](std::istream& in) { return he::load_ciphertext(in, context(), stream); },
          save);
      break;
    case 4:
      check(
          input,
          [&](std::istream& in) { return he::load_seeded_ciphertext(in, context(), stream); },
          save);
      break;
    case 5:
      check(
          input, [&](std::istream& in) { return he::load_public_key(in, context(), stream); },
          save);
      break;
    case 6:
      check(
          input,
          [&](std::istream& in) { return he::load_key_switching_key(in, context(), stream); },
          save);
      break;
    case 7:
      check(
          input,
          [&](std::istream& in) { return he::load_relinearization_key(in, context(), stream); },
          save);
      break;
    case 8:
      check(
          input, [&](std::istream& in) { return he::load_galois_key(in, context(), stream); },
          [&](std::ostream& out, const auto& pair) {
            he::save_galois_key(out, pair.first, pair.second, stream);
          });
      break;
    case 9:
      check(
          input, [&](std::istream& in) { return he::load_galois_keys(in, context(), stream); },
          save);
      break;
    case 10:
      check(
          input,
          [&](std::istream& in) { return he::load_secret_key_unencrypted(in, context(), stream); },
          [&](std::ostream& out, const he::SecretKey& key) {
            he::save_secret_key_unencrypted(out, key, stream);
          });
      break;
    case 12:
      check(
          input,
          [&](std::istream& in) { return he::bfv::load_plaintext(in, bfv_context(), stream); },
          save_bfv);
      break;
    case 13:
      check(
          input,
          [&](std::istream& in) { return he::bfv::load_ciphertext(in, bfv_context(), stream); },
          save_bfv);
      break;
    case 14:
      check(
          input,
          [&](std::istream& in) {
            return he::bfv::load_seeded_ciphertext(in, bfv_context(), stream);
          },
          save_bfv);
      break;
    default:
      check_threshold(kind, input);
      break;
  }
  return 0;
}
