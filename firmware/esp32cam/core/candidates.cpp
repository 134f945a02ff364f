#include "candidates.h"

#include <cstring>

namespace roost {

bool Endpoint::operator==(const Endpoint& other) const {
  return port == other.port && strcmp(host, other.host) == 0;
}

void Candidates::clear() {
  size_ = 0;
  offered_ = 0;
}

void Candidates::offer(const Endpoint& endpoint, uint32_t chance) {
  if (!endpoint.is_set()) return;
  for (size_t i = 0; i < size_; ++i) {
    if (kept_[i] == endpoint) return;
  }
  ++offered_;
  if (size_ < kCapacity) {
    kept_[size_++] = endpoint;
    return;
  }
  const uint32_t place = chance % offered_;  // reservoir sampling
  if (place < kCapacity) kept_[place] = endpoint;
}

}  // namespace roost
