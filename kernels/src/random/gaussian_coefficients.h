#pragma once

namespace velum::kernels {

/// Of the polynomials of gaussian_map-inl.h in double, the highest power first.
struct GaussianCoefficients {
  double values[22];
};

inline constexpr GaussianCoefficients kGaussianCoefficients = {{
    // sin(pi/4 t) / t in t^2
    0x1.e3eed64f39fa7p-38,
    -0x1.e30063a1fae0ep-30,
    0x1.50782fca3b22ap-22,
    -0x1.32d2cce2d538ep-15,
    0x1.466bc67758700p-9,
    -0x1.4abbce625be41p-4,
    0x1.921fb54442d18p-1,
    // cos(pi/4 t) in t^2, but for the constant 1
    -0x1.b263c2842dd5fp-42,
    0x1.f9cc40aa0da08p-34,
    -0x1.a6d1ec7e0823cp-26,
    0x1.e1f5068367addp-19,
    -0x1.55d3c7e3c9280p-12,
    0x1.03c1f081b5aaep-6,
    -0x1.3bd3cc9be45dep-2,
    // -4 atanh(r) / r in r^2, but for the constant -4
    -0x1.2f05625a35532p-2,
    -0x1.39a1bad95e77bp-2,
    -0x1.74663ee6f1bd2p-2,
    -0x1.c71c520965641p-2,
    -0x1.24924941f1180p-1,
    -0x1.999999997fdb9p-1,
    -0x1.5555555555592p+0,
    // -2 ln 2
    -0x1.62e42fefa39efp+0,
}};

/// Where each begins.
inline constexpr int kSine = 0;
inline constexpr int kCosine = 7;
inline constexpr int kLog = 14;
inline constexpr int kMinusTwoLn2 = 21;

}  // namespace velum::kernels
