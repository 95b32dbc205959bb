#include "velum/dpsgd/clipping.h"

#include <cmath>
#include <sstream>
#include <stdexcept>

namespace velum::dpsgd {

Clipping Clipping::flat(double clipping_norm) {
  if (!std::isfinite(clipping_norm) || !(clipping_norm > 0)) {
    std::ostringstream text;
    text << "Clipping::flat: clipping_norm = " << clipping_norm << ", expected finite and > 0";
    throw std::invalid_argument(text.str());
  }
  return Clipping(clipping_norm);
}

}  // namespace velum::dpsgd
