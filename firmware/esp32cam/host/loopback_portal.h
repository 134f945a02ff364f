// The camera's own network as two ports of 127.0.0.1.
#pragma once

#include <netinet/in.h>

#include <string>

#include "../core/hardware.h"

namespace roost::host {

class LoopbackPortal final : public AccessPoint {
 public:
  // Ports, 0 for any free one; without both of them there is no network. A file `networks` in the
  // folder holds what is heard, a name a line.
  LoopbackPortal(Console& console, std::string folder, int http_port, int dns_port)
      : console_(console),
        folder_(std::move(folder)),
        http_port_(http_port),
        dns_port_(dns_port) {}
  ~LoopbackPortal() { end(); }
  LoopbackPortal(const LoopbackPortal&) = delete;
  LoopbackPortal& operator=(const LoopbackPortal&) = delete;

  bool begin(const char* ssid) override;
  void end() override;
  const uint8_t* address() override;
  const char* url() override { return url_.c_str(); }
  size_t networks(Network* into, size_t capacity) override;
  int receive_question(uint8_t* into, size_t capacity) override;
  void answer(const uint8_t* from, size_t size) override;
  bool accept(int place) override;
  int read(int place, void* into, size_t capacity) override;
  int write(int place, const void* from, size_t size) override;
  void hang_up(int place) override;

 private:
  Console& console_;
  std::string folder_;
  int http_port_;
  int dns_port_;
  std::string url_;
  int http_ = -1;
  int dns_ = -1;
  int clients_[kClients] = {-1, -1, -1, -1};
  sockaddr_in asker_ = {};
};

}  // namespace roost::host
