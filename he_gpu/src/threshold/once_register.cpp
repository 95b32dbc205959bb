#include "velum/he/threshold/once_register.h"

#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>

namespace velum::he::threshold {

OnceRegister once_register_that_forgets_on_restart() {
  struct Entries {
    std::mutex mutex;
    std::set<std::pair<std::string, Digest>> claimed;
  };
  return [entries = std::make_shared<Entries>()](std::string_view domain, const Digest& digest) {
    const std::lock_guard lock(entries->mutex);
    return entries->claimed.emplace(domain, digest).second;
  };
}

void claim_once(const OnceRegister& once, const char* function, std::string_view domain,
                const Digest& digest, std::string_view what) {
  if (once(domain, digest)) return;
  throw AlreadyUsed(std::string(function) + ": " + std::string(what) +
                    " was made before, and a second one could give the secret away");
}

}  // namespace velum::he::threshold
