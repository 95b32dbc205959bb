#include "velum/dpsgd/accounting/release_guard.h"

#include <algorithm>
#include <array>

namespace velum::dpsgd {
namespace {

constexpr std::array<std::string_view, 4> kExampleUnits{"record", "example", "sample", "image"};

[[noreturn]] void refuse(std::string_view function, const std::string& text) {
  throw std::invalid_argument(std::string(function) + ": release_guard keeps books " + text);
}

}  // namespace

bool is_one_example(std::string_view unit) {
  return std::find(kExampleUnits.begin(), kExampleUnits.end(), unit) != kExampleUnits.end();
}

void require_books_for(const ReleaseGuard* guard, Neighbouring neighbouring, std::string_view unit,
                       std::string_view function) {
  if (guard == nullptr) return;
  const std::optional<Neighbouring> kept_for = guard->neighbouring();
  if (kept_for.has_value() && *kept_for != neighbouring) {
    refuse(function, "for " + to_string(*kept_for) + ", expected " + to_string(neighbouring) +
                         ": the same noise is another multiplier there; enter it in a data set "
                         "kept for " +
                         to_string(neighbouring));
  }
  const std::optional<std::string> about = guard->unit();
  if (!about.has_value() || is_one_example(*about) == is_one_example(unit)) return;
  if (is_one_example(unit)) {
    refuse(function, "about one " + *about + ", expected one " + std::string(unit) +
                         ": what bounds single examples promises nothing to a " + *about +
                         " who has several; bound all examples of a " + *about +
                         " together, or enter it in a data set whose unit is the record");
  }
  refuse(function, "about one " + *about + ", expected one " + std::string(unit) +
                       ": the release bounds all examples of a " + std::string(unit) +
                       " together; enter it in a data set whose unit is the " + std::string(unit));
}

}  // namespace velum::dpsgd
