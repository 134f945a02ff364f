// The camera's own open network, with lwIP's sockets for its two ports.
#pragma once

#include <lwip/sockets.h>

#include "../core/hardware.h"

namespace roost::esp32 {

class Esp32AccessPoint final : public AccessPoint {
 public:
  bool begin(const char* ssid) override;
  void end() override;
  const uint8_t* address() override;
  const char* url() override { return "http://192.168.4.1/"; }
  size_t networks(Network* into, size_t capacity) override;
  int receive_question(uint8_t* into, size_t capacity) override;
  void answer(const uint8_t* from, size_t size) override;
  bool accept(int place) override;
  int read(int place, void* into, size_t capacity) override;
  int write(int place, const void* from, size_t size) override;
  void hang_up(int place) override;

 private:
  static constexpr size_t kMaxHeard = 16;

  void listen_around();

  Network heard_[kMaxHeard] = {};
  size_t heard_count_ = 0;
  int http_ = -1;
  int dns_ = -1;
  int clients_[kClients] = {-1, -1, -1, -1};
  sockaddr_in asker_ = {};
};

}  // namespace roost::esp32
