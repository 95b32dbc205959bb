#include "velum/dpsgd/accounting/composition.h"

#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "accounting/composition_json.h"
#include "accounting/range_check.h"

namespace velum::dpsgd {
namespace {

using nlohmann::json;

constexpr int kJsonVersion = 1;
constexpr std::int64_t kLargestCount = std::numeric_limits<std::int64_t>::max();

[[noreturn]] void reject_json(const std::string& what) {
  throw std::invalid_argument("Composition::from_json: " + what);
}

void check_keys(const json& object, std::string_view what,
                std::initializer_list<std::string_view> keys) {
  if (!object.is_object()) reject_json(std::string(what) + " is not an object");
  for (const std::string_view key : keys) {
    if (!object.contains(key)) {
      reject_json(std::string(what) + " has no key \"" + std::string(key) + "\"");
    }
  }
  if (object.size() == keys.size()) return;
  for (const auto& item : object.items()) {
    bool known = false;
    for (const std::string_view key : keys) known = known || item.key() == key;
    if (!known) reject_json(std::string(what) + " has an unknown key \"" + item.key() + "\"");
  }
}

double number(const json& object, const char* key) {
  const json& value = object.at(key);
  if (!value.is_number()) reject_json(std::string(key) + " is not a number");
  return value.get<double>();
}

std::string text(const json& object, const char* key) {
  const json& value = object.at(key);
  if (!value.is_string()) reject_json(std::string(key) + " is not a string");
  return value.get<std::string>();
}

json mechanism_json(const Mechanism& mechanism) {
  if (const auto* sampled = std::get_if<PoissonSampledGaussianMechanism>(&mechanism)) {
    return {{"kind", "poisson_sampled_gaussian"},
            {"sampling_rate", sampled->sampling_rate},
            {"noise_multiplier", sampled->noise_multiplier}};
  }
  return {{"kind", "gaussian"}, {"noise_multiplier", noise_multiplier(mechanism)}};
}

Mechanism mechanism_from_json(const json& object) {
  if (!object.is_object() || !object.contains("kind")) reject_json("mechanism has no key \"kind\"");
  const std::string kind = text(object, "kind");
  if (kind == "gaussian") {
    check_keys(object, "mechanism", {"kind", "noise_multiplier"});
    return GaussianMechanism{number(object, "noise_multiplier")};
  }
  if (kind == "poisson_sampled_gaussian") {
    check_keys(object, "mechanism", {"kind", "sampling_rate", "noise_multiplier"});
    return PoissonSampledGaussianMechanism{number(object, "sampling_rate"),
                                           number(object, "noise_multiplier")};
  }
  reject_json("unknown mechanism \"" + kind + "\"");
}

Neighbouring neighbouring_from_text(const std::string& name) {
  for (const Neighbouring n : {Neighbouring::kAddOrRemoveOne, Neighbouring::kReplaceOne}) {
    if (name == to_string(n)) return n;
  }
  reject_json("unknown neighbouring relation \"" + name + "\"");
}

Composition composition_from_json(const json& object) {
  check_keys(object, "composition", {"version", "neighbouring", "phases"});
  if (object.at("version") != kJsonVersion) {
    reject_json("version " + object.at("version").dump() + ", expected " +
                std::to_string(kJsonVersion));
  }
  Composition composition(neighbouring_from_text(text(object, "neighbouring")));
  if (!object.at("phases").is_array()) reject_json("phases is not an array");
  for (const json& phase : object.at("phases")) {
    check_keys(phase, "phase", {"mechanism", "count", "label"});
    const json& count = phase.at("count");
    if (!count.is_number_integer() || count < 1 || count > kLargestCount) {
      reject_json("count = " + count.dump() + ", expected an integer >= 1");
    }
    composition.append(mechanism_from_json(phase.at("mechanism")), count.get<std::int64_t>(),
                       text(phase, "label"));
  }
  return composition;
}

}  // namespace

Composition::Composition(Neighbouring neighbouring) : neighbouring_(neighbouring) {}

void Composition::append(const Mechanism& mechanism, std::int64_t count, std::string_view label) {
  validate(mechanism, "Composition::append");
  if (count < 0) reject("Composition::append", "count", count, ">= 0");
  if (count == 0) return;
  if (!phases_.empty() && phases_.back().mechanism == mechanism && phases_.back().label == label) {
    Phase& last = phases_.back();
    if (last.count > kLargestCount - count) {
      throw std::overflow_error("Composition::append: count = " + std::to_string(count) +
                                ", expected at most " + std::to_string(kLargestCount - last.count) +
                                " more in this phase");
    }
    last.count += count;
    return;
  }
  phases_.push_back({mechanism, count, std::string(label)});
}

std::int64_t Composition::total_count() const {
  std::int64_t total = 0;
  for (const Phase& phase : phases_) {
    if (phase.count > kLargestCount - total) return kLargestCount;
    total += phase.count;
  }
  return total;
}

json composition_json(const Composition& composition) {
  json phases = json::array();
  for (const Phase& phase : composition.phases()) {
    phases.push_back({{"mechanism", mechanism_json(phase.mechanism)},
                      {"count", phase.count},
                      {"label", phase.label}});
  }
  return {{"version", kJsonVersion},
          {"neighbouring", to_string(composition.neighbouring())},
          {"phases", std::move(phases)}};
}

std::string Composition::to_json() const {
  // A label that is not UTF-8 must not keep a checkpoint from being written.
  return composition_json(*this).dump(-1, ' ', false, json::error_handler_t::replace);
}

Composition Composition::from_json(std::string_view text) {
  json object;
  try {
    object = json::parse(text);
  } catch (const json::exception& error) {
    reject_json(error.what());
  }
  return composition_from_json(object);
}

}  // namespace velum::dpsgd
