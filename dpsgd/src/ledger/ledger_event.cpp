#include "velum/dpsgd/ledger/ledger_event.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "accounting/range_check.h"
#include "ledger/event_text.h"
#include "velum/dpsgd/accounting/accountant.h"

namespace velum::dpsgd {
namespace detail {

using nlohmann::json;

namespace {

constexpr int kFormat = 1;
constexpr std::size_t kLargestText = 4096;
constexpr std::size_t kLargestId = 64;
constexpr int kLargestDepth = 16;

[[noreturn]] void reject_text(std::string_view function, std::string_view name,
                              std::string_view value, std::string_view expected) {
  std::string shown;
  // A value that is not UTF-8 must not spoil the message.
  for (const char c : value.substr(0, kLargestId)) shown += c >= ' ' && c <= '~' ? c : '?';
  throw std::invalid_argument(std::string(function) + ": " + std::string(name) + " = " + shown +
                              (value.size() > kLargestId ? "..." : "") + ", expected " +
                              std::string(expected));
}

/// Length of the UTF-8 sequence at the start, 0 if there is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const auto follows = [&](std::size_t i) { return (byte(i) & 0xc0u) == 0x80u; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const unsigned second = byte(1);
    const bool overlong = first == 0xe0 && second < 0xa0;
    const bool surrogate = first == 0xed && second > 0x9f;
    return follows(1) && follows(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const unsigned second = byte(1);
    const bool outside = (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
    return follows(1) && follows(2) && follows(3) && !outside ? 4 : 0;
  }
  return 0;
}

json read_canonical(std::string_view body) {
  json object = parse_json(body);
  if (object.dump() != body) {
    throw std::invalid_argument(
        "the body is not canonical JSON: keys sorted and not repeated, no spaces");
  }
  return object;
}

void require_keys(const json& object, std::initializer_list<const char*> keys) {
  if (!object.is_object()) throw std::invalid_argument("the body is not an object");
  for (const char* key : keys) {
    if (!object.contains(key)) {
      throw std::invalid_argument("the body has no key \"" + std::string(key) + "\"");
    }
  }
  if (object.size() != keys.size()) throw std::invalid_argument("the body has an unknown key");
}

std::string text(const json& object, const char* key) {
  const json& value = object.at(key);
  if (!value.is_string()) throw std::invalid_argument(std::string(key) + " is not a string");
  return value.get<std::string>();
}

double number(const json& object, const char* key) {
  const json& value = object.at(key);
  if (!value.is_number()) throw std::invalid_argument(std::string(key) + " is not a number");
  return value.get<double>();
}

std::int64_t integer(const json& object, const char* key) {
  const json& value = object.at(key);
  const bool fits =
      value.is_number_integer() &&
      (!value.is_number_unsigned() ||
       value.get<std::uint64_t>() <= std::uint64_t{std::numeric_limits<std::int64_t>::max()});
  if (!fits) throw std::invalid_argument(std::string(key) + " is not an integer of 64 bits");
  return value.get<std::int64_t>();
}

Neighbouring neighbouring_from(const std::string& name) {
  for (const Neighbouring n : {Neighbouring::kAddOrRemoveOne, Neighbouring::kReplaceOne}) {
    if (name == to_string(n)) return n;
  }
  reject_text("ledger", "neighbouring", name, "add-or-remove-one or replace-one");
}

void put_integer(std::string& bytes, std::int64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) {
    bytes += static_cast<char>(static_cast<std::uint64_t>(value) >> shift & 0xff);
  }
}

json budget_json(const Budget& budget) {
  return {{"epsilon", budget.epsilon}, {"delta", budget.delta}, {"accountant", budget.accountant}};
}

Budget budget_from(const json& object) {
  require_keys(object, {"epsilon", "delta", "accountant"});
  return {number(object, "epsilon"), number(object, "delta"), text(object, "accountant")};
}

// --- kinds ------------------------------------------------------------------------------------

json to_body(const LedgerCreated& entry) {
  return {{"format", kFormat}, {"ledger_id", entry.ledger_id}};
}

json to_body(const DataSetAdded& entry) {
  const DataSet& set = entry.data_set;
  return {{"data_set", set.id},
          {"unit", set.unit},
          {"neighbouring", to_string(set.neighbouring)},
          {"public_size", set.public_size ? json(*set.public_size) : json(nullptr)},
          {"budget", budget_json(set.budget)},
          {"description", set.description},
          {"actor", entry.actor}};
}

json to_body(const BudgetChanged& entry) {
  return {{"data_set", entry.data_set},
          {"budget", budget_json(entry.budget)},
          {"reason", entry.reason},
          {"actor", entry.actor}};
}

json to_body(const RunBegun& entry) {
  return {{"run", entry.run},
          {"data_set", entry.data_set},
          {"description", entry.description},
          {"actor", entry.actor}};
}

json to_body(const ReleasesReserved& entry) {
  return {{"data_set", entry.data_set},
          {"run", entry.run ? json(*entry.run) : json(nullptr)},
          {"release", json::parse(entry.release.to_json())},
          {"foreign", entry.foreign},
          {"reason", entry.reason},
          {"actor", entry.actor}};
}

json to_body(const ReleasesGivenBack& entry) {
  return {{"reservation", entry.reservation},
          {"count", entry.count},
          {"reason", entry.reason},
          {"actor", entry.actor}};
}

json to_body(const Noted& entry) { return {{"text", entry.text}, {"actor", entry.actor}}; }

json to_body(const Claimed& entry) {
  return {{"domain", entry.domain}, {"digest", hexadecimal(entry.digest)}, {"actor", entry.actor}};
}

LedgerEntry from_body(std::string_view kind, const json& body) {
  if (kind == "ledger") {
    require_keys(body, {"format", "ledger_id"});
    if (body.at("format") != kFormat) {
      throw std::invalid_argument("format is not " + std::to_string(kFormat));
    }
    return LedgerCreated{text(body, "ledger_id")};
  }
  if (kind == "data_set") {
    require_keys(body, {"data_set", "unit", "neighbouring", "public_size", "budget", "description",
                        "actor"});
    DataSetAdded entry;
    entry.data_set.id = text(body, "data_set");
    entry.data_set.unit = text(body, "unit");
    entry.data_set.neighbouring = neighbouring_from(text(body, "neighbouring"));
    if (!body.at("public_size").is_null())
      entry.data_set.public_size = integer(body, "public_size");
    entry.data_set.budget = budget_from(body.at("budget"));
    entry.data_set.description = text(body, "description");
    entry.actor = text(body, "actor");
    return entry;
  }
  if (kind == "budget") {
    require_keys(body, {"data_set", "budget", "reason", "actor"});
    return BudgetChanged{text(body, "data_set"), budget_from(body.at("budget")),
                         text(body, "reason"), text(body, "actor")};
  }
  if (kind == "run") {
    require_keys(body, {"run", "data_set", "description", "actor"});
    return RunBegun{text(body, "run"), text(body, "data_set"), text(body, "description"),
                    text(body, "actor")};
  }
  if (kind == "reserve") {
    require_keys(body, {"data_set", "run", "release", "foreign", "reason", "actor"});
    ReleasesReserved entry;
    entry.data_set = text(body, "data_set");
    if (!body.at("run").is_null()) entry.run = text(body, "run");
    entry.release = Composition::from_json(body.at("release").dump());
    if (!body.at("foreign").is_boolean()) throw std::invalid_argument("foreign is not a boolean");
    entry.foreign = body.at("foreign").get<bool>();
    entry.reason = text(body, "reason");
    entry.actor = text(body, "actor");
    return entry;
  }
  if (kind == "return") {
    require_keys(body, {"reservation", "count", "reason", "actor"});
    return ReleasesGivenBack{integer(body, "reservation"), integer(body, "count"),
                             text(body, "reason"), text(body, "actor")};
  }
  if (kind == "note") {
    require_keys(body, {"text", "actor"});
    return Noted{text(body, "text"), text(body, "actor")};
  }
  if (kind == "claim") {
    require_keys(body, {"domain", "digest", "actor"});
    return Claimed{text(body, "domain"), hash_from_hexadecimal(text(body, "digest")),
                   text(body, "actor")};
  }
  reject_text("ledger", "kind", kind,
              "ledger, data_set, budget, run, reserve, return, note or claim");
}

// --- ranges -----------------------------------------------------------------------------------

void check_text(const char* name, std::string_view value) {
  if (value.size() > kLargestText) {
    reject("ledger", std::string("length of ") + name, static_cast<std::int64_t>(value.size()),
           "at most 4096 bytes");
  }
  for (std::string_view rest = value; !rest.empty();) {
    const std::size_t length = utf8_length(rest);
    if (length == 0) reject_text("ledger", name, value, "UTF-8");
    rest.remove_prefix(length);
  }
}

void check_reason(std::string_view reason) {
  if (reason.empty()) reject_text("ledger", "reason", reason, "a text that is not empty");
  check_text("reason", reason);
}

void check_budget(const Budget& budget) {
  if (!(budget.epsilon > 0.0 && std::isfinite(budget.epsilon))) {
    reject("ledger", "epsilon", budget.epsilon, "finite and > 0");
  }
  check_delta("ledger", budget.delta);
  check_id("accountant", budget.accountant);
}

void check(const LedgerCreated& entry) {
  const bool hexadecimal = std::all_of(entry.ledger_id.begin(), entry.ledger_id.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
  if (entry.ledger_id.size() != 32 || !hexadecimal) {
    reject_text("ledger", "ledger_id", entry.ledger_id, "32 hexadecimal digits");
  }
}

void check(const DataSetAdded& entry) {
  check_id("data set", entry.data_set.id);
  if (entry.data_set.unit.empty()) {
    reject_text("ledger", "unit", entry.data_set.unit, "a text such as record or person");
  }
  check_text("unit", entry.data_set.unit);
  if (entry.data_set.public_size && *entry.data_set.public_size < 1) {
    reject("ledger", "public_size", *entry.data_set.public_size, ">= 1");
  }
  check_budget(entry.data_set.budget);
  check_text("description", entry.data_set.description);
  check_text("actor", entry.actor);
}

void check(const BudgetChanged& entry) {
  check_id("data set", entry.data_set);
  check_budget(entry.budget);
  check_reason(entry.reason);
  check_text("actor", entry.actor);
}

void check(const RunBegun& entry) {
  check_id("run", entry.run);
  check_id("data set", entry.data_set);
  check_text("description", entry.description);
  check_text("actor", entry.actor);
}

void check(const ReleasesReserved& entry) {
  check_id("data set", entry.data_set);
  if (entry.run) check_id("run", *entry.run);
  if (entry.release.phases().size() != 1) {
    reject("ledger", "phases", static_cast<std::int64_t>(entry.release.phases().size()), "1");
  }
  check_text("label", entry.release.phases().front().label);
  if (entry.foreign) {
    check_reason(entry.reason);
  } else {
    check_text("reason", entry.reason);
  }
  check_text("actor", entry.actor);
}

void check(const ReleasesGivenBack& entry) {
  if (entry.reservation < 1) reject("ledger", "reservation", entry.reservation, ">= 1");
  if (entry.count < 1) reject("ledger", "count", entry.count, ">= 1");
  check_reason(entry.reason);
  check_text("actor", entry.actor);
}

void check(const Noted& entry) {
  if (entry.text.empty()) reject_text("ledger", "text", entry.text, "a text that is not empty");
  check_text("text", entry.text);
  check_text("actor", entry.actor);
}

void check(const Claimed& entry) {
  check_id("domain", entry.domain);
  check_text("actor", entry.actor);
}

}  // namespace

void check_id(const char* name, std::string_view id) {
  const bool plain = std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
  if (id.empty() || id.size() > kLargestId || !plain) {
    reject_text("ledger", name, id, "1 to 64 of letters, digits, '.', '_', '-'");
  }
}

json parse_json(std::string_view text) {
  const json::parser_callback_t limit_depth = [](int depth, json::parse_event_t, json&) {
    if (depth > kLargestDepth) throw std::invalid_argument("the JSON is nested too deeply");
    return true;
  };
  try {
    return json::parse(text, limit_depth);
  } catch (const json::exception& error) {
    throw std::invalid_argument(error.what());
  }
}

std::string hexadecimal(std::span<const std::uint8_t> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : bytes) text += {kDigits[byte >> 4], kDigits[byte & 15]};
  return text;
}

LedgerHash hash_from_hexadecimal(std::string_view text) {
  const auto digit = [](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
  };
  LedgerHash hash{};
  if (text.size() != 2 * hash.size()) reject_text("ledger", "hash", text, "64 hexadecimal digits");
  for (std::size_t i = 0; i < hash.size(); ++i) {
    const int high = digit(text[2 * i]);
    const int low = digit(text[2 * i + 1]);
    if (high < 0 || low < 0) reject_text("ledger", "hash", text, "64 hexadecimal digits");
    hash[i] = static_cast<std::uint8_t>(16 * high + low);
  }
  return hash;
}

}  // namespace detail

