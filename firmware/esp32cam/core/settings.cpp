#include "settings.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace roost {
namespace {

constexpr const char* kCaNames[kCaSlots] = {"ca1", "ca2"};
constexpr const char* kEntries[] = {"ssid", "password", "server", "last_seen", "mode",
                                    "key",  "picture",  "ca1",    "ca2",       "update_key"};

}  // namespace

bool copy_text(char* into, size_t capacity, const char* text) {
  const size_t length = strlen(text);
  const size_t kept = length < capacity ? length : capacity - 1;
  memmove(into, text, kept);
  into[kept] = '\0';
  return kept == length;
}

bool is_wifi_password(const char* text) {
  const size_t length = strlen(text);
  return length == 0 || (length >= 8 && length <= 64);
}

bool parse_endpoint(const char* text, char separator, Endpoint* into) {
  const char* split = strrchr(text, separator);
  if (split == nullptr || split == text) return false;
  const auto length = static_cast<size_t>(split - text);
  if (length >= sizeof into->host || strlen(split + 1) > 5 || split[1] == '\0') return false;
  for (const char* at = text; at < split; ++at) {
    // Of IPv4 addresses and host names; the host goes into a request's head.
    const bool is_letter = ('a' <= *at && *at <= 'z') || ('A' <= *at && *at <= 'Z');
    if (!is_letter && !('0' <= *at && *at <= '9') && *at != '.' && *at != '-') return false;
  }
  char* end;
  const long port = strtol(split + 1, &end, 10);
  if (*end != '\0' || split[1] < '0' || split[1] > '9' || port < 1 || port > 65535) return false;
  memcpy(into->host, text, length);
  into->host[length] = '\0';
  into->port = static_cast<uint16_t>(port);
  return true;
}

void Settings::load_text(const char* name, char* into, size_t capacity) {
  const int size = storage_.load(name, into, capacity - 1);
  into[size > 0 ? size : 0] = '\0';
}

bool Settings::save_text(const char* name, const char* text) {
  if (text[0] == '\0') {
    storage_.erase(name);
    return true;
  }
  return storage_.save(name, text, strlen(text));
}

void Settings::load_endpoint(const char* name, Endpoint* into) {
  char text[sizeof into->host + 6];
  load_text(name, text, sizeof text);
  if (!parse_endpoint(text, ':', into)) *into = Endpoint();
}

bool Settings::save_endpoint(const char* name, const Endpoint& endpoint) {
  char text[sizeof endpoint.host + 8] = "";
  if (endpoint.is_set()) {
    snprintf(text, sizeof text, "%s:%u", endpoint.host, static_cast<unsigned>(endpoint.port));
  }
  return save_text(name, text);
}

void Settings::load() {
  load_text("ssid", ssid, sizeof ssid);
  load_text("password", password, sizeof password);
  load_endpoint("server", &server);
  load_endpoint("last_seen", &last_seen);
  char word[8];
  load_text("mode", word, sizeof word);
  mode = strcmp(word, "always") == 0 ? Mode::always : Mode::motion;
  load_text("key", key, sizeof key);
  uint8_t packed[kPackedPictureSettings];
  const int size = storage_.load("picture", packed, sizeof packed);
  picture = PictureSettings();
  if (size > 0) unpack(packed, static_cast<size_t>(size), &picture);
  picture.framerate = PictureSettings().framerate;  // older firmware saved the last one it was told
  saved_picture_ = picture;
  load_trusted();
  load_update_key();
}

void Settings::load_update_key() {
  has_update_key = storage_.load("update_key", update_key, sizeof update_key) == kUpdateKeyBytes;
}

void Settings::load_trusted() {
  size_t used = 0;
  for (int slot = 0; slot < kCaSlots; ++slot) {
    const int size = storage_.load(kCaNames[slot], trusted_pem + used, kMaxPemBytes);
    ca_bytes_[slot] = size > 0 ? static_cast<size_t>(size) : 0;
    used += ca_bytes_[slot];
  }
  trusted_pem[used] = '\0';
}

void Settings::forget() {
  for (const char* name : kEntries) storage_.erase(name);
  load();
}

bool Settings::set_wifi(const char* new_ssid, const char* new_password) {
  copy_text(ssid, sizeof ssid, new_ssid);
  copy_text(password, sizeof password, new_password);
  const bool is_saved = save_text("ssid", ssid);
  return save_text("password", password) && is_saved;
}

bool Settings::set_server(const Endpoint& endpoint) {
  server = endpoint;
  return save_endpoint("server", endpoint);
}

bool Settings::set_mode(Mode new_mode) {
  mode = new_mode;
  return save_text("mode", new_mode == Mode::always ? "always" : "motion");
}

bool Settings::set_ca(int slot, const char* pem) {
  const bool is_saved = save_text(kCaNames[slot], pem);
  // From the flash, never from the line: what is trusted is what a restart would trust.
  load_trusted();
  return is_saved;
}

bool Settings::set_update_key(const uint8_t* der) {
  bool is_saved = true;
  if (der == nullptr) {
    storage_.erase("update_key");
  } else {
    is_saved = storage_.save("update_key", der, kUpdateKeyBytes);
  }
  load_update_key();
  return is_saved;
}

bool Settings::set_key(const char* new_key) {
  copy_text(key, sizeof key, new_key);
  return save_text("key", key);
}

bool Settings::set_last_seen(const Endpoint& endpoint) {
  if (endpoint == last_seen) return true;  // a flash cell bears 100,000 writes, a camera wakes more
  last_seen = endpoint;
  return save_endpoint("last_seen", endpoint);
}

bool Settings::set_picture(const PictureSettings& new_picture) {
  picture = new_picture;
  PictureSettings kept = new_picture;
  kept.framerate = saved_picture_.framerate;
  if (kept == saved_picture_) return true;
  uint8_t packed[kPackedPictureSettings];
  pack(kept, packed);
  if (!storage_.save("picture", packed, sizeof packed)) return false;
  saved_picture_ = kept;
  return true;
}

}  // namespace roost
