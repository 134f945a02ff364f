// What a person set up and what the camera learned, kept over sleep and power cuts.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hardware.h"
#include "messages.h"
#include "update_key.h"

namespace roost {

enum class Mode : uint8_t { motion, always };

constexpr size_t kMaxPemBytes = 3000;  // a certificate with an RSA key of 4096 bits has about 2,000
constexpr int kCaSlots = 2;            // the second takes the next authority before it is used

class Settings {
 public:
  explicit Settings(Storage& storage) : storage_(storage) {}

  void load();
  bool is_complete() const { return ssid[0] != '\0' && trusted_pem[0] != '\0'; }
  // Everything: set-up, key and learned values.
  void forget();

  // All of these: false when the flash refuses. A CA is then not trusted; any other value is used
  // until the power goes.
  bool set_wifi(const char* new_ssid, const char* new_password);
  bool set_server(const Endpoint& endpoint);  // an endpoint that is not set means: find it by mDNS
  bool set_mode(Mode new_mode);
  bool set_ca(int slot, const char* pem);  // slot 0 or 1; "" empties it
  bool set_update_key(const uint8_t* der);  // kUpdateKeyBytes, null empties it; trusted as a CA is
  bool set_key(const char* new_key);       // "" forgets it
  bool set_last_seen(const Endpoint& endpoint);
  // Its frame rate is never saved: the recorder changes it with whether somebody watches, many times
  // an hour, and says it anew after every start.
  bool set_picture(const PictureSettings& new_picture);

  size_t ca_bytes(int slot) const { return ca_bytes_[slot]; }

  char ssid[33] = "";
  char password[65] = "";
  Endpoint server;     // what a person pinned
  Endpoint last_seen;  // where the recorder was last time
  Mode mode = Mode::motion;
  char key[kMaxKeyBytes + 1] = "";
  PictureSettings picture;
  bool has_update_key = false;
  uint8_t update_key[kUpdateKeyBytes] = {};
  char trusted_pem[kCaSlots * kMaxPemBytes + 1] = "";  // the slots one after the other

 private:
  void load_text(const char* name, char* into, size_t capacity);
  bool save_text(const char* name, const char* text);
  void load_trusted();
  void load_update_key();
  void load_endpoint(const char* name, Endpoint* into);
  bool save_endpoint(const char* name, const Endpoint& endpoint);

  Storage& storage_;
  PictureSettings saved_picture_;  // as the flash has it, with the rate of a start
  size_t ca_bytes_[kCaSlots] = {};
};

// Copies what fits; false when it was cut.
bool copy_text(char* into, size_t capacity, const char* text);
// A WPA2 password: 8 to 63 characters, or the 64 digits of the key itself; or none.
bool is_wifi_password(const char* text);
// "host:port" or, with `separator` ' ', "host port". False, and nothing changed, for anything else.
bool parse_endpoint(const char* text, char separator, Endpoint* into);

}  // namespace roost
