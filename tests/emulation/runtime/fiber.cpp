#include "runtime/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <new>

#if !defined(__x86_64__)
#error "the emulation's fibers are written for x86-64"
#endif

// The registers that the System V ABI lets a callee keep; rounding mode and the like stay as they
// are.
asm(R"(
    .text
    .globl velum_emulation_switch_stack
    .type velum_emulation_switch_stack, @function
velum_emulation_switch_stack:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size velum_emulation_switch_stack, . - velum_emulation_switch_stack
)");
extern "C" void velum_emulation_switch_stack(void** save, void* to);

namespace velum::emulation {
namespace {

constexpr std::size_t kSavedRegisters = 6;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::uint64_t kMark = 0x7665'6C75'6D20'656E;
/// Tops of stacks are spread: at equal offsets they would share a few sets of the cache.
constexpr std::size_t kSpreads = 64;
constexpr std::size_t kSpreadBytes = 576;

}  // namespace

void switch_stack(void** save, void* to) { velum_emulation_switch_stack(save, to); }

FiberStacks::FiberStacks(bool huge_pages) {
  // Reserved with room to align to a huge page; pages come into being as blocks need them.
  void* const memory = mmap(nullptr, kMaxStacks * kStackBytes + kHugePage, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  const auto start = reinterpret_cast<std::uintptr_t>(memory);
  memory_ = reinterpret_cast<char*>((start + kHugePage - 1) / kHugePage * kHugePage);
  if (huge_pages) madvise(memory_, kMaxStacks * kStackBytes, MADV_HUGEPAGE);
}

FiberStacks::~FiberStacks() { munmap(memory_, kMaxStacks * kStackBytes); }

void* FiberStacks::start(std::size_t index, void (*entry)()) {
  char* const bottom = memory_ + index * kStackBytes;
  std::memcpy(bottom, &kMark, sizeof kMark);
  // From the top: 0 where a return address would be, the entry that `ret` pops, the registers. The
  // stack pointer is then as the ABI has it at the start of a function.
  char* const top = bottom + kStackBytes - index % kSpreads * kSpreadBytes;
  auto* slot = reinterpret_cast<std::uintptr_t*>(top) - 2;
  slot[0] = reinterpret_cast<std::uintptr_t>(entry);
  slot[1] = 0;
  slot -= kSavedRegisters;
  std::memset(slot, 0, kSavedRegisters * sizeof *slot);
  return slot;
}

bool FiberStacks::is_intact(std::size_t index) const {
  return std::memcmp(memory_ + index * kStackBytes, &kMark, sizeof kMark) == 0;
}

}  // namespace velum::emulation
