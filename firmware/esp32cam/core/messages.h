// The JSON that a camera and its recorder exchange.
#pragma once

#include <cstddef>
#include <cstdint>

#include "candidates.h"
#include "picture_settings.h"

namespace roost {

constexpr size_t kMaxKeyBytes = 64;

// --- to the recorder: bytes written, 0 when it does not fit ------------------------------------

struct Vitals {
  uint64_t uptime_ms;
  uint32_t free_heap_bytes;
  uint32_t boot_count;
  int rssi_dbm;
  int chip_temperature_c;  // Board::kUnknown is left out, here and below
  int battery_mv;
  const char* reset_reason;
  uint32_t drops;  // pictures due that the recorder never got, since boot
  const char* firmware;
  const char* board;
  const char* update_key;  // its fingerprint; "" for none, which is left out
};

constexpr size_t kMaxUpdateDetailBytes = 120;

size_t write_registration(const char* mac, char* into, size_t capacity);
size_t write_status(const char* status, char* into, size_t capacity);
size_t write_heartbeat(const Vitals& vitals, char* into, size_t capacity);
size_t write_error(const char* message, char* into, size_t capacity);
// `state` is downloading, installed, running, failed or rolled_back.
size_t write_update(const char* state, const char* version, const char* detail, char* into,
                    size_t capacity);

// --- from the recorder -------------------------------------------------------------------------

// False unless `success` is true and the key is 1 to 64 visible ASCII characters. `settings` is
// changed where the reply says so.
bool read_registration(const char* body, size_t size, char key[kMaxKeyBytes + 1],
                       PictureSettings* settings);

enum class Order : uint8_t {
  none,  // nothing to do: unknown types and actions are for later firmware
  malformed,
  welcome,
  configure,
  start_streaming,
  stop_streaming,
  reboot,
  sleep,
  update,
};

constexpr size_t kMaxVersionBytes = 32;

// A new program that the recorder has.
struct UpdateOrder {
  char version[kMaxVersionBytes + 1] = "";
  uint32_t size = 0;    // of the whole file, in bytes
  char path[101] = "";  // "/..." of visible ASCII: it goes into a request's head
};

struct Instruction {
  Order order = Order::none;
  int64_t wall_s = 0;   // of a welcome, 0 when it does not say
  uint8_t refused = 0;  // values of a configuration that cannot be
  UpdateOrder update;   // of `update`
};

// `settings` is changed by a `config_update`, value by value, where the value is good.
Instruction read_message(const char* text, size_t size, PictureSettings* settings);

// Unix seconds of "2026-11-20T13:02:03.456Z"; 0 for what is no such text.
int64_t parse_utc(const char* text);

}  // namespace roost
