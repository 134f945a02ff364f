// What a person filled in on the portal's page.
#pragma once

#include <cstddef>
#include <cstdint>

#include "settings.h"

namespace roost {

class PortalForm {
 public:
  static constexpr size_t kMaxComplaints = 7;  // one a field

  // Decodes application/x-www-form-urlencoded in place. False for what is none.
  bool read(char* body, size_t size);
  // Fills `complaints`; true when there are none.
  bool check(const Settings& settings, Crypto& crypto);
  // What was checked, into the flash. False when that is full. Wi-Fi comes last: a power cut on the
  // way leaves a camera that asks again.
  bool save(Settings& settings) const;

  const char* complaints[kMaxComplaints] = {};
  size_t complaint_count = 0;

 private:
  void take(const char* name, const char* value);
  void complain(const char* words);
  void check_wifi(const Settings& settings);
  void check_server();
  void check_certificate(const Settings& settings, Crypto& crypto);
  bool copy_certificate();

  const char* ssid_ = "";
  const char* password_ = "";
  const char* server_text_ = "";
  const char* port_ = "";
  const char* ca_ = "";
  const char* update_key_text_ = "";
  const char* mode_text_ = "";
  Endpoint server_;
  uint8_t update_key_[kUpdateKeyBytes] = {};
  char pem_[kMaxPemBytes + 1] = "";
};

}  // namespace roost
