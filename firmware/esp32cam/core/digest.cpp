#include "digest.h"

#include <cstring>

namespace roost {
namespace {

constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

uint32_t rotate(uint32_t word, int bits) { return word << bits | word >> (32 - bits); }

// One block of 64 bytes (FIPS 180-4 §6.1.2).
void mix(uint32_t state[5], const uint8_t* block) {
  uint32_t words[80];
  for (int i = 0; i < 16; ++i) {
    words[i] = static_cast<uint32_t>(block[4 * i]) << 24 |
               static_cast<uint32_t>(block[4 * i + 1]) << 16 |
               static_cast<uint32_t>(block[4 * i + 2]) << 8 | block[4 * i + 3];
  }
  for (int i = 16; i < 80; ++i) {
    words[i] = rotate(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
  }
  uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
  for (int i = 0; i < 80; ++i) {
    const uint32_t choice = i < 20   ? ((b & c) | (~b & d)) + 0x5A827999
                            : i < 40 ? (b ^ c ^ d) + 0x6ED9EBA1
                            : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDC
                                     : (b ^ c ^ d) + 0xCA62C1D6;
    const uint32_t next = rotate(a, 5) + choice + e + words[i];
    e = d, d = c, c = rotate(b, 30), b = a, a = next;
  }
  state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

}  // namespace

void sha1(const void* data, size_t size, uint8_t digest[20]) {
  uint32_t state[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
  const auto* bytes = static_cast<const uint8_t*>(data);
  size_t at = 0;
  for (; at + 64 <= size; at += 64) mix(state, bytes + at);
  uint8_t tail[128] = {};
  const size_t rest = size - at;
  if (rest > 0) memcpy(tail, bytes + at, rest);
  tail[rest] = 0x80;
  const size_t padded = rest < 56 ? 64 : 128;
  const uint64_t bits = static_cast<uint64_t>(size) * 8;
  for (int i = 0; i < 8; ++i) tail[padded - 1 - i] = static_cast<uint8_t>(bits >> (8 * i));
  for (size_t block = 0; block < padded; block += 64) mix(state, tail + block);
  for (int i = 0; i < 20; ++i) digest[i] = static_cast<uint8_t>(state[i / 4] >> (24 - 8 * (i % 4)));
}

void base64(const uint8_t* data, size_t size, char* into, size_t capacity) {
  if (capacity == 0) return;
  into[0] = '\0';
  if (capacity < (size + 2) / 3 * 4 + 1) return;
  for (size_t at = 0; at < size; at += 3) {
    const size_t left = size - at;
    const uint32_t group = static_cast<uint32_t>(data[at]) << 16 |
                           (left > 1 ? static_cast<uint32_t>(data[at + 1]) << 8 : 0) |
                           (left > 2 ? data[at + 2] : 0U);
    *into++ = kAlphabet[group >> 18];
    *into++ = kAlphabet[group >> 12 & 63];
    *into++ = left > 1 ? kAlphabet[group >> 6 & 63] : '=';
    *into++ = left > 2 ? kAlphabet[group & 63] : '=';
  }
  *into = '\0';
}

int base64_value(char character) {
  if (character == '\0') return -1;
  const char* found = strchr(kAlphabet, character);
  return found == nullptr ? -1 : static_cast<int>(found - kAlphabet);
}

}  // namespace roost
