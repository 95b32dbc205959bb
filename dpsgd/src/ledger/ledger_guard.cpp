#include "velum/dpsgd/ledger/ledger_guard.h"

#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "accounting/range_check.h"

namespace velum::dpsgd {

LedgerGuard::LedgerGuard(std::shared_ptr<Ledger> ledger, std::string data_set, std::string run,
                         std::int64_t block,
                         std::string description,  // NOLINT(performance-unnecessary-value-param)
                         std::string actor)
    : ledger_(std::move(ledger)),
      data_set_(std::move(data_set)),
      run_(std::move(run)),
      block_(block),
      actor_(std::move(actor)),
      process_(::getpid()) {
  if (block < 1) reject("LedgerGuard", "block", block, ">= 1");
  ledger_->begin_run(run_, data_set_, description, actor_);
  for (const DataSet& set : ledger_->data_sets()) {
    if (set.id != data_set_) continue;
    neighbouring_ = set.neighbouring;
    unit_ = set.unit;
  }
}

LedgerGuard::~LedgerGuard() {
  // A forked child's copy must not give back what the parent may still use.
  if (::getpid() != process_) return;
  try {
    give_back_unused();
  } catch (...) {  // the ledger stays too large
  }
}

LedgerGuard::Block* LedgerGuard::find(const Mechanism& mechanism, std::string_view label) {
  const auto found = std::find_if(blocks_.begin(), blocks_.end(), [&](const Block& block) {
    return block.mechanism == mechanism && block.label == label;
  });
  return found == blocks_.end() ? nullptr : &*found;
}

void LedgerGuard::reserve_ahead(const Mechanism& mechanism, std::string_view label,
                                std::int64_t count) {
  if (::getpid() != process_) {
    throw std::logic_error("LedgerGuard: it was made before fork(); make one in this process");
  }
  if (find(mechanism, label) != nullptr) return;
  blocks_.reserve(blocks_.size() + 1);  // nothing fails once the ledger has it
  std::string kept_label(label);
  const Reservation reservation = ledger_->reserve_up_to({.data_set = data_set_,
                                                          .run = run_,
                                                          .mechanism = mechanism,
                                                          .count = std::min(count, block_),
                                                          .label = kept_label,
                                                          .actor = actor_});
  blocks_.push_back({mechanism, std::move(kept_label), reservation.id, reservation.count});
}

void LedgerGuard::before_release(const Mechanism& mechanism, std::string_view label) {
  reserve_ahead(mechanism, label, block_);
  Block* const block = find(mechanism, label);
  if (--block->unused == 0) blocks_.erase(blocks_.begin() + (block - blocks_.data()));
}

void LedgerGuard::give_back_unused() {
  while (!blocks_.empty()) {
    // Forgotten first: should the ledger fail, it may have it or not, and nobody uses it.
    const Block block = std::move(blocks_.back());
    blocks_.pop_back();
    ledger_->give_back(block.reservation, block.unused, "never happened: the run ended before",
                       actor_);
  }
}

}  // namespace velum::dpsgd
