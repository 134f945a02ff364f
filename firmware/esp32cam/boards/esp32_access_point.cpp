#include "esp32_access_point.h"

#include <WiFi.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

namespace roost::esp32 {
namespace {

constexpr uint16_t kHttpPort = 80, kDnsPort = 53;

void do_not_wait(int made) { fcntl(made, F_SETFL, fcntl(made, F_GETFL, 0) | O_NONBLOCK); }

int bound(int type, uint16_t port) {
  const int made = socket(AF_INET, type, 0);
  if (made < 0) return -1;
  do_not_wait(made);
  sockaddr_in own = {};
  own.sin_family = AF_INET;
  own.sin_addr.s_addr = htonl(INADDR_ANY);
  own.sin_port = htons(port);
  if (bind(made, reinterpret_cast<sockaddr*>(&own), sizeof own) == 0) return made;
  close(made);
  return -1;
}

int result_of(ssize_t size) {
  if (size > 0) return static_cast<int>(size);
  return size < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

}  // namespace

bool Esp32AccessPoint::begin(const char* ssid) {
  end();
  listen_around();
  WiFi.mode(WIFI_AP);
  if (!WiFi.softAP(ssid)) return false;
  http_ = bound(SOCK_STREAM, kHttpPort);
  dns_ = bound(SOCK_DGRAM, kDnsPort);
  if (http_ >= 0 && dns_ >= 0 && listen(http_, kClients) == 0) return true;
  end();
  return false;
}

// Once, before the own network is there: a scan would take its channel away from a phone.
void Esp32AccessPoint::listen_around() {
  WiFi.mode(WIFI_STA);
  const int count = WiFi.scanNetworks();
  heard_count_ = 0;
  for (int i = 0; i < count && heard_count_ < kMaxHeard; ++i) {
    Network& network = heard_[heard_count_++];
    strncpy(network.ssid, WiFi.SSID(static_cast<uint8_t>(i)).c_str(), sizeof network.ssid - 1);
    network.ssid[sizeof network.ssid - 1] = '\0';
    network.rssi_dbm = static_cast<int>(WiFi.RSSI(static_cast<uint8_t>(i)));
  }
  WiFi.scanDelete();
}

void Esp32AccessPoint::end() {
  for (int place = 0; place < kClients; ++place) hang_up(place);
  if (http_ >= 0) close(http_);
  if (dns_ >= 0) close(dns_);
  if (http_ >= 0 || dns_ >= 0) WiFi.softAPdisconnect(true);
  http_ = dns_ = -1;
}

const uint8_t* Esp32AccessPoint::address() {
  static const uint8_t kOwn[] = {192, 168, 4, 1};
  return kOwn;
}

size_t Esp32AccessPoint::networks(Network* into, size_t capacity) {
  const size_t count = heard_count_ < capacity ? heard_count_ : capacity;
  memcpy(into, heard_, count * sizeof *into);
  return count;
}

int Esp32AccessPoint::receive_question(uint8_t* into, size_t capacity) {
  socklen_t size = sizeof asker_;
  const ssize_t received =
      recvfrom(dns_, into, capacity, 0, reinterpret_cast<sockaddr*>(&asker_), &size);
  return received > 0 ? static_cast<int>(received) : 0;
}

void Esp32AccessPoint::answer(const uint8_t* from, size_t size) {
  sendto(dns_, from, size, 0, reinterpret_cast<sockaddr*>(&asker_), sizeof asker_);
}

bool Esp32AccessPoint::accept(int place) {
  clients_[place] = ::accept(http_, nullptr, nullptr);
  if (clients_[place] >= 0) do_not_wait(clients_[place]);
  return clients_[place] >= 0;
}

int Esp32AccessPoint::read(int place, void* into, size_t capacity) {
  return result_of(recv(clients_[place], into, capacity, 0));
}

int Esp32AccessPoint::write(int place, const void* from, size_t size) {
  return result_of(send(clients_[place], from, size, 0));
}

void Esp32AccessPoint::hang_up(int place) {
  if (clients_[place] >= 0) close(clients_[place]);
  clients_[place] = -1;
}

}  // namespace roost::esp32
