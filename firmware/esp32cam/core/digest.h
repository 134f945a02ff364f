// What the WebSocket handshake needs of cryptography (RFC 6455 §4.1): proof that the answer was
// made for this question. SHA-1 protects nothing here; TLS does.
#pragma once

#include <cstddef>
#include <cstdint>

namespace roost {

void sha1(const void* data, size_t size, uint8_t digest[20]);
// With a NUL behind it; `capacity` is at least 4 * ceil(size / 3) + 1, else the text is empty.
void base64(const uint8_t* data, size_t size, char* into, size_t capacity);
// The value of one character, -1 for one that is none.
int base64_value(char character);

}  // namespace roost
