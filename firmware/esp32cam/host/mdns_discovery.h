// mDNS on POSIX: one question, by multicast through one interface or to one address.
#pragma once

#include <string>

#include "../core/hardware.h"

namespace roost::host {

class MdnsDiscovery final : public Discovery {
 public:
  // `where`: "off", the IPv4 address of the interface to ask through, or "address:port" to ask that
  // responder alone.
  MdnsDiscovery(Clock& clock, std::string where) : clock_(clock), where_(std::move(where)) {}
  void browse(Candidates& found, uint32_t limit_ms) override;

 private:
  bool ask(int socket);

  Clock& clock_;
  std::string where_;
};

}  // namespace roost::host
