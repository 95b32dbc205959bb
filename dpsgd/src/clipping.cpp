#include "velum/dpsgd/clipping.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace velum::dpsgd {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kSmallestNorm = 0x1p-400;  // of kernels::clip_factors

template <typename T>
[[noreturn]] void refuse(const std::string& name, const T& value, const char* expected) {
  std::ostringstream text;
  text << "Clipping::" << name << " = " << value << ", expected " << expected;
  throw std::invalid_argument(text.str());
}

void require_norm(const std::string& name, double norm) {
  if (!std::isfinite(norm) || !(norm > 0)) refuse(name, norm, "finite and > 0");
  if (!(norm >= kSmallestNorm)) refuse(name, norm, "at least 2^-400");
}

/// sqrt(sum of squares), rounded up: each hypot is within one unit in the last place.
double root_of_squares(const std::vector<ClippingGroup>& groups) {
  if (groups.size() == 1) return groups.front().clipping_norm;
  double root = 0;
  for (const ClippingGroup& group : groups) root = std::hypot(root, group.clipping_norm);
  return root *
         (1 + 2 * static_cast<double>(groups.size() + 1) * std::numeric_limits<double>::epsilon());
}

std::string number(double value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

void require_keys(const Json& json, std::initializer_list<const char*> keys) {
  if (json.size() != keys.size()) {
    throw std::invalid_argument("Clipping::from_json: " + std::to_string(json.size()) +
                                " keys, expected " + std::to_string(keys.size()));
  }
  for (const char* key : keys) static_cast<void>(json.at(key));
}

}  // namespace

Clipping Clipping::flat(double clipping_norm) {
  require_norm("flat: clipping_norm", clipping_norm);
  return {Kind::kFlat, clipping_norm};
}

Clipping Clipping::by_groups(std::vector<ClippingGroup> groups) {
  if (groups.empty()) refuse("by_groups: groups.size()", groups.size(), "at least 1");
  std::size_t count = 0;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const std::string name = "by_groups: groups[" + std::to_string(g) + "]";
    require_norm(name + ".clipping_norm", groups[g].clipping_norm);
    if (groups[g].parameters.empty()) refuse(name + ".parameters.size()", 0, "at least 1");
    count += groups[g].parameters.size();
  }
  std::vector<bool> named(count, false);
  for (std::size_t g = 0; g < groups.size(); ++g) {
    for (const std::int64_t index : groups[g].parameters) {
      const std::string name = "by_groups: groups[" + std::to_string(g) + "] names parameter";
      // Of `count` names, one above count - 1 leaves another index without a group.
      if (index < 0 || index >= static_cast<std::int64_t>(count)) {
        refuse(name, index,
               ("0 to " + std::to_string(count - 1) + ", each in exactly one group").c_str());
      }
      if (named[static_cast<std::size_t>(index)]) refuse(name, index, "it in one group only");
      named[static_cast<std::size_t>(index)] = true;
    }
  }
  const double sensitivity = root_of_squares(groups);
  if (!std::isfinite(sensitivity)) refuse("by_groups: sensitivity", sensitivity, "finite");
  Clipping clipping(Kind::kGroups, sensitivity);
  clipping.groups_ = std::move(groups);
  return clipping;
}

Clipping Clipping::per_layer(const std::vector<double>& clipping_norms) {
  std::vector<ClippingGroup> groups;
  for (std::size_t i = 0; i < clipping_norms.size(); ++i) {
    groups.push_back({{static_cast<std::int64_t>(i)}, clipping_norms[i]});
  }
  return by_groups(std::move(groups));
}

double Clipping::equal_share(double clipping_norm, std::int64_t groups) {
  if (!std::isfinite(clipping_norm) || !(clipping_norm >= 0x1p-300)) {
    refuse("equal_share: clipping_norm", clipping_norm, "finite and at least 2^-300");
  }
  if (groups < 1) refuse("equal_share: groups", groups, "at least 1");
  if (groups == 1) return clipping_norm;
  return clipping_norm / std::sqrt(static_cast<double>(groups)) *
         (1 - 4 * std::numeric_limits<double>::epsilon());
}

Clipping Clipping::automatic(double clipping_norm, double stability) {
  if (!(clipping_norm >= 0x1p-100 && clipping_norm <= 0x1p100)) {
    refuse("automatic: clipping_norm", clipping_norm, "2^-100 to 2^100");
  }
  if (!(stability >= 0x1p-60 && stability <= 0x1p60)) {
    refuse("automatic: stability", stability, "2^-60 to 2^60");
  }
  Clipping clipping(Kind::kAutomatic, clipping_norm);
  clipping.stability_ = stability;
  return clipping;
}

Clipping Clipping::adaptive(const AdaptiveClipping& adaptive) {
  const auto require = [](const char* name, double value, bool holds, const char* expected) {
    if (!holds) refuse("adaptive: " + std::string(name), value, expected);
  };
  const double c = adaptive.initial_norm;
  require("smallest_norm", adaptive.smallest_norm, adaptive.smallest_norm >= 0x1p-100,
          "at least 2^-100");
  require("largest_norm", adaptive.largest_norm, adaptive.largest_norm <= 0x1p100, "at most 2^100");
  require("initial_norm", c, c >= adaptive.smallest_norm && c <= adaptive.largest_norm,
          "smallest_norm to largest_norm");
  require("quantile", adaptive.quantile, adaptive.quantile > 0 && adaptive.quantile < 1,
          "above 0 and below 1");
  require("learning_rate", adaptive.learning_rate,
          adaptive.learning_rate > 0 && adaptive.learning_rate <= 10, "above 0 and at most 10");
  require("count_noise", adaptive.count_noise,
          adaptive.count_noise > 0 && std::isfinite(adaptive.count_noise), "finite and > 0");
  Clipping clipping(Kind::kAdaptive, c);
  clipping.adaptive_ = adaptive;
  return clipping;
}

