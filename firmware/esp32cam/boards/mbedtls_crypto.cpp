#include "mbedtls_crypto.h"

#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>
#include <string.h>

namespace roost::esp32 {
namespace {

class Key {
 public:
  Key(const uint8_t* der, size_t size) {
    mbedtls_pk_init(&context_);
    // It checks that the point is on its curve.
    is_good_ = mbedtls_pk_parse_public_key(&context_, der, size) == 0 &&
               mbedtls_pk_can_do(&context_, MBEDTLS_PK_ECDSA) != 0 &&
               mbedtls_pk_get_bitlen(&context_) == 256;
  }
  ~Key() { mbedtls_pk_free(&context_); }
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;

  bool is_good() const { return is_good_; }
  mbedtls_pk_context* context() { return &context_; }

 private:
  mbedtls_pk_context context_;
  bool is_good_;
};

}  // namespace

bool MbedtlsCrypto::is_certificate(const char* pem) {
  mbedtls_x509_crt read;
  mbedtls_x509_crt_init(&read);
  const auto* bytes = reinterpret_cast<const unsigned char*>(pem);
  const bool is_good = mbedtls_x509_crt_parse(&read, bytes, strlen(pem) + 1) == 0;
  mbedtls_x509_crt_free(&read);
  return is_good;
}

bool MbedtlsCrypto::is_public_key(const uint8_t* der, size_t size) {
  return Key(der, size).is_good();
}

bool MbedtlsCrypto::is_signed(const uint8_t* key_der, size_t key_size, const uint8_t digest[32],
                              const uint8_t* signature, size_t signature_size) {
  Key key(key_der, key_size);
  return key.is_good() && mbedtls_pk_verify(key.context(), MBEDTLS_MD_SHA256, digest, 32, signature,
                                            signature_size) == 0;
}

}  // namespace roost::esp32
