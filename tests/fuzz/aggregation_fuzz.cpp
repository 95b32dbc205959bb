// What an aggregation reads from outside. The first byte of an input says what the rest is: a
// vector or share (their hashes are set right first, but for one of eight inputs), a message, or
// the payload of a kind of message. What is accepted is the same bytes when it is written again.
#include <openssl/sha.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "aggregation/protocol/messages.h"
#include "velum/he/aggregation/serialization.h"

using namespace velum::he::aggregation;  // NOLINT(google-build-using-namespace): all of it
using velum::kernels::Span;
using velum::kernels::Stream;

namespace {

constexpr const char* kFunction = "fuzz";

Identity identity_of(int number) {
  std::array<std::uint8_t, 32> key{};
  key[0] = static_cast<std::uint8_t>(number + 1);
  return Identity::from_private_key(key);
}

/// The group of tests/fuzz/corpus/aggregation: three owners, two of whom decrypt.
const Members& members() {
  static const Members instance = [] {
    PlanRequest request;
    request.values = 20;
    request.bits = 4;
    request.owners = 3;
    request.threshold = 2;
    Roster roster;
    roster.aggregator = identity_of(0).public_identity();
    for (int owner = 1; owner <= 3; ++owner)
      roster.owners.push_back(identity_of(owner).public_identity());
    return Members(kFunction,
                   AggregationContext::create(AggregationPlan::create_insecure(request, 4, 3),
                                              Stream::serial()),
                   roster);
  }();
  return instance;
}

void require(bool holds) {
  if (!holds) std::abort();
}

/// Reads; what was accepted is, written again, what was read.
template <typename Read, typename Write>
void check(const Bytes& input, const Read& read, const Write& write) {
  try {
    require(write(read(Span<const std::uint8_t>(input))) == input);
  } catch (const velum::he::SerializationError&) {
  } catch (const ProtocolError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::uint8_t what = data[0];
  Bytes input(data + 1, data + size);
  const Stream stream = Stream::serial();
  const auto& context = members().context();
  switch (what % 7) {
    case 0:
    case 1: {
      if (input.size() >= SHA256_DIGEST_LENGTH && input.back() % 8 != 0)
        SHA256(input.data(), input.size() - SHA256_DIGEST_LENGTH,
               input.data() + input.size() - SHA256_DIGEST_LENGTH);
      const auto write = [&](const auto& object) { return to_bytes(object, stream); };
      if (what % 7 == 0) {
        check(
            input,
            [&](Span<const std::uint8_t> bytes) {
              return encrypted_vector_from_bytes(bytes, context, stream);
            },
            write);
      } else {
        check(
            input,
            [&](Span<const std::uint8_t> bytes) {
              return decryption_share_from_bytes(bytes, context, stream);
            },
            write);
      }
      break;
    }
    case 2:
      check(
          input, [&](Span<const std::uint8_t> bytes) { return members().open(kFunction, bytes); },
          [&](const Message& message) {
            return message_of(message.header, message.payload, identity_of(message.header.sender));
          });
      break;
    case 3:
      check(
          input,
          [&](Span<const std::uint8_t> bytes) {
            return read_setup_keys(kFunction, members(), bytes);
          },
          setup_keys_payload);
      break;
    case 4:
      check(
          input,
          [&](Span<const std::uint8_t> bytes) { return read_summary(kFunction, members(), bytes); },
          summary_payload);
      break;
    case 5:
      check(
          input,
          [&](Span<const std::uint8_t> bytes) {
            return read_share_request(kFunction, members(), bytes);
          },
          share_request_payload);
      break;
    default:
      check(
          input, [](Span<const std::uint8_t> bytes) { return read_round_start(kFunction, bytes); },
          round_start_payload);
      break;
  }
  return 0;
}
