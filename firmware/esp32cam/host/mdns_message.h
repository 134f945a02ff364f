// The little of DNS (RFC 1035) and mDNS (RFC 6762) that finding a recorder needs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../core/candidates.h"

namespace roost::host {

constexpr size_t kMaxMdnsBytes = 9000;  // RFC 6762 §17

// One PTR question for `_mycam-server._tcp.local`. Returns its size, at most 64.
size_t write_question(uint16_t id, uint8_t into[64]);

// The first IPv4 address and port of every recorder that one packet fully describes: PTR, SRV and A
// together, as RFC 6763 §12.1 wants it. Anything malformed ends the reading; what was understood
// before counts, since TLS decides anyway. `chance` is a random number.
void read_answer(const uint8_t* packet, size_t size, uint32_t chance, Candidates& found);

}  // namespace roost::host
