// The small parts of an ESP32, on Arduino core 2.x.
#pragma once

#include <Preferences.h>

#include "../core/hardware.h"

namespace roost::esp32 {

class Esp32Clock final : public Clock {
 public:
  uint64_t now_ms() override;
  void pause_ms(uint32_t duration_ms) override;
  uint32_t random() override;  // true noise only while the radio is on, which it is when it matters
  int64_t wall_s() override;
  void set_wall_s(int64_t unix_s) override;
};

class NvsStorage final : public Storage {
 public:
  void begin() { preferences_.begin("roost", false); }
  int load(const char* name, void* into, size_t capacity) override;
  bool save(const char* name, const void* from, size_t size) override;
  void erase(const char* name) override { preferences_.remove(name); }
  bool recall(void* into, size_t size) override;
  void remember(const void* from, size_t size) override;

 private:
  Preferences preferences_;
};

class Esp32Wifi final : public Wifi {
 public:
  void begin(const char* ssid, const char* password) override;
  WifiState state() override;
  int rssi_dbm() override;
  void stop() override;
};

class Esp32Discovery final : public Discovery {
 public:
  explicit Esp32Discovery(Clock& clock) : clock_(clock) {}
  void browse(Candidates& found, uint32_t limit_ms) override;

 private:
  Clock& clock_;
  bool is_ready_ = false;
};

class Esp32Board final : public Board {
 public:
  // Reads why we were started, once, and begins the watchdog.
  void begin();
  BootReason boot_reason() override { return reason_; }
  Mac mac() override;
  bool has_motion() override;
  void sleep_until_motion() override;
  void reboot() override;
  void feed_watchdog() override;
  uint32_t free_heap_bytes() override;
  int chip_temperature_c() override;
  int battery_mv() override { return kUnknown; }

 private:
  BootReason reason_ = BootReason::other;
};

class SerialConsole final : public Console {
 public:
  int read() override;
  void write_line(const char* text) override;
};

}  // namespace roost::esp32
