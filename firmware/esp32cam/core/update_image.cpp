#include "update_image.h"

#include <cstring>

namespace roost {
namespace {

constexpr char kMagic[] = "ROOSTFW1";
constexpr size_t kFieldBytes = 32, kSignatureField = 72;

bool is_zero(const uint8_t* bytes, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    if (bytes[i] != 0) return false;
  }
  return true;
}

// A padded text; false when something hides behind its end.
bool read_field(const uint8_t* bytes, char into[kFieldBytes + 1]) {
  memcpy(into, bytes, kFieldBytes);
  into[kFieldBytes] = '\0';
  const size_t length = strlen(into);
  return length > 0 && is_zero(bytes + length, kFieldBytes - length);
}

}  // namespace

bool read_image_head(const uint8_t bytes[kImageHeadBytes], ImageHead* into) {
  if (memcmp(bytes, kMagic, 8) != 0) return false;
  if (!read_field(bytes + 8, into->board) || !read_field(bytes + 40, into->version)) return false;
  Version version;
  if (!parse_version(into->version, &version)) return false;
  into->image_bytes = 0;
  for (int i = 3; i >= 0; --i) into->image_bytes = into->image_bytes << 8 | bytes[72 + i];
  memcpy(into->sha256, bytes + 76, sizeof into->sha256);
  into->signature = bytes + 110;
  into->signature_bytes = static_cast<size_t>(bytes[108] | bytes[109] << 8);
  if (into->signature_bytes == 0 || into->signature_bytes > kSignatureField) return false;
  return is_zero(into->signature + into->signature_bytes, kSignatureField - into->signature_bytes);
}

bool parse_version(const char* text, Version* into) {
  const char* at = text;
  for (int part = 0; part < 3; ++part) {
    uint32_t number = 0;
    const char* begin = at;
    for (; '0' <= *at && *at <= '9'; ++at) {
      if (at - begin >= 6) return false;
      number = number * 10 + static_cast<uint32_t>(*at - '0');
    }
    if (at == begin || (*begin == '0' && at - begin > 1)) return false;
    into->numbers[part] = number;
    if (*at++ != (part < 2 ? '.' : '\0')) return false;
  }
  return true;
}

bool is_newer(const char* version, const char* than) {
  Version a, b;
  if (!parse_version(version, &a) || !parse_version(than, &b)) return false;
  for (int part = 0; part < 3; ++part) {
    if (a.numbers[part] != b.numbers[part]) return a.numbers[part] > b.numbers[part];
  }
  return false;
}

}  // namespace roost
