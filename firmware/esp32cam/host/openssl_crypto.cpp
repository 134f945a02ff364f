#include "openssl_crypto.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>

namespace roost::host {
namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

Key read_key(const uint8_t* der, size_t size) {
  Key key(d2i_PUBKEY(nullptr, &der, static_cast<long>(size)), EVP_PKEY_free);
  const bool is_curve = key != nullptr && EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_EC &&
                        EVP_PKEY_get_bits(key.get()) == 256;
  if (!is_curve) key.reset();
  ERR_clear_error();
  return key;
}

}  // namespace

bool OpensslCrypto::is_certificate(const char* pem) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> text(BIO_new_mem_buf(pem, -1), BIO_free);
  const std::unique_ptr<X509, decltype(&X509_free)> read(
      PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr), X509_free);
  ERR_clear_error();
  return read != nullptr && X509_get0_pubkey(read.get()) != nullptr;
}

bool OpensslCrypto::is_public_key(const uint8_t* der, size_t size) {
  const Key key = read_key(der, size);
  if (key == nullptr) return false;
  const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(
      EVP_PKEY_CTX_new(key.get(), nullptr), EVP_PKEY_CTX_free);
  const bool is_good = context != nullptr && EVP_PKEY_public_check(context.get()) == 1;
  ERR_clear_error();
  return is_good;
}

bool OpensslCrypto::is_signed(const uint8_t* key_der, size_t key_size, const uint8_t digest[32],
                              const uint8_t* signature, size_t signature_size) {
  const Key key = read_key(key_der, key_size);
  if (key == nullptr) return false;
  const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(
      EVP_PKEY_CTX_new(key.get(), nullptr), EVP_PKEY_CTX_free);
  const bool is_good = context != nullptr && EVP_PKEY_verify_init(context.get()) == 1 &&
                       EVP_PKEY_verify(context.get(), signature, signature_size, digest, 32) == 1;
  ERR_clear_error();
  return is_good;
}

}  // namespace roost::host
