// A new program is on trial until one of its pictures reached the recorder.
#pragma once

#include <cstdint>

#include "hardware.h"
#include "messages.h"

namespace roost {

// What the recorder has yet to be told of an update.
struct UpdateReport {
  const char* state = nullptr;  // null: nothing
  char version[kMaxVersionBytes + 1] = "";
  char detail[kMaxUpdateDetailBytes + 1] = "";

  bool is_set() const { return state != nullptr; }
  void set(const char* new_state, const char* new_version, const char* new_detail);
};

// The note "trial" in the storage holds a letter, the version on trial and, behind a blank, the one
// before it. It is written before the new program can run and erased when that is kept, or when the
// recorder knows that it was not.
class Trial {
 public:
  explicit Trial(const Hardware& hardware) : hardware_(hardware) {}

  // Once a life. False: this program had its chance, and a reboot brings the old one.
  bool begin(UpdateReport* report);
  bool is_on() const { return is_on_; }
  // The next program will be on trial; false when the flash is full.
  bool announce(const char* version);
  void keep();
  // A reboot brings the old program back; false: there is none, and this one stays.
  bool give_up();
  void forget();  // the recorder was told

 private:
  bool note(char letter);

  const Hardware& hardware_;
  bool is_on_ = false;
  char version_[kMaxVersionBytes + 1] = "";
  char before_[kMaxVersionBytes + 1] = "";
};

}  // namespace roost
