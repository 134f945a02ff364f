#include "utf8.h"

namespace roost {

const char* decode_utf8(const char* at, const char* end, uint32_t* into) {
  const auto first = static_cast<unsigned char>(*at++);
  if (first < 0x80) {
    *into = first;
    return at;
  }
  const int more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
  if (first < 0xC2 || first > 0xF4 || end - at < more) return nullptr;
  uint32_t character = first & (0x3FU >> more);
  for (int i = 0; i < more; ++i) {
    const auto next = static_cast<unsigned char>(*at++);
    if ((next & 0xC0) != 0x80) return nullptr;
    character = character << 6 | (next & 0x3FU);
  }
  const uint32_t least = more == 3 ? 0x10000 : more == 2 ? 0x800 : 0x80;
  const bool is_surrogate = 0xD800 <= character && character <= 0xDFFF;
  if (character < least || character > 0x10FFFF || is_surrogate) return nullptr;
  *into = character;
  return at;
}

size_t encode_utf8(uint32_t character, char* into) {
  if (character < 0x80) {
    into[0] = static_cast<char>(character);
    return 1;
  }
  const size_t more = character >= 0x10000 ? 3 : character >= 0x800 ? 2 : 1;
  for (size_t i = more; i > 0; --i) {
    into[i] = static_cast<char>(0x80 | (character & 0x3F));
    character >>= 6;
  }
  static constexpr unsigned kLead[] = {0, 0xC0, 0xE0, 0xF0};
  into[0] = static_cast<char>(kLead[more] | character);
  return more + 1;
}

}  // namespace roost
