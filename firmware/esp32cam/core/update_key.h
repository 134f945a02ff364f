// The public key whose signature an image has to carry.
#pragma once

#include <cstddef>
#include <cstdint>

namespace roost {

constexpr size_t kUpdateKeyBytes = 91;  // DER SubjectPublicKeyInfo with an uncompressed P-256 point

// From PEM ("-----BEGIN PUBLIC KEY-----") or from base64url of the DER. False for anything that has
// not the shape of such a key; whether its point is on the curve only the TLS library knows.
bool parse_update_key(const char* text, uint8_t into[kUpdateKeyBytes]);
// The first 16 hexadecimal digits of its SHA-256.
void write_fingerprint(const uint8_t key[kUpdateKeyBytes], char into[17]);

}  // namespace roost