const AdaptiveClipping& Clipping::adaptive() const {
  if (kind_ != Kind::kAdaptive) {
    throw std::logic_error("Clipping::adaptive: the kind is " + std::string(to_string(kind_)) +
                           ", expected adaptive");
  }
  return adaptive_;
}

double Clipping::sum_noise_multiplier(double noise_multiplier) const {
  if (kind_ != Kind::kAdaptive || noise_multiplier == 0) return noise_multiplier;
  const double half = noise_multiplier / 2;
  const double count_noise = adaptive_.count_noise;
  if (!(count_noise > half)) {
    refuse("adaptive: count_noise", count_noise,
           ("above half of the noise multiplier, " + number(half) +
            ": the count alone would cost more than the step may")
               .c_str());
  }
  // z / sqrt(1 - (half / count_noise)^2); seven roundings of at most 2^-53 each, paid by the last.
  const double share = count_noise / std::sqrt(count_noise - half) / std::sqrt(count_noise + half);
  return noise_multiplier * share * (1 + 0x1p-49);
}

std::string_view to_string(Clipping::Kind kind) {
  switch (kind) {
    case Clipping::Kind::kFlat:
      return "flat";
    case Clipping::Kind::kGroups:
      return "groups";
    case Clipping::Kind::kAutomatic:
      return "automatic";
    case Clipping::Kind::kAdaptive:
      return "adaptive";
  }
  throw std::logic_error("to_string: unknown Clipping::Kind");
}

std::string Clipping::to_text() const {
  switch (kind_) {
    case Kind::kFlat:
      return "flat: gradients are clipped to norm " + number(clipping_norm_);
    case Kind::kGroups: {
      std::string text = "by groups: the parts of a gradient in " + std::to_string(groups_.size()) +
                         " groups of parameters are clipped to ";
      for (std::size_t g = 0; g < groups_.size(); ++g) {
        text += (g > 0 ? ", " : "") + number(groups_[g].clipping_norm);
      }
      return text + "; together norm " + number(clipping_norm_);
    }
    case Kind::kAutomatic:
      return "automatic (AUTO-S): a gradient g is multiplied by " + number(clipping_norm_) +
             " / (||g|| + " + number(stability_) + ")";
    case Kind::kAdaptive:
      return "adaptive: gradients are clipped to a norm that begins at " + number(clipping_norm_) +
             " and follows the quantile " + number(adaptive_.quantile) +
             " of their norms with learning rate " + number(adaptive_.learning_rate) +
             ", from counts with noise of standard deviation " + number(adaptive_.count_noise);
  }
  throw std::logic_error("Clipping::to_text: unknown kind");
}

std::string Clipping::to_json() const {
  Json json{{"kind", to_string(kind_)}};
  switch (kind_) {
    case Kind::kFlat:
      json["clipping_norm"] = clipping_norm_;
      break;
    case Kind::kGroups:
      json["groups"] = Json::array();
      for (const ClippingGroup& group : groups_) {
        json["groups"].push_back(
            {{"parameters", group.parameters}, {"clipping_norm", group.clipping_norm}});
      }
      break;
    case Kind::kAutomatic:
      json["clipping_norm"] = clipping_norm_;
      json["stability"] = stability_;
      break;
    case Kind::kAdaptive:
      json["initial_norm"] = adaptive_.initial_norm;
      json["quantile"] = adaptive_.quantile;
      json["learning_rate"] = adaptive_.learning_rate;
      json["count_noise"] = adaptive_.count_noise;
      json["smallest_norm"] = adaptive_.smallest_norm;
      json["largest_norm"] = adaptive_.largest_norm;
      break;
  }
  return json.dump();
}

Clipping Clipping::from_json(std::string_view text) {
  try {
    const Json json = Json::parse(text);
    const auto kind = json.at("kind").get<std::string>();
    if (kind == to_string(Kind::kFlat)) {
      require_keys(json, {"kind", "clipping_norm"});
      return flat(json["clipping_norm"].get<double>());
    }
    if (kind == to_string(Kind::kGroups)) {
      require_keys(json, {"kind", "groups"});
      std::vector<ClippingGroup> groups;
      for (const Json& group : json["groups"]) {
        require_keys(group, {"parameters", "clipping_norm"});
        groups.push_back({group["parameters"].get<std::vector<std::int64_t>>(),
                          group["clipping_norm"].get<double>()});
      }
      return by_groups(std::move(groups));
    }
    if (kind == to_string(Kind::kAutomatic)) {
      require_keys(json, {"kind", "clipping_norm", "stability"});
      return automatic(json["clipping_norm"].get<double>(), json["stability"].get<double>());
    }
    if (kind == to_string(Kind::kAdaptive)) {
      require_keys(json, {"kind", "initial_norm", "quantile", "learning_rate", "count_noise",
                          "smallest_norm", "largest_norm"});
      return adaptive({.initial_norm = json["initial_norm"].get<double>(),
                       .quantile = json["quantile"].get<double>(),
                       .learning_rate = json["learning_rate"].get<double>(),
                       .count_noise = json["count_noise"].get<double>(),
                       .smallest_norm = json["smallest_norm"].get<double>(),
                       .largest_norm = json["largest_norm"].get<double>()});
    }
    refuse("from_json: kind", kind, "flat, groups, automatic or adaptive");
  } catch (const Json::exception& error) {
    throw std::invalid_argument(std::string("Clipping::from_json: ") + error.what());
  }
}

}  // namespace velum::dpsgd
