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
  char found[sizeof version_ + sizeof before_ + 1] = "";
  const int size = hardware_.storage.load(kEntry, found, sizeof found - 1);
  char* blank = strchr(found, ' ');
  if (size < 2 || blank == nullptr) {
    hardware_.slots.keep();  // nobody tries this program, whatever a loader thinks
    return true;
  }
  *blank = '\0';
  copy_text(version_, sizeof version_, found + 1);
  copy_text(before_, sizeof before_, blank + 1);
  const char letter = found[0];
  if (strcmp(before_, own_version()) == 0) {
    hardware_.slots.keep();
    report->set("rolled_back", version_, words_for(letter));
    return true;
  }
  // Also when it calls itself otherwise than its file did.
  if (letter == kInstalled && note(kStarted)) {
    is_on_ = true;
    return true;
  }
  if (strcmp(version_, own_version()) != 0) {
    keep();  // a third program, flashed over the serial line
    return true;
  }
  // It ran before and was not kept. A board's own loader sees to that too, where it can.
  return !give_up();
}

bool Trial::note(char letter) {
  char text[sizeof version_ + sizeof before_ + 1] = {letter};
  copy_text(text + 1, sizeof version_, version_);
  strcat(text, " ");
  strcat(text, before_);
  return hardware_.storage.save(kEntry, text, strlen(text));
}

bool Trial::announce(const char* version) {
  copy_text(version_, sizeof version_, version);
  copy_text(before_, sizeof before_, own_version());
  return note(kInstalled);
}

void Trial::keep() {
  is_on_ = false;
  hardware_.slots.keep();
  forget();
}

bool Trial::give_up() {
  if (is_on_) note(kLate);
  is_on_ = false;
  if (hardware_.slots.roll_back()) return true;
  say(hardware_.console, "there is no other program to go back to");
  keep();
  return false;
}

void Trial::forget() { hardware_.storage.erase(kEntry); }

}  // namespace roost
