#include "mdns_discovery.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "../core/settings.h"
#include "mdns_message.h"

namespace roost::host {
namespace {

constexpr char kGroup[] = "224.0.0.251";
constexpr uint16_t kPort = 5353;
// Once somebody answered, so long for others: a rogue that is faster must not be the only one.
constexpr uint64_t kOthersMs = 300;

}  // namespace

bool MdnsDiscovery::ask(int socket) {
  Endpoint one;
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  if (parse_endpoint(where_.c_str(), ':', &one)) {
    to.sin_port = htons(one.port);
    inet_pton(AF_INET, one.host, &to.sin_addr);
  } else {
    in_addr interface = {};
    if (inet_pton(AF_INET, where_.c_str(), &interface) != 1) return false;
    setsockopt(socket, IPPROTO_IP, IP_MULTICAST_IF, &interface, sizeof interface);
    to.sin_port = htons(kPort);
    inet_pton(AF_INET, kGroup, &to.sin_addr);
    sockaddr_in own = {};
    own.sin_family = AF_INET;
    own.sin_addr = interface;
    if (bind(socket, reinterpret_cast<sockaddr*>(&own), sizeof own) != 0) return false;
  }
  uint8_t question[64];
  // Responders ignore a packet equal to one of the last second: hence a number.
  const size_t size = write_question(static_cast<uint16_t>(clock_.random() | 1), question);
  return sendto(socket, question, size, 0, reinterpret_cast<sockaddr*>(&to), sizeof to) > 0;
}

void MdnsDiscovery::browse(Candidates& found, uint32_t limit_ms) {
  const int asking = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (asking < 0) return;
  uint64_t deadline_ms = clock_.now_ms() + limit_ms;
  bool is_asked = where_ != "off" && ask(asking);
  uint8_t packet[kMaxMdnsBytes];
  while (is_asked) {
    const uint64_t now_ms = clock_.now_ms();
    if (now_ms >= deadline_ms) break;
    pollfd waiting = {asking, POLLIN, 0};
    if (poll(&waiting, 1, static_cast<int>(deadline_ms - now_ms)) <= 0) continue;
    const ssize_t size = recv(asking, packet, sizeof packet, MSG_DONTWAIT);
    if (size <= 0) continue;
    const bool is_first = found.size() == 0;
    read_answer(packet, static_cast<size_t>(size), clock_.random(), found);
    if (is_first && found.size() > 0 && now_ms + kOthersMs < deadline_ms) {
      deadline_ms = now_ms + kOthersMs;
    }
  }
  close(asking);
}

}  // namespace roost::host
