// The portal's DNS: every name is here (RFC 1035 §4), so that a phone that asks for any page gets
// the form.
#pragma once

#include <cstddef>
#include <cstdint>

namespace roost {

constexpr size_t kMaxDnsBytes = 512;

// The answer to one datagram; returns its size, 0 for what deserves none. Only questions of type A
// get the address; others learn that the name is there and has none of that.
size_t answer_dns(const uint8_t* question, size_t size, const uint8_t address[4],
                  uint8_t into[kMaxDnsBytes]);

}  // namespace roost
