// SHA-256 (FIPS 180-4 §6.2) of bytes as they come.
#pragma once

#include <cstddef>
#include <cstdint>

namespace roost {

class Sha256 {
 public:
  static constexpr size_t kBytes = 32;

  void add(const void* data, size_t size);
  // Ends it; nothing may be added after that.
  void finish(uint8_t digest[kBytes]);

  static void of(const void* data, size_t size, uint8_t digest[kBytes]);

 private:
  void mix(const uint8_t* block);

  uint32_t state_[8] = {0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
                        0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19};
  uint8_t block_[64] = {};
  size_t used_ = 0;  // of the block
  uint64_t size_ = 0;
};

}  // namespace roost
