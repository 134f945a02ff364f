// The head of an image file: what it is, for which board, and who says so.
//
//     0   "ROOSTFW1"
//     8   board, 32 bytes of UTF-8, NUL padded
//     40  version, 32 bytes likewise, MAJOR.MINOR.PATCH
//     72  size of the image, u32 little-endian
//     76  SHA-256 of the image
//     108 length of the signature, u16 little-endian; what is signed ends before it
//     110 signature, ECDSA P-256 with SHA-256 in DER, in 72 bytes, zero padded
//     182 the image
#pragma once

#include <cstddef>
#include <cstdint>

#include "messages.h"

namespace roost {

constexpr size_t kImageHeadBytes = 182;
constexpr size_t kSignedBytes = 108;

struct ImageHead {
  char board[33];
  char version[kMaxVersionBytes + 1];
  uint32_t image_bytes;
  uint8_t sha256[32];
  const uint8_t* signature;  // inside the bytes that were read
  size_t signature_bytes;
};

// False for what is no such head.
bool read_image_head(const uint8_t bytes[kImageHeadBytes], ImageHead* into);

struct Version {
  uint32_t numbers[3] = {};
};

// "1.20.3": three numbers below 1,000,000 without leading zeros, and nothing else.
bool parse_version(const char* text, Version* into);
// False also when one of the two is no version.
bool is_newer(const char* version, const char* than);

}  // namespace roost
