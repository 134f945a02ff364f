#include "messages.h"

#include <cstdio>
#include <cstring>

#include "hardware.h"
#include "json.h"

namespace roost {
namespace {

constexpr const char* kNumbers[] = {"framerate", "quality", "brightness", "contrast", "saturation"};

size_t size_of(const JsonWriter& json) { return json.is_whole() ? json.size() : 0; }

// How many values were there and could not be used.
uint8_t read_picture_settings(const Json& config, PictureSettings* settings) {
  uint8_t refused = 0;
  Json value;
  if (config.member("resolution", &value)) {
    char name[16];
    const FrameSizeFacts* facts = value.text(name, sizeof name) ? find_frame_size(name) : nullptr;
    if (facts != nullptr) {
      settings->size = facts->size;
    } else {
      ++refused;
    }
  }
  for (const char* name : kNumbers) {
    int64_t number;
    if (!config.member(name, &value)) continue;
    if (!value.integer(&number) || !set_number(settings, name, number)) ++refused;
  }
  return refused;
}

Order order_of(const char* action) {
  if (strcmp(action, "start_streaming") == 0) return Order::start_streaming;
  if (strcmp(action, "stop_streaming") == 0) return Order::stop_streaming;
  if (strcmp(action, "reboot") == 0) return Order::reboot;
  if (strcmp(action, "sleep") == 0) return Order::sleep;
  if (strcmp(action, "update") == 0) return Order::update;
  return Order::none;
}

// An update is called by the member `command`, the older commands by `action`.
Order read_command(const Json& message) {
  Json value;
  char action[24];
  const bool is_there = message.member("action", &value) || message.member("command", &value);
  return is_there && value.text(action, sizeof action) ? order_of(action) : Order::malformed;
}

bool is_visible(const char* text) {
  for (const char* at = text; *at != '\0'; ++at) {
    if (*at <= ' ' || *at > '~') return false;
  }
  return text[0] != '\0';
}

bool read_update(const Json& message, UpdateOrder* order) {
  Json value;
  int64_t size;
  if (!message.member("version", &value)) return false;
  if (!value.text(order->version, sizeof order->version)) return false;
  if (!is_visible(order->version)) return false;
  if (!message.member("size", &value) || !value.integer(&size)) return false;
  if (size < 0 || size > INT32_MAX) return false;
  order->size = static_cast<uint32_t>(size);
  if (!message.member("path", &value) || !value.text(order->path, sizeof order->path)) return false;
  return order->path[0] == '/' && is_visible(order->path);
}

}  // namespace

size_t write_registration(const char* mac, char* into, size_t capacity) {
  JsonWriter json(into, capacity);
  json.begin_object();
  json.member("deviceId", mac);
  json.end_object();
  return size_of(json);
}

size_t write_status(const char* status, char* into, size_t capacity) {
  JsonWriter json(into, capacity);
  json.begin_object();
  json.member("type", "status_update");
  json.member("status", status);
  json.end_object();
  return size_of(json);
}

size_t write_heartbeat(const Vitals& vitals, char* into, size_t capacity) {
  JsonWriter json(into, capacity);
  json.begin_object();
  json.member("type", "heartbeat");
  json.member("uptime", static_cast<int64_t>(vitals.uptime_ms));
  json.member("free_heap", vitals.free_heap_bytes);
  json.member("boot_count", vitals.boot_count);
  json.member("rssi", vitals.rssi_dbm);
  json.member("reset_reason", vitals.reset_reason);
  json.member("drops", vitals.drops);
  if (vitals.chip_temperature_c != Board::kUnknown) {
    json.member("temperature", vitals.chip_temperature_c);
  }
  if (vitals.battery_mv != Board::kUnknown) json.member("battery_mv", vitals.battery_mv);
  json.member("firmware", vitals.firmware);
  json.member("board", vitals.board);
  if (vitals.update_key[0] != '\0') json.member("update_key", vitals.update_key);
  json.end_object();
  return size_of(json);
}

size_t write_error(const char* message, char* into, size_t capacity) {
  JsonWriter json(into, capacity);
  json.begin_object();
  json.member("type", "error");
  json.member("message", message);
  json.end_object();
  return size_of(json);
}

size_t write_update(const char* state, const char* version, const char* detail, char* into,
                    size_t capacity) {
  JsonWriter json(into, capacity);
  json.begin_object();
  json.member("type", "update");
  json.member("state", state);
  json.member("version", version);
  json.member("detail", detail);
  json.end_object();
  return size_of(json);
}

bool read_registration(const char* body, size_t size, char key[kMaxKeyBytes + 1],
                       PictureSettings* settings) {
  Json reply, value;
  bool is_success = false;
  if (!Json::parse(body, size, &reply)) return false;
  if (!reply.member("success", &value) || !value.boolean(&is_success) || !is_success) return false;
  char read[kMaxKeyBytes + 1];
  if (!reply.member("apiKey", &value) || !value.text(read, sizeof read) || !is_visible(read))
    return false;
  strcpy(key, read);
  if (reply.member("config", &value)) read_picture_settings(value, settings);
  return true;
}

Instruction read_message(const char* text, size_t size, PictureSettings* settings) {
  Instruction read;
  Json message, value;
  char type[24];
  if (!Json::parse(text, size, &message) || !message.member("type", &value)) {
    read.order = Order::malformed;
    return read;
  }
  if (!value.text(type, sizeof type)) return read;
  if (strcmp(type, "welcome") == 0) {
    read.order = Order::welcome;
    char timestamp[40];
    if (message.member("timestamp", &value) && value.text(timestamp, sizeof timestamp)) {
      read.wall_s = parse_utc(timestamp);
    }
  } else if (strcmp(type, "config_update") == 0) {
    const bool has_config = message.member("config", &value) && value.is_object();
    read.order = has_config ? Order::configure : Order::malformed;
    if (has_config) read.refused = read_picture_settings(value, settings);
  } else if (strcmp(type, "command") == 0) {
    read.order = read_command(message);
    if (read.order == Order::update && !read_update(message, &read.update)) {
      read.order = Order::malformed;
    }
  }
  return read;
}

int64_t parse_utc(const char* text) {
  int year, month, day, hour, minute, second, used = 0;
  const int fields = sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &year, &month, &day, &hour, &minute,
                            &second, &used);
  const size_t length = strlen(text);
  if (fields != 6 || used != 19 || text[length - 1] != 'Z') return 0;
  const bool is_date = year >= 2020 && year < 2100 && month >= 1 && month <= 12 && day >= 1 &&
                       day <= 31 && hour >= 0 && hour < 24 && minute >= 0 && minute < 60 &&
                       second >= 0 && second <= 60;
  if (!is_date) return 0;
  // Days since 1970, with years that begin in March so that the leap day is their last.
  const int64_t shifted = month <= 2 ? year - 1 : year;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const int64_t days =
      365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + day_of_year - 719468;
  return days * 86400 + hour * 3600 + minute * 60 + second;
}

}  // namespace roost
