#include "velum/dpsgd/lazy_table.h"

#include <utility>

#include "lazy_rows.h"

namespace velum::dpsgd {

LazyTable::LazyTable(at::Tensor weight)
    : rows_(std::make_unique<detail::LazyRows>(std::move(weight))) {}
LazyTable::~LazyTable() = default;

void LazyTable::catch_up(const at::Tensor& indices) { rows_->catch_up(indices); }
void LazyTable::step(double learning_rate) { rows_->step(learning_rate); }
void LazyTable::release() { rows_->release(); }
bool LazyTable::is_released() const { return rows_->is_released(); }
const at::Tensor& LazyTable::weight() const { return rows_->weight(); }

detail::LazyRows& detail::rows_of(LazyTable& table) { return *table.rows_; }

}  // namespace velum::dpsgd
