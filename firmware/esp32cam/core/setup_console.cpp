#include "setup_console.h"

#include <cstdint>
#include <cstring>

#include "digest.h"
#include "version.h"

namespace roost {
namespace {

constexpr char kBegin[] = "-----BEGIN CERTIFICATE-----";
constexpr char kEnd[] = "-----END CERTIFICATE-----";

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

}  // namespace

bool is_whole_certificate(const char* pem) {
  const char* at = strstr(pem, kBegin);
  if (at == nullptr) return false;
  at += sizeof kBegin - 1;
  const char* end = strstr(at, kEnd);
  if (end == nullptr || strstr(end, kBegin) != nullptr) return false;
  // DER says its own length: a line that got lost on the wire is noticed now, not at 3 in the night.
  uint8_t first[4] = {};
  size_t digits = 0, padding = 0, bytes = 0;
  uint32_t group = 0;
  for (; at < end; ++at) {
    if (is_space(*at)) continue;
    const int value = *at == '=' ? 0 : base64_value(*at);
    if (value < 0 || (padding > 0 && *at != '=')) return false;
    padding += *at == '=' ? 1 : 0;
    group = group << 6 | static_cast<uint32_t>(value);
    if (++digits % 4 != 0) continue;
    for (int i = 2; i >= 0; --i, ++bytes) {
      if (bytes < 4) first[bytes] = static_cast<uint8_t>(group >> (8 * i));
    }
  }
  if (digits % 4 != 0 || padding > 2 || bytes < 4) return false;
  const size_t said = static_cast<size_t>(first[2]) << 8 | first[3];
  return first[0] == 0x30 && first[1] == 0x82 && said + 4 == bytes - padding;
}

int split_words(char* line, char** words, int capacity) {
  int count = 0;
  char* at = line;
  while (true) {
    while (is_space(*at)) ++at;
    if (*at == '\0') return count;
    if (count == capacity) return -1;
    const bool is_quoted = *at == '"';
    if (is_quoted) ++at;
    words[count++] = at;
    while (*at != '\0' && (is_quoted ? *at != '"' : !is_space(*at))) ++at;
    if (*at == '\0') {
      if (is_quoted) return -1;
      return count;
    }
    *at++ = '\0';
  }
}

bool SetupConsole::poll() {
  bool has_changed = false;
  for (int c = console_.read(); c >= 0; c = console_.read()) {
    if (c == '\r') continue;
    if (c != '\n') {
      if (line_size_ + 1 < sizeof line_) {
        line_[line_size_++] = static_cast<char>(c);
      } else {
        is_line_too_long_ = true;
      }
      continue;
    }
    line_[line_size_] = '\0';
    line_size_ = 0;
    if (is_line_too_long_) {
      say(console_, "error: that line is too long");
    } else {
      has_changed = take_line(line_) || has_changed;
    }
    is_line_too_long_ = false;
  }
  return has_changed;
}

bool SetupConsole::take_line(const char* line) {
  if (pem_slot_ >= 0) return take_pem_line(line);
  char copy[sizeof line_];
  if (!copy_text(copy, sizeof copy, line)) return false;
  return take_command(copy);
}

bool SetupConsole::take_command(char* line) {
  char* words[kMaxWords];
  const int count = split_words(line, words, kMaxWords);
  if (count == 0) return false;
  if (count < 0) {
    say(console_, "error: too many words, or a quote is open");
    return false;
  }
  if (strcmp(words[0], "wifi") == 0) return take_wifi(words, count);
  if (strcmp(words[0], "server") == 0) return take_server(words, count);
  if (strcmp(words[0], "ca") == 0) return take_ca(words, count);
  if (strcmp(words[0], "update-key") == 0) return take_update_key(words, count);
  if (strcmp(words[0], "mode") == 0) return take_mode(words, count);
  if (strcmp(words[0], "portal") == 0 && count == 1) {
    wants_portal_ = true;
    return false;
  }
  if (strcmp(words[0], "show") == 0 && count == 1) {
    show();
    return false;
  }
  if (strcmp(words[0], "forget") == 0 && count == 1) {
    settings_.forget();
    return answer(true);
  }
  say(console_, "error: the commands are wifi, server, ca, update-key, mode, portal, show, forget");
  return false;
}

bool SetupConsole::answer(bool is_saved) {
  say(console_, is_saved ? "ok" : "error: the flash is full; this is lost with the power");
  return true;
}

bool SetupConsole::take_wifi(char* const* words, int count) {
  const char* password = count == 3 ? words[2] : "";
  const bool is_named = count >= 2 && count <= 3 && words[1][0] != '\0' && strlen(words[1]) <= 32;
  if (!is_named || !is_wifi_password(password)) {
    say(console_, "error: wifi SSID PASSWORD, of at most 32 and 8 to 63 characters");
    return false;
  }
  return answer(settings_.set_wifi(words[1], password));
}

bool SetupConsole::take_server(char* const* words, int count) {
  Endpoint endpoint;
  if (count == 2 && strcmp(words[1], "auto") == 0) return answer(settings_.set_server(endpoint));
  char joined[sizeof endpoint.host + 8] = "";
  const bool fits = count == 3 && strlen(words[1]) < sizeof endpoint.host && strlen(words[2]) <= 5;
  if (fits) {
    copy_text(joined, sizeof joined, words[1]);
    strcat(joined, ":");
    strcat(joined, words[2]);
  }
  if (!fits || !parse_endpoint(joined, ':', &endpoint)) {
    say(console_, "error: server HOST PORT, or server auto");
    return false;
  }
  return answer(settings_.set_server(endpoint));
}

bool SetupConsole::take_ca(char* const* words, int count) {
  int slot = 0;
  if (count == 3 && (strcmp(words[1], "1") == 0 || strcmp(words[1], "2") == 0)) {
    slot = words[1][0] - '1';
  } else if (count != 2) {
    say(console_, "error: ca <<PEM, ca 2 <<PEM or ca 2 none");
    return false;
  }
  const char* what = words[count - 1];
  if (strcmp(what, "none") == 0) return answer(settings_.set_ca(slot, ""));
  if (strcmp(what, "<<PEM") != 0) {
    say(console_, "error: ca <<PEM, then the certificate, then PEM");
    return false;
  }
  begin_pem(slot);
  return false;
}

bool SetupConsole::take_update_key(char* const* words, int count) {
  if (count == 2 && strcmp(words[1], "none") == 0) return answer(settings_.set_update_key(nullptr));
  if (count == 2 && strcmp(words[1], "<<PEM") == 0) {
    begin_pem(kCaSlots);
  } else {
    say(console_, "error: update-key <<PEM, then the public key, then PEM; or update-key none");
  }
  return false;
}

void SetupConsole::begin_pem(int slot) {
  pem_slot_ = slot;
  pem_size_ = 0;
  is_pem_too_long_ = false;
}

bool SetupConsole::has_asked_for_portal() {
  const bool has_asked = wants_portal_;
  wants_portal_ = false;
  return has_asked;
}

bool SetupConsole::take_mode(char* const* words, int count) {
  if (count == 2 && strcmp(words[1], "motion") == 0)
    return answer(settings_.set_mode(Mode::motion));
  if (count == 2 && strcmp(words[1], "always") == 0)
    return answer(settings_.set_mode(Mode::always));
  say(console_, "error: mode motion or mode always");
  return false;
}

bool SetupConsole::take_pem_line(const char* line) {
  if (strcmp(line, "PEM") != 0) {
    const size_t length = strlen(line);
    is_pem_too_long_ = is_pem_too_long_ || pem_size_ + length + 1 > kMaxPemBytes;
    if (is_pem_too_long_) return false;
    memcpy(pem_ + pem_size_, line, length);
    pem_size_ += length;
    pem_[pem_size_++] = '\n';  // mbedTLS cannot read a certificate without its line ends
    return false;
  }
  const int slot = pem_slot_;
  pem_slot_ = -1;
  pem_[pem_size_] = '\0';
  return take_pem(slot);
}

bool SetupConsole::take_pem(int slot) {
  if (slot < kCaSlots) {
    const bool is_good =
        !is_pem_too_long_ && is_whole_certificate(pem_) && crypto_.is_certificate(pem_);
    if (is_good) return answer(settings_.set_ca(slot, pem_));
    say(console_, "error: that is not one whole certificate; nothing was changed");
    return false;
  }
  uint8_t key[kUpdateKeyBytes];
  if (!is_pem_too_long_ && parse_update_key(pem_, key) && crypto_.is_public_key(key, sizeof key)) {
    return answer(settings_.set_update_key(key));
  }
  say(console_, "error: that is not one whole public key of P-256; nothing was changed");
  return false;
}

void SetupConsole::show() {
  say(console_, "wifi \"%s\", password %s", settings_.ssid, settings_.password[0] ? "set" : "none");
  if (settings_.server.is_set()) {
    say(console_, "server %s %u", settings_.server.host,
        static_cast<unsigned>(settings_.server.port));
  } else {
    say(console_, "server auto, last seen at %s %u", settings_.last_seen.host,
        static_cast<unsigned>(settings_.last_seen.port));
  }
  say(console_, "ca 1: %u bytes, ca 2: %u bytes", static_cast<unsigned>(settings_.ca_bytes(0)),
      static_cast<unsigned>(settings_.ca_bytes(1)));
  char fingerprint[17] = "none";
  if (settings_.has_update_key) write_fingerprint(settings_.update_key, fingerprint);
  say(console_, "firmware %s, update-key %s", own_version(), fingerprint);
  say(console_, "mode %s", settings_.mode == Mode::always ? "always" : "motion");
  say(console_, "key %s", settings_.key[0] != '\0' ? "stored" : "none");
  const PictureSettings& picture = settings_.picture;
  say(console_, "picture %s, %u frames/s, quality %u", facts_of(picture.size).name,
      static_cast<unsigned>(picture.framerate), static_cast<unsigned>(picture.quality));
  say(console_, settings_.is_complete() ? "ready" : "not ready: wifi and ca are needed");
}

}  // namespace roost
