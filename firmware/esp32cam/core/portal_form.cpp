#include "portal_form.h"

#include <cstring>

#include "digest.h"
#include "setup_console.h"

namespace roost {
namespace {

constexpr char kDefaultPort[] = "3443";
constexpr size_t kLineBytes = 64;  // of a PEM (RFC 7468 §2)

int hex_value(char c) {
  if ('0' <= c && c <= '9') return c - '0';
  if ('a' <= c && c <= 'f') return c - 'a' + 10;
  if ('A' <= c && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Puts a NUL behind what it decoded, which is never longer than what it was.
bool decode(const char* at, const char* end, char* into) {
  while (at < end) {
    char c = *at++;
    if (c == '+') {
      c = ' ';
    } else if (c == '%') {
      if (end - at < 2 || hex_value(at[0]) < 0 || hex_value(at[1]) < 0) return false;
      c = static_cast<char>(hex_value(at[0]) << 4 | hex_value(at[1]));
      at += 2;
    }
    if (c == '\0') return false;
    *into++ = c;
  }
  *into = '\0';
  return true;
}

char* find(char* at, char* end, char c) {
  auto* found = static_cast<char*>(memchr(at, c, static_cast<size_t>(end - at)));
  return found != nullptr ? found : end;
}

bool is_blank(const char* text) { return text[strspn(text, " \t\r\n")] == '\0'; }

}  // namespace

// `body` has room for one more byte.
bool PortalForm::read(char* body, size_t size) {
  ssid_ = password_ = server_text_ = port_ = ca_ = update_key_text_ = mode_text_ = "";
  pem_[0] = '\0';
  char* end = body + size;
  for (char* at = body; at < end;) {
    char* field_end = find(at, end, '&');
    char* name_end = find(at, field_end, '=');
    char* value = name_end < field_end ? name_end + 1 : field_end;
    // The value first: decoding the name puts a NUL where `=` was.
    if (!decode(value, field_end, value) || !decode(at, name_end, at)) return false;
    take(at, value);
    at = field_end + 1;
  }
  return true;
}

void PortalForm::take(const char* name, const char* value) {
  const struct {
    const char* name;
    const char** into;
  } known[] = {{"ssid", &ssid_},        {"password", &password_},
               {"server", &server_text_}, {"port", &port_},
               {"ca", &ca_},            {"update_key", &update_key_text_},
               {"mode", &mode_text_}};
  for (const auto& field : known) {
    if (strcmp(field.name, name) == 0) *field.into = value;
  }
}

void PortalForm::complain(const char* words) {
  if (complaint_count < kMaxComplaints) complaints[complaint_count++] = words;
}

bool PortalForm::check(const Settings& settings, Crypto& crypto) {
  complaint_count = 0;
  check_wifi(settings);
  check_server();
  check_certificate(settings, crypto);
  const bool is_key_good =
      is_blank(update_key_text_) || (parse_update_key(update_key_text_, update_key_) &&
                                     crypto.is_public_key(update_key_, sizeof update_key_));
  if (!is_key_good) complain("Update key: this is not a public key of P-256.");
  const bool is_mode = mode_text_[0] == '\0' || strcmp(mode_text_, "motion") == 0 ||
                       strcmp(mode_text_, "always") == 0;
  if (!is_mode) complain("Mode: choose one of the two.");
  return complaint_count == 0;
}

void PortalForm::check_wifi(const Settings& settings) {
  if (ssid_[0] == '\0') complain("Network: its name is missing.");
  if (strlen(ssid_) > 32) complain("Network: a name has at most 32 characters.");
  // Not typed again for the network that is set up already.
  if (password_[0] == '\0' && strcmp(ssid_, settings.ssid) == 0) password_ = settings.password;
  if (!is_wifi_password(password_)) {
    complain("Password: it has 8 to 63 characters, or none at all.");
  }
}

void PortalForm::check_server() {
  server_ = Endpoint();
  if (is_blank(server_text_)) return;  // by mDNS
  char joined[sizeof server_.host + 8] = "";
  const char* port = is_blank(port_) ? kDefaultPort : port_;
  const bool fits = strlen(server_text_) < sizeof server_.host && strlen(port) <= 5;
  if (fits) {
    copy_text(joined, sizeof joined, server_text_);
    strcat(joined, ":");
    strcat(joined, port);
  }
  if (!fits || !parse_endpoint(joined, ':', &server_)) {
    complain("Recorder: an address or a name, and a port from 1 to 65535; or nothing.");
  }
}

void PortalForm::check_certificate(const Settings& settings, Crypto& crypto) {
  if (is_blank(ca_)) {
    if (settings.ca_bytes(0) == 0) complain("Certificate: the recorder's authority is missing.");
    return;
  }
  if (!copy_certificate() || !is_whole_certificate(pem_) || !crypto.is_certificate(pem_)) {
    pem_[0] = '\0';
    complain("Certificate: this is not one whole certificate.");
  }
}

// PEM as it is but for its line ends; base64url of DER as PEM. False when it is too long.
bool PortalForm::copy_certificate() {
  static constexpr char kBegin[] = "-----BEGIN CERTIFICATE-----\n";
  static constexpr char kEnd[] = "\n-----END CERTIFICATE-----\n";
  const bool is_pem = strstr(ca_, "-----BEGIN") != nullptr;
  size_t size = 0, digits = 0;
  if (!is_pem) size = strlen(strcpy(pem_, kBegin));
  for (const char* at = ca_; *at != '\0'; ++at) {
    if (size + sizeof kEnd + 4 > kMaxPemBytes) return false;
    if (is_pem) {
      if (*at != '\r') pem_[size++] = *at;
      continue;
    }
    const char c = *at == '-' ? '+' : *at == '_' ? '/' : *at;
    if (strchr(" \t\r\n=", c) != nullptr) continue;
    if (base64_value(c) < 0) return false;
    if (digits > 0 && digits % kLineBytes == 0) pem_[size++] = '\n';
    pem_[size++] = c;
    ++digits;
  }
  pem_[size] = '\0';
  if (is_pem) return true;
  for (; digits % 4 != 0; ++digits) pem_[size++] = '=';
  strcpy(pem_ + size, kEnd);
  return true;
}

bool PortalForm::save(Settings& settings) const {
  if (pem_[0] != '\0' && !settings.set_ca(0, pem_)) return false;
  if (!is_blank(update_key_text_) && !settings.set_update_key(update_key_)) return false;
  if (!settings.set_server(server_)) return false;
  const bool is_always = strcmp(mode_text_, "always") == 0;
  if (mode_text_[0] != '\0' && !settings.set_mode(is_always ? Mode::always : Mode::motion)) {
    return false;
  }
  return settings.set_wifi(ssid_, password_);
}

}  // namespace roost
