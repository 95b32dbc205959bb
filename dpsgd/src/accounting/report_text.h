#pragma once

#include <cstdint>
#include <string>

// Text for people, for reports and statements.

namespace velum::dpsgd {

/// `value` with `digits` decimals.
std::string fixed_text(double value, int digits);

/// Six significant digits.
std::string short_text(double value);

/// 60,000 for 60000.
std::string grouped_text(std::int64_t value);

/// Breaks `text` at spaces into lines of at most `columns` (longer where one word is), each ended;
/// the first line follows `first`, the others `rest`.
std::string wrapped(const std::string& first, const std::string& rest, const std::string& text,
                    int columns = 80);

}  // namespace velum::dpsgd
