#pragma once

#include <vector>

/// Products of matrices by mma.sync, each lane filling its registers as the PTX manual lays them
/// out.
namespace velum::emulation::matrices {

struct Form {
  const char* name;  // the instruction
  int rows;          // M: of A, C and D
  int depth;         // K: columns of A, rows of B
  const char* a;     // types of the elements
  const char* b;
  const char* d;
  bool saturates;
};
inline constexpr int kColumns = 8;  // N
/// All forms that the translator's table has.
const std::vector<Form>& forms();

/// A B + C by forms()[form]. A is [M, K], B [K, N], C [M, N], all row-major and of numbers that the
/// types of the elements hold exactly.
std::vector<double> multiply(std::size_t form, const std::vector<double>& a,
                             const std::vector<double>& b, const std::vector<double>& c);
/// The operand bits of A as they are, of tf32 without a conversion.
std::vector<double> multiply_unconverted(const std::vector<float>& a);
/// With 31 lanes.
void multiply_without_a_lane();

enum class Loads { kFour, kFourTransposed, kTwo, kTwoTransposed, kOne, kOneTransposed };
/// A B of f16 matrices [16, 16] and [16, 8], loaded from shared memory by ldmatrix: A by the forms
/// with four matrices or else element by element, B by those with two or one.
std::vector<double> multiply_from_shared(Loads loads, const std::vector<double>& a,
                                         const std::vector<double>& b);

/// The same by nvcuda::wmma; every element of A and of the result is doubled in its fragment, so
/// this is 4 A B + 2 C.
struct FragmentForm {
  int rows, columns, depth;
  const char* ab;  // type of A and B
  const char* cd;
};
const std::vector<FragmentForm>& fragment_forms();
std::vector<double> multiply_fragments(std::size_t form, const std::vector<double>& a,
                                       const std::vector<double>& b, const std::vector<double>& c);

}  // namespace velum::emulation::matrices
