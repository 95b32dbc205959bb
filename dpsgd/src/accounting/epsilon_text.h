#pragma once

#include <string>

namespace velum::dpsgd {

/// epsilon for people: four decimals, rounded up; "infinite" where nothing is promised.
std::string epsilon_text(double epsilon);

}  // namespace velum::dpsgd
