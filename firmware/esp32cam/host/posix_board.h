// The small parts of a board, as a process has them.
#pragma once

#include <csignal>
#include <string>

#include "../core/hardware.h"

namespace roost::host {

class PosixClock final : public Clock {
 public:
  PosixClock();
  uint64_t now_ms() override;  // since this object was made, as on a board since boot
  void pause_ms(uint32_t duration_ms) override;
  uint32_t random() override;
  int64_t wall_s() override { return is_set_ ? wall_clock_s() : 0; }
  void set_wall_s(int64_t unix_s) override;
  // A board that was without power; the process's own clock is then hidden until somebody sets it.
  void lose_wall_clock() { is_set_ = false; }

 private:
  int64_t wall_clock_s() const;

  bool is_set_ = true;
  int64_t shift_s_ = 0;
  uint64_t began_ns_;
};

// One file an entry, written whole or not at all; `sleep.bin` is what deep sleep keeps.
class FileStorage final : public Storage {
 public:
  explicit FileStorage(std::string folder) : folder_(std::move(folder)) {}
  int load(const char* name, void* into, size_t capacity) override;
  bool save(const char* name, const void* from, size_t size) override;
  void erase(const char* name) override;
  bool recall(void* into, size_t size) override;
  void remember(const void* from, size_t size) override;
  void cut_power();  // the settings stay

 private:
  std::string path_of(const char* name) const { return folder_ + "/" + name; }

  std::string folder_;
};

// The network is the machine's own. A file `wifi-down` in the state folder takes it away.
class HostWifi final : public Wifi {
 public:
  explicit HostWifi(const std::string& folder) : down_(folder + "/wifi-down") {}
  void begin(const char* ssid, const char* password) override;
  WifiState state() override;
  int rssi_dbm() override { return -55; }
  void stop() override { is_on_ = false; }

 private:
  std::string down_;
  bool is_on_ = false;
};

// Motion is SIGUSR1. Sleep and reboot only note that they were asked for; the program's end or its
// next round is the caller's.
class PosixBoard final : public Board {
 public:
  PosixBoard(const Mac& mac, BootReason reason) : mac_(mac), reason_(reason) {}
  BootReason boot_reason() override { return reason_; }
  Mac mac() override { return mac_; }
  bool has_motion() override;
  void sleep_until_motion() override {}
  void reboot() override {}
  void feed_watchdog() override { ++fed_; }
  uint32_t free_heap_bytes() override { return 123456; }
  int chip_temperature_c() override { return 41; }
  int battery_mv() override { return 3900; }

  void wake(BootReason reason) { reason_ = reason; }
  uint64_t fed() const { return fed_; }

 private:
  Mac mac_;
  BootReason reason_;
  uint64_t fed_ = 0;
};

// Standard input and output. Lines carry the time since start in ms.
class StandardConsole final : public Console {
 public:
  explicit StandardConsole(PosixClock& clock) : clock_(clock) {}
  int read() override;
  void write_line(const char* text) override;

 private:
  PosixClock& clock_;
  bool is_over_ = false;
};

// Set by signals: SIGUSR1 is motion, SIGTERM and SIGINT end the program.
extern volatile sig_atomic_t g_has_moved;
extern volatile sig_atomic_t g_is_over;
void take_signals();

}  // namespace roost::host
