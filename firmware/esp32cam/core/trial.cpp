#include "trial.h"

#include <cstring>

#include "settings.h"
#include "version.h"

namespace roost {
namespace {

constexpr char kEntry[] = "trial";
constexpr char kInstalled = 'i', kStarted = 's', kLate = 'l';

const char* words_for(char letter) {
  if (letter == kInstalled) return "it did not start";
  if (letter == kLate) return "none of its pictures reached the recorder in time";
  return "it ended before a picture reached the recorder";
}

}  // namespace

void UpdateReport::set(const char* new_state, const char* new_version, const char* new_detail) {
  state = new_state;
  copy_text(version, sizeof version, new_version);
  copy_text(detail, sizeof detail, new_detail);
}

bool Trial::begin(UpdateReport* report) {
  char found[kMaxVersionBytes + 2] = "";
  const int size = hardware_.storage.load(kEntry, found, sizeof found - 1);
  const char letter = found[0];
  if (size < 2 || strcmp(found + 1, own_version()) != 0) {
    hardware_.slots.keep();  // nobody tries this program, whatever a loader thinks
    if (size < 2) return true;
    report->set("rolled_back", found + 1, words_for(letter));
    return true;
  }
  if (letter == kInstalled && note(kStarted, own_version())) {
    is_on_ = true;
    return true;
  }
  // It ran before and was not kept. A board's own loader sees to that too, where it can.
  return !give_up();
}

bool Trial::note(char letter, const char* version) {
  char text[kMaxVersionBytes + 2] = {letter};
  copy_text(text + 1, sizeof text - 1, version);
  return hardware_.storage.save(kEntry, text, strlen(text));
}

bool Trial::announce(const char* version) { return note(kInstalled, version); }

void Trial::keep() {
  is_on_ = false;
  hardware_.slots.keep();
  forget();
}

bool Trial::give_up() {
  if (is_on_) note(kLate, own_version());
  is_on_ = false;
  if (hardware_.slots.roll_back()) return true;
  say(hardware_.console, "there is no other program to go back to");
  keep();
  return false;
}

void Trial::forget() { hardware_.storage.erase(kEntry); }

}  // namespace roost
