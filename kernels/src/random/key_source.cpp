#include "velum/kernels/random/key_source.h"

#include <string.h>  // explicit_bzero
#include <sys/random.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "random/entropy.h"
#include "velum/kernels/random/chacha20.h"

namespace velum::kernels {
namespace {

/// Key-sized memory that is overwritten when its scope ends, however it ends.
class WipedBytes {
 public:
  WipedBytes() = default;
  WipedBytes(const WipedBytes&) = delete;
  WipedBytes& operator=(const WipedBytes&) = delete;
  ~WipedBytes() { ::explicit_bzero(bytes_, sizeof bytes_); }
  unsigned char* data() { return bytes_; }
  static constexpr std::size_t size() { return sizeof(RandomKey::words); }

 private:
  unsigned char bytes_[sizeof(RandomKey::words)] = {};
};

}  // namespace

RandomKey random_key_from(const EntropySource& source) {
  WipedBytes bytes;
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    errno = 0;
    const ssize_t got = source(bytes.data() + filled, bytes.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      throw std::system_error(errno, std::generic_category(), "secure_random_key: getrandom");
    }
    if (got == 0 || static_cast<std::size_t>(got) > bytes.size() - filled) {
      throw std::system_error(EIO, std::generic_category(),
                              "secure_random_key: getrandom returned " + std::to_string(got) +
                                  " bytes, expected 1 to " + std::to_string(bytes.size() - filled));
    }
    filled += static_cast<std::size_t>(got);
  }
  RandomKey key;
  std::memcpy(key.words.data(), bytes.data(), bytes.size());
  return key;
}

RandomKey secure_random_key() {
  return random_key_from(
      [](void* bytes, std::size_t length) { return ::getrandom(bytes, length, 0); });
}

RandomKey insecure_key_from_seed(std::uint64_t seed) {
  // The seed and a label fill the whole key, so distinct seeds are distinct keys.
  return {{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32),  //
           0x65736e69, 0x65727563, 0x65657320, 0x6f662064, 0x65742072, 0x20737473}};
}

void wipe(RandomKey& key) { ::explicit_bzero(key.words.data(), sizeof key.words); }

}  // namespace velum::kernels
