// What a ledger reads from outside: exports, foreign releases, event bodies, heads.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string_view>

#include "ledger/books.h"
#include "velum/dpsgd/ledger/ledger.h"

namespace dpsgd = velum::dpsgd;

namespace {

/// Refusing is fine, in one way only.
template <typename Function>
void may_refuse(const Function& function) {
  try {
    function();
  } catch (const std::invalid_argument&) {
  }
}

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  may_refuse([&] { dpsgd::detail::parse_export(text); });
  for (const auto relation :
       {dpsgd::Neighbouring::kAddOrRemoveOne, dpsgd::Neighbouring::kReplaceOne}) {
    may_refuse([&] { require(!dpsgd::parse_foreign_releases(text, relation).empty()); });
  }
  may_refuse([&] { require(dpsgd::LedgerHead::from_string(text).to_string() == text); });
  for (const char* kind :
       {"ledger", "data_set", "budget", "run", "reserve", "return", "note", "claim"}) {
    may_refuse([&] {
      const dpsgd::LedgerEntry entry = dpsgd::parse_entry(kind, text);
      require(dpsgd::event_kind(entry) == kind);
      // Written again, it says the same; the text may differ in how numbers are spelt.
      const std::string body = dpsgd::event_body(entry);
      require(dpsgd::event_body(dpsgd::parse_entry(kind, body)) == body);
    });
  }
  return 0;
}
