#include "portal_dns.h"

#include <cstring>

namespace roost {
namespace {

constexpr size_t kHeadBytes = 12;
constexpr size_t kMaxNameBytes = 255;
constexpr uint8_t kTypeA = 1, kTypeAny = 255;
constexpr uint8_t kSeconds = 10;  // to live: the phone must forget us when it leaves

// The place behind the name at `at`; 0 when it is malformed. A question's name is not compressed.
size_t skip_name(const uint8_t* bytes, size_t size, size_t at) {
  const size_t begin = at;
  while (at < size && at - begin <= kMaxNameBytes) {
    const uint8_t length = bytes[at];
    if (length == 0) return at + 1;
    if (length > 63) return 0;
    at += 1U + length;
  }
  return 0;
}

}  // namespace

size_t answer_dns(const uint8_t* question, size_t size, const uint8_t address[4],
                  uint8_t into[kMaxDnsBytes]) {
  if (size < kHeadBytes || size > kMaxDnsBytes) return 0;
  const bool is_query = (question[2] & 0xF8) == 0;  // neither an answer nor another operation
  if (!is_query || question[4] != 0 || question[5] != 1) return 0;
  const size_t behind_name = skip_name(question, size, kHeadBytes);
  if (behind_name == 0 || behind_name + 4 > size) return 0;
  const uint8_t* kind = question + behind_name;  // type and class
  const bool is_address = kind[0] == 0 && (kind[1] == kTypeA || kind[1] == kTypeAny) &&
                          kind[2] == 0 && kind[3] == 1;
  size_t used = behind_name + 4;
  memcpy(into, question, used);
  into[2] = static_cast<uint8_t>(0x84 | (question[2] & 0x01));  // an answer, and we should know
  into[3] = 0;
  memset(into + 6, 0, 6);
  if (!is_address) return used;
  const uint8_t record[] = {0xC0, kHeadBytes, 0, kTypeA, 0, 1, 0, 0, 0, kSeconds, 0, 4};
  if (used + sizeof record + 4 > kMaxDnsBytes) return 0;
  into[7] = 1;
  memcpy(into + used, record, sizeof record);
  used += sizeof record;
  memcpy(into + used, address, 4);
  return used + 4;
}

}  // namespace roost
