// Set-up over the serial line, one command a line:
//
//     wifi SSID PASSWORD       quotes around what has blanks; no password for an open network
//     server HOST PORT         or `server auto`: find it by mDNS
//     ca <<PEM                 the lines of a certificate, then a line `PEM`
//     ca 2 <<PEM               into the second slot; `ca 2 none` empties it
//     update-key <<PEM         whose new programs are taken; `update-key none` empties it
//     mode motion|always
//     portal                   set-up over the camera's own Wi-Fi, for ten minutes
//     show                     never a password, never a key
//     forget                   everything
#pragma once

#include <cstddef>

#include "settings.h"

namespace roost {

class SetupConsole {
 public:
  SetupConsole(Console& console, Crypto& crypto, Settings& settings)
      : console_(console), crypto_(crypto), settings_(settings) {}

  // Takes what was typed since the last call. True when a command changed the settings.
  bool poll();
  // One line, without its end; for those who need no console.
  bool take_line(const char* line);
  // Somebody asked for the portal since this was asked last.
  bool has_asked_for_portal();

 private:
  static constexpr int kMaxWords = 4;

  bool take_command(char* line);
  bool take_wifi(char* const* words, int count);
  bool take_server(char* const* words, int count);
  bool take_ca(char* const* words, int count);
  bool take_update_key(char* const* words, int count);
  bool take_mode(char* const* words, int count);
  void begin_pem(int slot);
  bool take_pem_line(const char* line);
  bool take_pem(int slot);
  void show();
  bool answer(bool is_saved);

  Console& console_;
  Crypto& crypto_;
  Settings& settings_;
  char line_[256] = "";
  size_t line_size_ = 0;
  bool is_line_too_long_ = false;
  bool wants_portal_ = false;
  int pem_slot_ = -1;  // while the lines of a PEM come; kCaSlots for those of the update key
  bool is_pem_too_long_ = false;
  size_t pem_size_ = 0;
  char pem_[kMaxPemBytes + 1] = "";
};

// One certificate whose lines are all there; whether it is a good one only TLS can say.
bool is_whole_certificate(const char* pem);
// Cuts a line into words in place; quotes keep blanks. -1 for an open quote or too many words.
int split_words(char* line, char** words, int capacity);

}  // namespace roost
