#pragma once

#include <cstddef>
#include <cstdint>

/// The tables that translated code is made of, and the names of PTX types in it.
namespace velum::emulation {

using u8 = std::uint8_t;
using s8 = std::int8_t;
using u16 = std::uint16_t;
using s16 = std::int16_t;
using u32 = std::uint32_t;
using s32 = std::int32_t;
using u64 = std::uint64_t;
using s64 = std::int64_t;
__extension__ typedef unsigned __int128 u128;  // NOLINT(modernize-use-using)
__extension__ typedef __int128 s128;           // NOLINT(modernize-use-using)
using b8 = u8;
using b16 = u16;
using b32 = u32;
using b64 = u64;
using b128 = u128;
using f32 = float;
using f64 = double;
using pred = bool;
/// Floating point of 16 bits, as bit patterns: 5 bits of exponent and 10 of fraction, or 8 and 7.
struct f16 {
  u16 bits;
};
struct bf16 {
  u16 bits;
};
/// Two of them in a register of 32 bits.
struct f16x2 {
  f16 low;
  f16 high;
};
struct bf16x2 {
  bf16 low;
  bf16 high;
};
/// In this emulation an f32 whose 13 low bits are zero; PTX leaves the layout open.
using tf32 = b32;

class Thread;
struct Module;

/// Where an instruction stands. File indices are into Module::files; -1 is none. `outer` is the
/// place in the kernel that the code was inlined into.
struct Site {
  u32 ptx_line;
  s32 file;
  u32 line;
  s32 outer_file;
  u32 outer_line;
};

struct Parameter {
  u32 offset;
  u32 size;
};

/// Eight bytes of a variable's initial value that hold the address of another.
struct Relocation {
  u64 offset;
  const u64* target;
  u64 addend;
};

/// A variable in global or constant memory. `address` is set when the module is loaded.
struct Variable {
  const char* name;
  u64 size;
  u64 align;
  bool constant;
  const u8* initial;
  const Relocation* relocations;
  u32 relocation_count;
  u64* address;
};

/// A function that an indirect call may reach; its device address is that of this entry. `sizes`
/// are those of the results, then those of the parameters.
struct Function {
  const char* name;
  void (*body)(Thread&, u8* const* results, u8* const* args);
  const u32* sizes;
  u32 result_count;
  u32 parameter_count;
};

/// Instructions of a basic block that stand on one line of the source. Blocks are numbered from 0
/// in each kernel; `file` is as in Site.
struct BlockLine {
  u32 block;
  s32 file;
  u32 line;
  u32 instructions;
};

struct Kernel {
  const char* name;
  void (*body)(Thread&);
  const Module* module;
  const Parameter* parameters;
  u32 parameter_count;
  u32 parameter_bytes;
  u32 shared_bytes;
  u32 dynamic_shared_align;
  u32 max_threads;     // from __launch_bounds__; 0: not given
  u32 shared_granule;  // log2 of the narrowest access to shared memory
  bool waits;          // for other threads: one fiber per thread
  bool synchronises;   // parts of a block, or copies: beyond barriers of the block and of warps
  bool polls;          // reads what other blocks may write while it runs: blocks in ascending order
  bool reaches_blocks;    // of its cluster: their shared memory, or their barrier
  u32 cluster[3];         // from .reqnctapercluster; 0, 0, 0: not given
  bool explicit_cluster;  // .explicitcluster: not without the extents of a cluster
  u32 max_cluster_rank;   // blocks of a cluster, at most; 0: not given
  u32 basic_blocks;       // of the kernel and the functions that it may call, as are the lines
  const BlockLine* lines;
  u32 line_count;
};

/// What a fence orders: what was read before it, what is written after it, or both. The fence in an
/// instruction that acquires or releases is a half.
enum class FenceHalf { both, acquire, release };

struct Module {
  const char* ptx;
  u32 architecture;
  bool reaches_blocks;  // one of its kernels does: addresses of shared memory have the block's rank
  const char* const* files;
  const Site* sites;
  const Variable* variables;
  u32 variable_count;
  const Kernel* kernels;
  u32 kernel_count;
  const Function* const* functions;
  u32 function_count;
};

/// Puts a module in the registry, at static initialisation.
class ModuleRegistration {
 public:
  explicit ModuleRegistration(const Module& module);
};

}  // namespace velum::emulation
