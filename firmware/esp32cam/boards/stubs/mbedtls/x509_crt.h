#pragma once

#include <cstddef>
#include <cstdint>

#define MBEDTLS_X509_BADCERT_EXPIRED 0x01
#define MBEDTLS_X509_BADCERT_CN_MISMATCH 0x04
#define MBEDTLS_X509_BADCERT_NOT_TRUSTED 0x08
#define MBEDTLS_X509_BADCERT_FUTURE 0x0200
#define MBEDTLS_ERR_X509_CERT_VERIFY_FAILED -0x2700

typedef struct mbedtls_x509_time {
  int year, mon, day;
  int hour, min, sec;
} mbedtls_x509_time;

typedef struct mbedtls_x509_crt {
  mbedtls_x509_time valid_from;
  mbedtls_x509_time valid_to;
  struct mbedtls_x509_crt* next;
} mbedtls_x509_crt;

typedef struct mbedtls_x509_crl mbedtls_x509_crl;

void mbedtls_x509_crt_init(mbedtls_x509_crt* crt);
int mbedtls_x509_crt_parse(mbedtls_x509_crt* chain, const unsigned char* buf, size_t buflen);
void mbedtls_x509_crt_free(mbedtls_x509_crt* crt);
