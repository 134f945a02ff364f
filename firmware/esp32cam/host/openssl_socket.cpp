#include "openssl_socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace roost::host {
namespace {

// Every certificate of the text; false when there is none.
bool trust(SSL_CTX* context, const char* pem) {
  BIO* text = BIO_new_mem_buf(pem, -1);
  int count = 0;
  while (X509* certificate = PEM_read_bio_X509(text, nullptr, nullptr, nullptr)) {
    count += X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate);
    X509_free(certificate);
  }
  ERR_clear_error();  // the end of the text is said as an error
  BIO_free(text);
  return count > 0;
}

// As mbedTLS 2.28 does it on the board, which knows an address only as text among the dNSNames;
// and an address entry too, as mbedTLS 3 does.
bool is_called(X509* certificate, const char* name) {
  return X509_check_ip_asc(certificate, name, 0) == 1 ||
         X509_check_host(certificate, name, 0, X509_CHECK_FLAG_NO_WILDCARDS, nullptr) == 1;
}

TlsResult result_for(long verdict) {
  switch (verdict) {
    case X509_V_OK: return TlsResult::failed;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID: return TlsResult::out_of_date;
    default: return TlsResult::untrusted;
  }
}

}  // namespace

TlsResult OpensslSocket::connect(const Endpoint& to, const char* trusted_pem, uint32_t limit_ms) {
  close();
  const uint64_t deadline_ms = clock_.now_ms() + limit_ms;
  context_ = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_min_proto_version(context_, TLS1_2_VERSION);
  SSL_CTX_set_mode(context_, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
  X509_VERIFY_PARAM* rules = SSL_CTX_get0_param(context_);
  // A pinned server certificate that signed itself is its own authority.
  unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN;
  if (clock_.wall_s() == 0) flags |= X509_V_FLAG_NO_CHECK_TIME;  // there is no time to compare with
  X509_VERIFY_PARAM_set_flags(rules, flags);
  if (clock_.wall_s() != 0) X509_VERIFY_PARAM_set_time(rules, clock_.wall_s());
  TlsResult result = TlsResult::untrusted;
  if (trust(context_, trusted_pem)) {
    const bool is_open = open_socket(to, deadline_ms);
    result = is_open ? shake_hands(to, deadline_ms) : TlsResult::unreachable;
  }
  if (result != TlsResult::ok) close();
  return result;
}

bool OpensslSocket::open_socket(const Endpoint& to, uint64_t deadline_ms) {
  addrinfo wanted = {}, *found = nullptr;
  wanted.ai_family = AF_INET;
  wanted.ai_socktype = SOCK_STREAM;
  char port[8];
  snprintf(port, sizeof port, "%u", static_cast<unsigned>(to.port));
  if (getaddrinfo(to.host, port, &wanted, &found) != 0) return false;
  socket_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int result = ::connect(socket_, found->ai_addr, found->ai_addrlen);
  freeaddrinfo(found);
  if (result != 0 && (errno != EINPROGRESS || !wait_for(POLLOUT, deadline_ms))) return false;
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &size);
  const int yes = 1;
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  return error == 0;
}

bool OpensslSocket::wait_for(short events, uint64_t deadline_ms) {
  while (true) {
    const uint64_t now_ms = clock_.now_ms();
    if (now_ms >= deadline_ms) return false;
    pollfd waiting = {socket_, events, 0};
    const int ready = poll(&waiting, 1, static_cast<int>(deadline_ms - now_ms));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

TlsResult OpensslSocket::shake_hands(const Endpoint& to, uint64_t deadline_ms) {
  ssl_ = SSL_new(context_);
  SSL_set_fd(ssl_, socket_);
  SSL_set_tlsext_host_name(ssl_, to.host);
  while (true) {
    const int result = SSL_connect(ssl_);
    if (result == 1) break;
    const int error = SSL_get_error(ssl_, result);
    ERR_clear_error();
    const bool waits = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
    if (!waits) return result_for(SSL_get_verify_result(ssl_));
    if (!wait_for(error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline_ms)) {
      return TlsResult::unreachable;
    }
  }
  X509* certificate = SSL_get0_peer_certificate(ssl_);
  if (certificate == nullptr || SSL_get_verify_result(ssl_) != X509_V_OK)
    return TlsResult::untrusted;
  // Nothing of ours was sent yet: a stranger learns no key.
  return is_called(certificate, to.host) ? TlsResult::ok : TlsResult::wrong_name;
}

int OpensslSocket::result_of(int result) {
  if (result > 0) return result;
  const int error = SSL_get_error(ssl_, result);
  ERR_clear_error();
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return 0;
  close();
  return -1;
}

int OpensslSocket::read(void* into, size_t capacity) {
  return ssl_ == nullptr ? -1 : result_of(SSL_read(ssl_, into, static_cast<int>(capacity)));
}

int OpensslSocket::write(const void* from, size_t size) {
  return ssl_ == nullptr ? -1 : result_of(SSL_write(ssl_, from, static_cast<int>(size)));
}

void OpensslSocket::close() {
  if (ssl_ != nullptr) {
    if (SSL_is_init_finished(ssl_)) SSL_shutdown(ssl_);
    ERR_clear_error();
    SSL_free(ssl_);
  }
  if (socket_ >= 0) ::close(socket_);
  if (context_ != nullptr) SSL_CTX_free(context_);
  ssl_ = nullptr;
  context_ = nullptr;
  socket_ = -1;
}

}  // namespace roost::host
