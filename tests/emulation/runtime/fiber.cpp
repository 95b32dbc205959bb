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

}  // namespace

void switch_stack(void** save, void* to) { velum_emulation_switch_stack(save, to); }

FiberStacks::~FiberStacks() {
  for (char* const stack : stacks_) munmap(stack, kStackBytes + kGuardBytes);
}

void FiberStacks::reserve(std::size_t count) {
  while (stacks_.size() < count) {
    void* const memory = mmap(nullptr, kStackBytes + kGuardBytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    mprotect(memory, kGuardBytes, PROT_NONE);
    stacks_.push_back(static_cast<char*>(memory));
  }
}

void* FiberStacks::start(std::size_t index, void (*entry)()) {
  // From the top: 0 where a return address would be, the entry that `ret` pops, the registers. The
  // stack pointer is then as the ABI has it at the start of a function.
  char* const top = stacks_[index] + kGuardBytes + kStackBytes;
  auto* slot = reinterpret_cast<std::uintptr_t*>(top) - 2;
  slot[0] = reinterpret_cast<std::uintptr_t>(entry);
  slot[1] = 0;
  slot -= kSavedRegisters;
  std::memset(slot, 0, kSavedRegisters * sizeof *slot);
  return slot;
}

}  // namespace velum::emulation
