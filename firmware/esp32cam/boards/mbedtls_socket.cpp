#include "mbedtls_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <lwip/netdb.h>
#include <lwip/sockets.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

namespace roost::esp32 {
namespace {

constexpr uint32_t kPollMs = 2;

int send_some(void* context, const unsigned char* bytes, size_t size) {
  const int sent = ::send(*static_cast<int*>(context), bytes, size, 0);
  if (sent >= 0) return sent;
  return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_WRITE
                                           : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

int receive_some(void* context, unsigned char* bytes, size_t size) {
  const int received = ::recv(*static_cast<int*>(context), bytes, size, 0);
  if (received >= 0) return received;
  return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_READ
                                           : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

TlsResult result_for(uint32_t flags) {
  if ((flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) != 0) return TlsResult::untrusted;
  if ((flags & MBEDTLS_X509_BADCERT_CN_MISMATCH) != 0) return TlsResult::wrong_name;
  if ((flags & (MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE)) != 0) {
    return TlsResult::out_of_date;
  }
  return flags == 0 ? TlsResult::failed : TlsResult::untrusted;
}

// As one number that grows with time: mbedTLS's dates are numbers apart.
int64_t rank(int year, int month, int day, int hour, int minute, int second) {
  return ((((static_cast<int64_t>(year) * 12 + month) * 31 + day) * 24 + hour) * 60 + minute) * 60 +
         second;
}

int64_t rank(const mbedtls_x509_time& at) {
  return rank(at.year, at.mon, at.day, at.hour, at.min, at.sec);
}

// The Arduino core's mbedTLS is built without dates (MBEDTLS_HAVE_TIME_DATE), so we compare them.
bool is_within_dates(const mbedtls_x509_crt& certificate, int64_t unix_s) {
  const time_t wall = static_cast<time_t>(unix_s);
  tm utc = {};
  gmtime_r(&wall, &utc);
  const int64_t now =
      rank(utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
  return rank(certificate.valid_from) <= now && now <= rank(certificate.valid_to);
}

}  // namespace

bool MbedtlsSocket::begin() {
  mbedtls_entropy_init(&entropy_);
  mbedtls_ctr_drbg_init(&random_);
  is_seeded_ = mbedtls_ctr_drbg_seed(&random_, mbedtls_entropy_func, &entropy_, nullptr, 0) == 0;
  return is_seeded_;
}

TlsResult MbedtlsSocket::connect(const Endpoint& to, const char* trusted_pem, uint32_t limit_ms) {
  close();
  const uint64_t deadline_ms = clock_.now_ms() + limit_ms;
  mbedtls_ssl_init(&ssl_);
  mbedtls_ssl_config_init(&config_);
  mbedtls_x509_crt_init(&trusted_);
  is_open_ = true;  // there is something to free
  TlsResult result = TlsResult::untrusted;
  if (is_seeded_ && prepare(to, trusted_pem)) {
    result = open_socket(to, deadline_ms) ? shake_hands(deadline_ms) : TlsResult::unreachable;
  }
  if (result != TlsResult::ok) close();
  return result;
}

bool MbedtlsSocket::prepare(const Endpoint& to, const char* trusted_pem) {
  const auto* pem = reinterpret_cast<const unsigned char*>(trusted_pem);
  // The number of certificates that could not be read is no error here: any other one still counts.
  if (mbedtls_x509_crt_parse(&trusted_, pem, strlen(trusted_pem) + 1) < 0) return false;
  if (mbedtls_ssl_config_defaults(&config_, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                  MBEDTLS_SSL_PRESET_DEFAULT) != 0) {
    return false;
  }
  mbedtls_ssl_conf_authmode(&config_, MBEDTLS_SSL_VERIFY_REQUIRED);
  mbedtls_ssl_conf_min_version(&config_, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
  mbedtls_ssl_conf_ca_chain(&config_, &trusted_, nullptr);
  mbedtls_ssl_conf_rng(&config_, mbedtls_ctr_drbg_random, &random_);
  if (mbedtls_ssl_setup(&ssl_, &config_) != 0) return false;
  mbedtls_ssl_set_bio(&ssl_, &socket_, send_some, receive_some, nullptr);
  return mbedtls_ssl_set_hostname(&ssl_, to.host) == 0;
}

bool MbedtlsSocket::open_socket(const Endpoint& to, uint64_t deadline_ms) {
  addrinfo wanted = {}, *found = nullptr;
  wanted.ai_family = AF_INET;
  wanted.ai_socktype = SOCK_STREAM;
  char port[8];
  snprintf(port, sizeof port, "%u", static_cast<unsigned>(to.port));
  if (getaddrinfo(to.host, port, &wanted, &found) != 0 || found == nullptr) return false;
  socket_ = socket(AF_INET, SOCK_STREAM, 0);
  if (socket_ < 0) {
    freeaddrinfo(found);
    return false;
  }
  fcntl(socket_, F_SETFL, fcntl(socket_, F_GETFL, 0) | O_NONBLOCK);
  const int result = ::connect(socket_, found->ai_addr, found->ai_addrlen);
  const bool is_under_way = result == 0 || errno == EINPROGRESS;
  freeaddrinfo(found);
  const uint64_t now_ms = clock_.now_ms();
  if (!is_under_way || now_ms >= deadline_ms) return false;
  const uint64_t left_ms = deadline_ms - now_ms;
  timeval left = {};
  left.tv_sec = static_cast<time_t>(left_ms / 1000);
  left.tv_usec = static_cast<suseconds_t>(left_ms % 1000 * 1000);
  fd_set writable;
  FD_ZERO(&writable);
  FD_SET(socket_, &writable);
  if (select(socket_ + 1, nullptr, &writable, nullptr, &left) != 1) return false;
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &size);
  const int yes = 1;
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  return error == 0;
}

TlsResult MbedtlsSocket::shake_hands(uint64_t deadline_ms) {
  while (true) {
    const int result = mbedtls_ssl_handshake(&ssl_);
    if (result == 0) break;
    if (result != MBEDTLS_ERR_SSL_WANT_READ && result != MBEDTLS_ERR_SSL_WANT_WRITE) {
      const bool is_verdict = result == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED;
      return is_verdict ? result_for(mbedtls_ssl_get_verify_result(&ssl_)) : TlsResult::failed;
    }
    if (clock_.now_ms() >= deadline_ms) return TlsResult::unreachable;
    clock_.pause_ms(kPollMs);
  }
  const uint32_t flags = mbedtls_ssl_get_verify_result(&ssl_);
  if (flags != 0) return result_for(flags);
  const mbedtls_x509_crt* peer = mbedtls_ssl_get_peer_cert(&ssl_);
  if (peer == nullptr) return TlsResult::untrusted;
  const int64_t wall_s = clock_.wall_s();
  return wall_s == 0 || is_within_dates(*peer, wall_s) ? TlsResult::ok : TlsResult::out_of_date;
}

int MbedtlsSocket::result_of(int result) {
  if (result > 0) return result;
  if (result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE) return 0;
  close();
  return -1;
}

int MbedtlsSocket::read(void* into, size_t capacity) {
  if (!is_open_) return -1;
  return result_of(mbedtls_ssl_read(&ssl_, static_cast<unsigned char*>(into), capacity));
}

int MbedtlsSocket::write(const void* from, size_t size) {
  if (!is_open_) return -1;
  return result_of(mbedtls_ssl_write(&ssl_, static_cast<const unsigned char*>(from), size));
}

void MbedtlsSocket::close() {
  if (!is_open_) return;
  is_open_ = false;
  if (socket_ >= 0) {
    mbedtls_ssl_close_notify(&ssl_);
    ::close(socket_);
    socket_ = -1;
  }
  mbedtls_ssl_free(&ssl_);
  mbedtls_ssl_config_free(&config_);
  mbedtls_x509_crt_free(&trusted_);
}

}  // namespace roost::esp32
