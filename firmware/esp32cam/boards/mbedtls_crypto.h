// Keys and certificates with the mbedTLS of ESP-IDF 4.4.
#pragma once

#include "../core/hardware.h"

namespace roost::esp32 {

class MbedtlsCrypto final : public Crypto {
 public:
  bool is_certificate(const char* pem) override;
  bool is_public_key(const uint8_t* der, size_t size) override;
  bool is_signed(const uint8_t* key_der, size_t key_size, const uint8_t digest[32],
                 const uint8_t* signature, size_t signature_size) override;
};

}  // namespace roost::esp32
