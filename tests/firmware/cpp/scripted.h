// Hardware that follows a script: time passes when the firmware waits, and everything can fail.
#pragma once

#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "../../../firmware/esp32cam/core/machine.h"

namespace scripted {

using namespace roost;

struct Clock final : roost::Clock {
  uint64_t time_ms = 0;
  int64_t wall = 0;
  uint32_t seed = 1;
  uint64_t now_ms() override { return time_ms; }
  void pause_ms(uint32_t duration_ms) override { time_ms += duration_ms; }
  uint32_t random() override { return seed = seed * 1664525 + 1013904223; }
  int64_t wall_s() override { return wall; }
  void set_wall_s(int64_t unix_s) override { wall = unix_s; }
};

struct Storage final : roost::Storage {
  std::map<std::string, std::string> entries;
  std::string sleeping;
  bool is_full = false;
  int saves = 0;
  int load(const char* name, void* into, size_t capacity) override;
  bool save(const char* name, const void* from, size_t size) override;
  void erase(const char* name) override { entries.erase(name); }
  bool recall(void* into, size_t size) override;
  void remember(const void* from, size_t size) override;
};

struct Wifi final : roost::Wifi {
  bool is_there = true;
  int begun = 0;
  void begin(const char*, const char*) override { ++begun; }
  WifiState state() override { return is_there ? WifiState::connected : WifiState::connecting; }
  int rssi_dbm() override { return -60; }
  void stop() override {}
};

struct Discovery final : roost::Discovery {
  std::vector<Endpoint> answers;
  int asked = 0;
  void browse(Candidates& found, uint32_t limit_ms) override;
  Clock* clock = nullptr;
};

// The recorder at the other end, as far as the script gives it answers.
struct Peer final : TlsSocket {
  std::function<TlsResult(const Endpoint&)> on_connect;
  std::string registration;  // the whole reply
  int upgrade_status = 101;
  std::string download;     // the whole reply to any other GET
  bool hangs_up = false;    // behind what it sent, unless that is the protocol of messages
  std::string first_words;                            // sent behind the head of the upgrade
  bool is_deaf = false;                               // takes no bytes
  bool is_silent = false;                             // answers nothing
  bool is_cut = false;                                // the connection is gone
  std::vector<std::string> requests;                  // the heads of all requests
  std::vector<std::pair<int, std::string>> messages;  // opcode and payload, unmasked
  std::vector<uint32_t> masks;
  int connects = 0;

  TlsResult connect(const Endpoint& to, const char* trusted_pem, uint32_t limit_ms) override;
  int read(void* into, size_t capacity) override;
  int write(const void* from, size_t size) override;
  void close() override;
  void say(const std::string& text);  // a text frame to the camera
  void say_raw(const std::string& bytes) { outgoing += bytes; }
  int count(int opcode, const std::string& part) const;

 private:
  void take_request();
  void take_frames();

  bool is_open = false, is_upgraded = false;
  std::string incoming, outgoing;
};

struct Camera final : roost::Camera {
  std::string jpeg = std::string("\xFF\xD8 picture \xFF\xD9");
  bool works = true, is_broken = false;
  FrameSize most = FrameSize::UXGA;
  int begun = 0, taken = 0, held = 0;
  uint32_t takes_ms = 0;
  PictureSettings settings;
  Clock* clock = nullptr;
  bool begin(const PictureSettings& wanted) override;
  bool apply(const PictureSettings& wanted) override;
  bool take(Picture* into) override;
  void give_back(Picture&) override { --held; }
  FrameSize largest() override { return most; }
};

struct Board final : roost::Board {
  BootReason reason = BootReason::power_on;
  bool moves = false;
  int slept = 0, rebooted = 0, fed = 0;
  BootReason boot_reason() override { return reason; }
  Mac mac() override { return {{0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0x0F}}; }
  bool has_motion() override { return moves; }
  void sleep_until_motion() override { ++slept; }
  void reboot() override { ++rebooted; }
  void feed_watchdog() override { ++fed; }
  uint32_t free_heap_bytes() override { return 100000; }
  int chip_temperature_c() override { return 40; }
  int battery_mv() override { return kUnknown; }
};

struct Slots final : roost::Slots {
  std::string image;  // of the other slot
  size_t room = 1 << 20, bears = SIZE_MAX;  // bytes until a write fails
  bool is_open = false, is_active = false, has_other = true, takes_it = true;
  int begun = 0, kept = 0, aborted = 0, rolled_back = 0;
  const char* board() override { return "scripted"; }
  size_t capacity() override { return room; }
  bool begin(size_t image_bytes) override;
  bool write(const void* from, size_t size) override;
  void abort() override { is_open = false, ++aborted; }
  bool activate() override { return is_open = false, is_active = takes_it; }
  void keep() override { ++kept; }
  bool roll_back() override { return ++rolled_back, has_other; }
};

// What it signed is its digest.
struct Crypto final : roost::Crypto {
  bool is_blind = false;  // nothing is a certificate, nothing is a key
  bool is_certificate(const char*) override { return !is_blind; }
  bool is_public_key(const uint8_t*, size_t) override { return !is_blind; }
  bool is_signed(const uint8_t*, size_t, const uint8_t digest[32], const uint8_t* signature,
                 size_t size) override {
    return size == 32 && memcmp(signature, digest, 32) == 0;
  }
};

struct AccessPoint final : roost::AccessPoint {
  struct Client {
    std::string sends, got;
    size_t at_once = SIZE_MAX;  // bytes a write takes
    bool is_gone = false, is_hung_up = false;
  };
  bool works = true, is_on = false;
  std::string name;
  std::vector<std::string> heard;
  std::deque<std::string> questions, answers;
  std::deque<std::shared_ptr<Client>> waiting;
  std::shared_ptr<Client> places[kClients];
  bool begin(const char* ssid) override;
  void end() override { is_on = false; }
  const uint8_t* address() override;
  const char* url() override { return "http://192.168.4.1/"; }
  size_t networks(Network* into, size_t capacity) override;
  int receive_question(uint8_t* into, size_t capacity) override;
  void answer(const uint8_t* from, size_t size) override;
  bool accept(int place) override;
  int read(int place, void* into, size_t capacity) override;
  int write(int place, const void* from, size_t size) override;
  void hang_up(int place) override;
};

struct Console final : roost::Console {
  std::string typed;
  std::string shown;
  int read() override;
  void write_line(const char* text) override { shown += std::string(text) + "\n"; }
};

// A camera that was set up, on a table with its recorder at 10.0.0.2:3443.
struct Bench {
  Bench();
  // Steps until `is_so`, or fails after `limit_ms` of its time.
  void run_until(const std::function<bool()>& is_so, uint64_t limit_ms = 300000);
  void run_for(uint64_t duration_ms);
  Hardware hardware() {
    return {clock, storage, wifi,    discovery, peer,  camera,
            board, console, slots, crypto,    access_point};
  }
  Machine& boot(BootReason reason = BootReason::power_on);

  Clock clock;
  Storage storage;
  Wifi wifi;
  Discovery discovery;
  Peer peer;
  Camera camera;
  Board board;
  Console console;
  Slots slots;
  Crypto crypto;
  AccessPoint access_point;
  Timing timing;
  std::unique_ptr<Machine> machine;
};

extern const char* const kPem;
std::string update_key_pem();
std::string pem_of(size_t der_bytes);
std::string registration_reply(const std::string& key);

}  // namespace scripted
