#include "accounting/report_text.h"

#include <cstdio>

namespace velum::dpsgd {

std::string fixed_text(double value, int digits) {
  char text[400];  // the largest double has 309 digits before its point
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

std::string short_text(double value) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.6g", value);
  return text;
}

std::string grouped_text(std::int64_t value) {
  const std::string digits = std::to_string(value);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && digits[i - 1] != '-' && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string wrapped(const std::string& first, const std::string& rest, const std::string& text,
                    int columns) {
  std::string out;
  std::string line = first;
  bool line_is_empty = true;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    std::size_t end = text.find(' ', begin);
    if (end == std::string::npos) end = text.size();
    const std::string word = text.substr(begin, end - begin);
    begin = end + 1;
    if (!line_is_empty && line.size() + 1 + word.size() > static_cast<std::size_t>(columns)) {
      out += line + "\n";
      line = rest;
      line_is_empty = true;
    }
    line += (line_is_empty ? "" : " ") + word;
    line_is_empty = false;
  }
  return out + line + "\n";
}

}  // namespace velum::dpsgd
