#include "arguments.h"

#include <charconv>
#include <cmath>
#include <string_view>

namespace velum::cli {

void reject(const std::string& argument, const std::string& value, const std::string& expected) {
  throw std::invalid_argument(argument + " = " + value + ", expected " + expected);
}

std::string number_text(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof(text), value).ptr};
}

nlohmann::ordered_json finite_or_null(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr);
}

dpsgd::Neighbouring neighbouring_of(const std::string& name) {
  for (const auto relation :
       {dpsgd::Neighbouring::kAddOrRemoveOne, dpsgd::Neighbouring::kReplaceOne}) {
    if (name == to_string(relation)) return relation;
  }
  reject("--neighbouring", name, "add-or-remove-one or replace-one");
}

std::invalid_argument about_argument(
    const std::invalid_argument& error,
    std::initializer_list<std::pair<const char*, const char*>> names) {
  const std::string_view text = error.what();
  const std::size_t colon = text.find(": ");
  // A function's name has no space; "line 2: ..." is about a file.
  if (colon == std::string_view::npos ||
      text.substr(0, colon).find(' ') != std::string_view::npos) {
    return error;
  }
  std::string_view rest = text.substr(colon + 2);
  std::string length;
  constexpr std::string_view kLength = "length of ";
  if (rest.substr(0, kLength.size()) == kLength) {
    length = kLength;
    rest.remove_prefix(kLength.size());
  }
  for (const auto& [name, argument] : names) {
    const std::string start = std::string(name) + " = ";
    if (rest.substr(0, start.size()) == start) {
      return std::invalid_argument(length + argument + " = " +
                                   std::string(rest.substr(start.size())));
    }
  }
  return error;
}

}  // namespace velum::cli
