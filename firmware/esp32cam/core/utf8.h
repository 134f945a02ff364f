// UTF-8 (RFC 3629): shortest forms only, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <cstdint>

namespace roost {

// Past one character; null when the bytes are none. `at` is below `end`.
const char* decode_utf8(const char* at, const char* end, uint32_t* into);
// Bytes written, 1 to 4.
size_t encode_utf8(uint32_t character, char* into);

}  // namespace roost