LedgerHash event_hash(const LedgerHash& previous, const LedgerEvent& event) {
  std::string bytes(previous.begin(), previous.end());
  detail::put_integer(bytes, event.sequence);
  detail::put_integer(bytes, event.time);
  detail::put_integer(bytes, static_cast<std::int64_t>(event.kind.size()));
  bytes += event.kind;
  detail::put_integer(bytes, static_cast<std::int64_t>(event.body.size()));
  bytes += event.body;
  LedgerHash hash{};
  unsigned size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), hash.data(), &size, EVP_sha256(), nullptr) != 1 ||
      size != hash.size()) {
    throw std::runtime_error("event_hash: libcrypto cannot compute SHA-256");
  }
  return hash;
}

std::string event_kind(const LedgerEntry& entry) {
  constexpr const char* kKinds[] = {"ledger",  "data_set", "budget", "run",
                                    "reserve", "return",   "note",   "claim"};
  static_assert(std::variant_size_v<LedgerEntry> == std::size(kKinds));
  return kKinds[entry.index()];
}

std::string event_body(const LedgerEntry& entry) {
  return std::visit(
      [](const auto& alternative) {
        detail::check(alternative);
        return detail::to_body(alternative).dump();
      },
      entry);
}

LedgerEntry parse_entry(std::string_view kind, std::string_view body) {
  LedgerEntry entry = detail::from_body(kind, detail::read_canonical(body));
  std::visit([](const auto& alternative) { detail::check(alternative); }, entry);
  return entry;
}

std::string LedgerHead::to_string() const {
  return std::to_string(count) + ":" + detail::hexadecimal(hash);
}

LedgerHead LedgerHead::from_string(std::string_view text) {
  const std::size_t colon = text.find(':');
  LedgerHead head;
  const std::string_view digits = text.substr(0, colon);
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), head.count);
  if (colon == std::string_view::npos || parsed.ec != std::errc() ||
      parsed.ptr != digits.data() + digits.size() || head.count < 1 ||
      std::to_string(head.count) != digits) {
    detail::reject_text("LedgerHead", "head", text,
                        "the number of events, a colon and 64 hexadecimal digits");
  }
  head.hash = detail::hash_from_hexadecimal(text.substr(colon + 1));
  return head;
}

}  // namespace velum::dpsgd
