// Written by rns_answers.py; not to be edited.
#pragma once

/// SHA-256 of the residues as little-endian words, polynomial by polynomial, limb by limb.
namespace velum::testing::rns_answers {

inline constexpr const char* kAdd =
    "e9b1b65fefc335ae7663dee45fa87ba70e4525921fa8cb24b49d451bb6f7504a";
inline constexpr const char* kSubtract =
    "b17ae9b21cb3725399456eaccaf497430454ae0deafce2434967271b7d6a4458";
inline constexpr const char* kNegate =
    "82a2236de272ca0e697393d8166e36b4615b2baaa8e48cd57be08834ad9730e2";
inline constexpr const char* kMultiply =
    "144f596fdbc9b1e7ceeb7c14eb64aab88723fe2dafb51f0d1a2ee7af7dac939a";
inline constexpr const char* kMultiplyAccumulate =
    "54f6893055e839fddc2e3c27cfb44c244359fb89bf7374506dbcd5a1a39ac168";
inline constexpr const char* kMultiplyFactors =
    "d2d52c73ebd19018b12f3ed7055aa2df87f1e75f1631689f558139f37f82f5fc";
inline constexpr const char* kMultiplyFactorsAccumulate =
    "ea5ad0300a0ee552a945455e3158d19d170c77f0514df71a16d390a7d96b66e0";
inline constexpr const char* kAddConstants =
    "652109394efb45f704002b9002e7b8b4a271143ce1b79061823317cf8ccc4783";
inline constexpr const char* kInnerProduct =
    "8183f32c2199473a7e1fa9c148412bb0781ee8e30a1673208116c17493a40167";
inline constexpr const char* kAutomorphism5 =
    "cd8ef03984848009db112ae9024fd0c849e5e6aa4ef3476ce9a1c40158a96396";
inline constexpr const char* kAutomorphism511 =
    "e2b689d4dcb54e01fa125483cbeb1e0f9bf070b44c6f859c6eda657524f4f1cc";
inline constexpr const char* kConversion =
    "8dc36de7e03eb20e1c8111574ccb321ff244c56ce122e69cf778e370ec25b218";
inline constexpr const char* kCentredConversion =
    "39405481dca0bfe0a8cd37b5925664775412f335dc44ceb5f9a6d43dc2cfdd7d";
inline constexpr const char* kDivision =
    "8836e3846b06eeb348508a8c3b2370a712219ed226c8ac5e784593fff6715d30";
inline constexpr const char* kRescale =
    "821af738d9b206b9897ff7f48a5756c04696e31690c5be1705da1a4a87a9827f";
inline constexpr const char* kExtension =
    "800c521a94617654fce1cfcce1fb127b8da7e498715e475342ca1d1fc390e7e0";

}  // namespace velum::testing::rns_answers
