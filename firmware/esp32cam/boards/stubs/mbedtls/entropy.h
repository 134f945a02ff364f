#pragma once

#include <cstddef>

typedef struct {
  int opaque;
} mbedtls_entropy_context;

void mbedtls_entropy_init(mbedtls_entropy_context* ctx);
int mbedtls_entropy_func(void* data, unsigned char* output, size_t len);
