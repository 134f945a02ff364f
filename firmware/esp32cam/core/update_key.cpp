#include "update_key.h"

#include <cstdio>
#include <cstring>

#include "digest.h"
#include "sha256.h"

namespace roost {
namespace {

constexpr char kBegin[] = "-----BEGIN PUBLIC KEY-----";
constexpr char kEnd[] = "-----END PUBLIC KEY-----";
// id-ecPublicKey, prime256v1, and a BIT STRING with an uncompressed point (RFC 5480 §2).
constexpr uint8_t kPrefix[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48,
                               0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48,
                               0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};

int value_of(char c) { return base64_value(c == '-' ? '+' : c == '_' ? '/' : c); }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

}  // namespace

bool parse_update_key(const char* text, uint8_t into[kUpdateKeyBytes]) {
  while (is_space(*text)) ++text;
  const char* end = text + strlen(text);
  if (strncmp(text, kBegin, sizeof kBegin - 1) == 0) {
    text += sizeof kBegin - 1;
    end = strstr(text, kEnd);
    if (end == nullptr) return false;
  }
  uint8_t bytes[kUpdateKeyBytes];
  size_t size = 0;
  uint32_t group = 0;
  int bits = 0;
  for (; text < end; ++text) {
    if (is_space(*text) || *text == '=') continue;
    const int value = value_of(*text);
    if (value < 0) return false;
    group = group << 6 | static_cast<uint32_t>(value);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    if (size == sizeof bytes) return false;
    bytes[size++] = static_cast<uint8_t>(group >> bits);
  }
  if (size != sizeof bytes || memcmp(bytes, kPrefix, sizeof kPrefix) != 0) return false;
  memcpy(into, bytes, sizeof bytes);
  return true;
}

void write_fingerprint(const uint8_t key[kUpdateKeyBytes], char into[17]) {
  uint8_t digest[Sha256::kBytes];
  Sha256::of(key, kUpdateKeyBytes, digest);
  for (int i = 0; i < 8; ++i) snprintf(into + 2 * i, 3, "%02x", digest[i]);
}

}  // namespace roost
