// TLS 1.2 with the mbedTLS of ESP-IDF 4.4. Arduino's WiFiClientSecure writes without a deadline and
// does not say why a certificate was refused.
#pragma once

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>

#include "../core/hardware.h"

namespace roost::esp32 {

class MbedtlsSocket final : public TlsSocket {
 public:
  explicit MbedtlsSocket(Clock& clock) : clock_(clock) {}
  bool begin();  // seeds the random numbers of TLS; false: there will be no connection

  TlsResult connect(const Endpoint& to, const char* trusted_pem, uint32_t limit_ms) override;
  int read(void* into, size_t capacity) override;
  int write(const void* from, size_t size) override;
  void close() override;

 private:
  bool open_socket(const Endpoint& to, uint64_t deadline_ms);
  bool prepare(const Endpoint& to, const char* trusted_pem);
  TlsResult shake_hands(uint64_t deadline_ms);
  int result_of(int result);

  Clock& clock_;
  mbedtls_entropy_context entropy_;
  mbedtls_ctr_drbg_context random_;
  mbedtls_ssl_context ssl_;
  mbedtls_ssl_config config_;
  mbedtls_x509_crt trusted_;
  bool is_seeded_ = false;
  bool is_open_ = false;
  int socket_ = -1;
};

}  // namespace roost::esp32
