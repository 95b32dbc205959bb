#pragma once

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <utility>

#include "velum/dpsgd/accounting/mechanism.h"

// What the commands say about the arguments that they were given.

namespace velum::cli {

/// Throws std::invalid_argument "argument = value, expected range".
[[noreturn]] void reject(const std::string& argument, const std::string& value,
                         const std::string& expected);

/// Shortest text that reads back as the same number.
std::string number_text(double value);

/// JSON has no infinity: null says that nothing is promised.
nlohmann::ordered_json finite_or_null(double value);

/// Of --neighbouring.
dpsgd::Neighbouring neighbouring_of(const std::string& name);

/// The error of a library function, "function: name = value, expected range", about the argument
/// that gave the value: "--argument = value, expected range". Any other error as it is.
/// @param names  of the library, each with the argument that gives it.
std::invalid_argument about_argument(
    const std::invalid_argument& error,
    std::initializer_list<std::pair<const char*, const char*>> names);

}  // namespace velum::cli
