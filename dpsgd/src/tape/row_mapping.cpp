#include "tape/row_mapping.h"

#include <algorithm>
#include <sstream>

namespace velum::dpsgd::detail {

at::Tensor RowMapping::samples_first(const at::Tensor& tensor) const {
  std::vector<std::int64_t> split = tensor.sizes().vec();
  split[static_cast<std::size_t>(dim)] = inner;
  split.insert(split.begin() + dim, {outer, batch});
  const at::Tensor parts = tensor.reshape(split).movedim(dim + 1, 0);
  std::vector<std::int64_t> joined{batch};
  for (std::int64_t d = 0; d < tensor.dim(); ++d) {
    joined.push_back(d == dim ? steps() : tensor.size(d));
  }
  return parts.reshape(joined);
}

at::Tensor RowMapping::to_rows(const at::Tensor& per_sample) const {
  if (steps() == 1) return per_sample;
  return per_sample.view({1, batch, 1}).expand({outer, batch, inner}).reshape({steps() * batch});
}

at::Tensor RowMapping::to_rows(const at::Tensor& per_sample, std::int64_t dims) const {
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(dims), 1);
  sizes[static_cast<std::size_t>(dim)] = steps() * batch;
  return to_rows(per_sample).reshape(sizes);
}

std::string to_text(const RowMapping& mapping) {
  std::ostringstream text;
  text << "dimension " << mapping.dim << " as [" << mapping.outer << ", batch, " << mapping.inner
       << "]";
  return text.str();
}

std::vector<RowMapping> candidate_mappings(at::IntArrayRef sizes, std::int64_t batch) {
  std::vector<RowMapping> mappings;
  for (std::int64_t dim = 0; dim < static_cast<std::int64_t>(sizes.size()); ++dim) {
    const std::int64_t size = sizes[static_cast<std::size_t>(dim)];
    if (size == 0 || size % batch != 0) continue;
    const std::int64_t steps = size / batch;
    const auto add = [&](std::int64_t inner) {
      mappings.push_back({dim, steps / inner, batch, inner});
    };
    add(steps);
    if (steps > 1) add(1);
    for (std::int64_t inner = 2; inner < steps; ++inner) {
      if (steps % inner == 0) add(inner);
    }
  }
  return mappings;
}

}  // namespace velum::dpsgd::detail
