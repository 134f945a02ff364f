// TLS with the system's OpenSSL. There is no way to connect without a trusted certificate.
#pragma once

#include <openssl/ssl.h>

#include "../core/hardware.h"

namespace roost::host {

class OpensslSocket final : public TlsSocket {
 public:
  explicit OpensslSocket(Clock& clock) : clock_(clock) {}
  ~OpensslSocket() { close(); }
  OpensslSocket(const OpensslSocket&) = delete;
  OpensslSocket& operator=(const OpensslSocket&) = delete;

  TlsResult connect(const Endpoint& to, const char* trusted_pem, uint32_t limit_ms) override;
  int read(void* into, size_t capacity) override;
  int write(const void* from, size_t size) override;
  void close() override;

 private:
  bool open_socket(const Endpoint& to, uint64_t deadline_ms);
  bool wait_for(short events, uint64_t deadline_ms);
  TlsResult shake_hands(const Endpoint& to, uint64_t deadline_ms);
  int result_of(int result);

  Clock& clock_;
  SSL_CTX* context_ = nullptr;
  SSL* ssl_ = nullptr;
  int socket_ = -1;
};

}  // namespace roost::host
