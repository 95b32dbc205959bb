#pragma once

#include <nlohmann/json_fwd.hpp>

#include "velum/dpsgd/accounting/composition.h"

namespace velum::dpsgd {

/// The object whose text `Composition::to_json` gives.
nlohmann::json composition_json(const Composition& composition);

}  // namespace velum::dpsgd
