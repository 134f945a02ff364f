#include "loopback_portal.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

namespace roost::host {
namespace {

// The socket, and the port that it got.
int bound(int type, int* port) {
  const int made = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int yes = 1;
  setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in own = {};
  own.sin_family = AF_INET;
  own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  own.sin_port = htons(static_cast<uint16_t>(*port));
  socklen_t size = sizeof own;
  auto* address = reinterpret_cast<sockaddr*>(&own);
  if (bind(made, address, size) != 0 || getsockname(made, address, &size) != 0) {
    close(made);
    return -1;
  }
  *port = ntohs(own.sin_port);
  return made;
}

int result_of(ssize_t size) {
  if (size > 0) return static_cast<int>(size);
  return size < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

}  // namespace

bool LoopbackPortal::begin(const char*) {
  end();
  int http = http_port_, dns = dns_port_;
  if (http < 0 || dns < 0) return false;
  http_ = bound(SOCK_STREAM, &http);
  dns_ = bound(SOCK_DGRAM, &dns);
  if (http_ < 0 || dns_ < 0 || listen(http_, 8) != 0) {
    end();
    return false;
  }
  url_ = "http://127.0.0.1:" + std::to_string(http) + "/";
  say(console_, "names are answered at port %d", dns);
  return true;
}

void LoopbackPortal::end() {
  for (int place = 0; place < kClients; ++place) hang_up(place);
  if (http_ >= 0) close(http_);
  if (dns_ >= 0) close(dns_);
  http_ = dns_ = -1;
}

const uint8_t* LoopbackPortal::address() {
  static const uint8_t kLoopback[] = {127, 0, 0, 1};
  return kLoopback;
}

size_t LoopbackPortal::networks(Network* into, size_t capacity) {
  std::ifstream heard(folder_ + "/networks");
  size_t count = 0;
  for (std::string name; count < capacity && std::getline(heard, name);) {
    Network& network = into[count++];
    network.rssi_dbm = -50;
    snprintf(network.ssid, sizeof network.ssid, "%s", name.c_str());
  }
  return count;
}

int LoopbackPortal::receive_question(uint8_t* into, size_t capacity) {
  socklen_t size = sizeof asker_;
  const ssize_t received =
      recvfrom(dns_, into, capacity, 0, reinterpret_cast<sockaddr*>(&asker_), &size);
  return received > 0 ? static_cast<int>(received) : 0;
}

void LoopbackPortal::answer(const uint8_t* from, size_t size) {
  sendto(dns_, from, size, 0, reinterpret_cast<sockaddr*>(&asker_), sizeof asker_);
}

bool LoopbackPortal::accept(int place) {
  clients_[place] = accept4(http_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  return clients_[place] >= 0;
}

int LoopbackPortal::read(int place, void* into, size_t capacity) {
  return result_of(recv(clients_[place], into, capacity, 0));
}

int LoopbackPortal::write(int place, const void* from, size_t size) {
  return result_of(send(clients_[place], from, size, 0));
}

void LoopbackPortal::hang_up(int place) {
  if (clients_[place] >= 0) close(clients_[place]);
  clients_[place] = -1;
}

}  // namespace roost::host
