// Who said that they were the recorder.
#pragma once

#include <cstddef>
#include <cstdint>

namespace roost {

struct Endpoint {
  char host[64] = "";  // an IPv4 address or a name; what the certificate has to say
  uint16_t port = 0;

  bool is_set() const { return host[0] != '\0' && port != 0; }
  bool operator==(const Endpoint& other) const;
};

// A few of any number of answers. Each answer has the same chance to be among them, so that a rogue
// with a thousand names delays a camera and cannot keep it from its recorder.
class Candidates {
 public:
  static constexpr size_t kCapacity = 8;

  void clear();
  // `chance` is any random number. The same endpoint counts once while it is kept.
  void offer(const Endpoint& endpoint, uint32_t chance);
  size_t size() const { return size_; }
  const Endpoint& operator[](size_t index) const { return kept_[index]; }

 private:
  Endpoint kept_[kCapacity];
  size_t size_ = 0;
  uint32_t offered_ = 0;
};

}  // namespace roost
