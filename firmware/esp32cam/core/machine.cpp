#include "machine.h"

#include <cstddef>

#include "version.h"

namespace roost {
namespace {

constexpr uint32_t kMagic = 0x526F6F73;  // "Roos": RTC memory holds noise after a power cut
constexpr uint32_t kWaitMs = 10;
constexpr uint32_t kNewWifiTries = 2;  // then a camera that was never anywhere offers its portal
constexpr uint32_t kWeary = 3;  // vain wakes
// After so many answers 403 the key is thought lost: another may have been approved instead.
constexpr uint32_t kPatientRefusals = 10;

constexpr uint16_t bit(State state) {
  return static_cast<uint16_t>(1U << static_cast<unsigned>(state));
}

// By the state that is left.
constexpr uint16_t kAllowed[] = {
    /* boot     */ bit(State::set_up) | bit(State::wifi) | bit(State::sleep) | bit(State::reboot),
    /* set_up   */ bit(State::wifi) | bit(State::reboot),
    /* wifi     */ bit(State::discover) | bit(State::pause) | bit(State::reboot),
    /* discover */ bit(State::enrol) | bit(State::connect) | bit(State::pause),
    /* enrol    */ bit(State::enrol) | bit(State::connect) | bit(State::discover) |
        bit(State::pause),
    /* connect  */ bit(State::connect) | bit(State::stream) | bit(State::enrol) |
        bit(State::discover) | bit(State::pause),
    /* stream   */ bit(State::pause) | bit(State::sleep) | bit(State::reboot) |
        bit(State::update),
    /* update   */ bit(State::connect),
    /* pause    */ bit(State::wifi) | bit(State::sleep) | bit(State::reboot),
    /* sleep    */ 0,
    /* reboot   */ 0,
};

}  // namespace

const char* name_of(State state) {
  static constexpr const char* kNames[] = {"boot",  "set-up",  "wifi",   "discover",
                                           "enrol", "connect", "stream", "update",
                                           "pause", "sleep",   "reboot"};
  return kNames[static_cast<size_t>(state)];
}

bool is_allowed(State from, State to) {
  return (kAllowed[static_cast<size_t>(from)] & bit(to)) != 0;
}

Machine::Machine(const Hardware& hardware, const Timing& timing)
    : hardware_(hardware),
      timing_(timing),
      settings_(hardware.storage),
      console_(hardware.console, hardware.crypto, settings_),
      recorder_(hardware_, timing.patience),
      trial_(hardware_),
      update_(hardware_, recorder_, settings_, trial_, timing.update),
      portal_(hardware_, settings_, timing.portal),
      session_(hardware_, recorder_, settings_, timing.pace, tally_, trial_, update_, report_) {}

bool Machine::step() {
  if (state_ == State::sleep || state_ == State::reboot) return false;
  hardware_.board.feed_watchdog();  // here and nowhere else: a loop that hangs is not fed
  if (state_ != State::boot && console_.poll()) reconsider();
  if (console_.has_asked_for_portal()) open_portal();
  if (trial_.is_on() && hardware_.clock.now_ms() >= timing_.trial_ms) end_trial();
  switch (state_) {
    case State::boot: boot(); break;
    case State::set_up: set_up(); break;
    case State::wifi: join_wifi(); break;
    case State::discover: discover(); break;
    case State::enrol: enrol(); break;
    case State::connect: connect(); break;
    case State::stream: stream(); break;
    case State::update: update(); break;
    case State::pause: pause(); break;
    case State::sleep:
    case State::reboot: break;
  }
  if (state_ == State::sleep) {
    fall_asleep();
  } else if (state_ == State::reboot) {
    hardware_.board.reboot();
  }
  return state_ != State::sleep && state_ != State::reboot;
}

void Machine::enter(State next) {
  if (!is_allowed(state_, next)) {
    say(hardware_.console, "from %s to %s: that must not be", name_of(state_), name_of(next));
    next = State::reboot;
  }
  if (next != state_) say(hardware_.console, "%s -> %s", name_of(state_), name_of(next));
  state_ = next;
  since_ms_ = hardware_.clock.now_ms();
}

void Machine::boot() {
  if (!hardware_.storage.recall(&memory_, sizeof memory_) || memory_.magic != kMagic) {
    memory_ = {kMagic, 0, 0};
  }
  ++memory_.boot_count;
  hardware_.storage.remember(&memory_, sizeof memory_);
  settings_.load();
  const BootReason reason = hardware_.board.boot_reason();
  say(hardware_.console, "boot %u, reason %s, firmware %s",
      static_cast<unsigned>(memory_.boot_count), name_of(reason), own_version());
  sessionless_since_ms_ = wifi_seen_ms_ = hardware_.clock.now_ms();
  if (!trial_.begin(&report_)) {
    enter(State::reboot);
  } else if (!settings_.is_complete()) {
    say(hardware_.console, "wifi and ca are needed; `show` says what is there");
    enter(State::set_up);
    portal_.open();
  } else if (reason == BootReason::timer && settings_.mode == Mode::motion &&
             !hardware_.board.has_motion()) {
    enter(State::sleep);  // the PIR is free again, and can wake the camera
  } else {
    restart();
  }
}

void Machine::restart() {
  if (!has_camera_) has_camera_ = hardware_.camera.begin(settings_.picture);
  if (!has_camera_) say(hardware_.console, "there is no camera");
  failures_ = refusals_ = 0;
  is_last_seen_no_use_ = false;
  hardware_.wifi.begin(settings_.ssid, settings_.password);
  enter(State::wifi);
}

void Machine::set_up() {
  switch (portal_.step()) {
    case Portal::State::open: break;
    case Portal::State::saved: enter(State::reboot); return;
    case Portal::State::closed:
      if (settings_.is_complete()) {
        restart();
        return;
      }
  }
  hardware_.clock.pause_ms(kWaitMs);
}

// The way from any state to the beginning is a person's, not the machine's: no transition.
void Machine::go_back_to_set_up() {
  if (state_ == State::stream) session_.say_goodbye("offline");
  if (state_ == State::update) update_.cancel();
  recorder_.close();
  portal_.close();
  hardware_.wifi.stop();
  say(hardware_.console, "%s -> set-up", name_of(state_));
  state_ = State::set_up;
  sessionless_since_ms_ = wifi_seen_ms_ = hardware_.clock.now_ms();
}

void Machine::reconsider() {
  go_back_to_set_up();
  if (settings_.is_complete()) {
    restart();
  } else {
    portal_.open();
  }
}

void Machine::open_portal() {
  go_back_to_set_up();
  portal_.open();
}

void Machine::end_trial() {
  say(hardware_.console, "no picture got through: the old program comes back");
  if (state_ == State::stream) session_.say_goodbye("offline");
  recorder_.close();
  if (trial_.give_up()) state_ = State::reboot;  // from any state
}

void Machine::join_wifi() {
  const WifiState wifi = hardware_.wifi.state();
  if (wifi == WifiState::connected) {
    wifi_seen_ms_ = hardware_.clock.now_ms();
    enter(State::discover);
  } else if (wifi == WifiState::failed || hardware_.clock.now_ms() - since_ms_ >= timing_.wifi_ms) {
    say(hardware_.console, "no Wi-Fi \"%s\"", settings_.ssid);
    hardware_.wifi.stop();
    // A wrong password, most likely. A camera that has known its recorder does not open: its network
    // may just be away, and a stranger could wait for that.
    const bool is_new = settings_.key[0] == '\0' && !settings_.last_seen.is_set();
    if (is_new && failures_ + 1 >= kNewWifiTries && !has_offered_portal_) {
      has_offered_portal_ = true;
      open_portal();
    } else {
      fail(0);
    }
  } else {
    hardware_.clock.pause_ms(kWaitMs);
  }
}

void Machine::discover() {
  candidates_.clear();
  candidate_ = 0;
  knows_where_ =
      !settings_.server.is_set() && settings_.last_seen.is_set() && !is_last_seen_no_use_;
  if (settings_.server.is_set()) {
    candidates_.offer(settings_.server, 0);
  } else if (knows_where_) {
    candidates_.offer(settings_.last_seen, 0);
  } else {
    hardware_.discovery.browse(candidates_, timing_.browse_ms);
  }
  if (candidates_.size() == 0) {
    say(hardware_.console, "no recorder answers");
    is_last_seen_no_use_ = false;
    fail(0);
    return;
  }
  enter(settings_.key[0] != '\0' ? State::connect : State::enrol);
}

void Machine::enrol() {
  PictureSettings picture = settings_.picture;
  char key[kMaxKeyBytes + 1];
  ++enrolments_;
  const Outcome outcome = recorder_.enrol(target(), settings_.trusted_pem, key, &picture);
  if (outcome == Outcome::ok) {
    if (!settings_.set_key(key))
      say(hardware_.console, "the key could not be kept: the flash is full");
    if (picture.size > hardware_.camera.largest()) picture.size = hardware_.camera.largest();
    if (picture != settings_.picture && hardware_.camera.apply(picture))
      settings_.set_picture(picture);
    enter(State::connect);
    return;
  }
  say(hardware_.console, "%s:%u: %s", target().host, static_cast<unsigned>(target().port),
      words_for(outcome));
  if (outcome == Outcome::unreachable || outcome == Outcome::untrusted) {
    next_candidate();
  } else {
    fail(timing_.refused_ms);
  }
}

void Machine::connect() {
  const Outcome outcome = recorder_.dial(target(), settings_.trusted_pem, settings_.key);
  if (outcome == Outcome::ok) {
    ++connections_;
    settings_.set_last_seen(target());
    is_last_seen_no_use_ = false;
    memory_.vain_wakes = 0;
    hardware_.storage.remember(&memory_, sizeof memory_);
    session_.begin(memory_.boot_count);
    enter(State::stream);
    return;
  }
  say(hardware_.console, "%s:%u: %s", target().host, static_cast<unsigned>(target().port),
      words_for(outcome));
  switch (outcome) {
    case Outcome::unreachable:
    case Outcome::untrusted: next_candidate(); break;
    case Outcome::refused_key:
    case Outcome::refused: take_refusal(outcome); break;
    default: fail(timing_.refused_ms);
  }
}

void Machine::take_refusal(Outcome outcome) {
  ++refusals_;
  // 403 is said of a key that waits for approval: a new one would wait just as well.
  if (outcome == Outcome::refused && refusals_ % kPatientRefusals != 0) {
    fail(timing_.refused_ms);
    return;
  }
  settings_.set_key("");
  if (refusals_ == 1) {
    enter(
        State::enrol);  // once at once; a recorder that refuses what it gave is not asked in a loop
  } else {
    fail(timing_.refused_ms);
  }
}

void Machine::next_candidate() {
  if (++candidate_ < candidates_.size()) {
    enter(state_);
  } else if (knows_where_) {
    is_last_seen_no_use_ = true;  // it may have moved: ask who is there
    enter(State::discover);
  } else {
    is_last_seen_no_use_ = false;
    fail(0);
  }
}

void Machine::stream() {
  const End end = session_.step();
  if (end != End::none) end_session(end);
}

void Machine::end_session(End end) {
  if (end == End::sleep) {
    session_.say_goodbye("entering_sleep");
  } else if (end == End::reboot) {
    session_.say_goodbye("offline");
  } else if (end == End::update) {
    session_.say_goodbye(nullptr);  // one connection at a time: a second would not fit the memory
    update_.begin(session_.order());
  }
  recorder_.close();
  sessionless_since_ms_ = wifi_seen_ms_ = hardware_.clock.now_ms();
  if (end == End::sleep) {
    enter(State::sleep);
  } else if (end == End::reboot) {
    enter(State::reboot);
  } else if (end == End::update) {
    enter(State::update);
  } else {
    // A recorder that lets us in and hangs up at once is no success.
    if (session_.age_ms() >= timing_.settled_ms) failures_ = refusals_ = 0;
    fail(0);
  }
}

void Machine::update() {
  if (update_.step(target(), &report_)) return;
  sessionless_since_ms_ = wifi_seen_ms_ = hardware_.clock.now_ms();
  enter(State::connect);  // to say how it ended
}

void Machine::fail(uint32_t at_least_ms) {
  uint32_t wait_ms = timing_.backoff_ms;
  for (uint32_t i = 0; i < failures_ && wait_ms < timing_.longest_ms; ++i) wait_ms *= 2;
  if (wait_ms > timing_.longest_ms) wait_ms = timing_.longest_ms;
  // Half of it by chance: cameras that lost one recorder at once must not come back at once.
  wait_ms = wait_ms / 2 + hardware_.clock.random() % (wait_ms / 2 + 1);
  if (wait_ms < at_least_ms)
    wait_ms = at_least_ms + hardware_.clock.random() % (at_least_ms / 4 + 1);
  ++failures_;
  pause_until_ms_ = hardware_.clock.now_ms() + wait_ms;
  enter(State::pause);
}

bool Machine::is_awake_too_long() const {
  const uint32_t limit_ms = memory_.vain_wakes >= kWeary ? timing_.weary_ms : timing_.awake_ms;
  return settings_.mode == Mode::motion && !trial_.is_on() &&
         hardware_.clock.now_ms() - sessionless_since_ms_ >= limit_ms;
}

void Machine::pause() {
  const uint64_t now_ms = hardware_.clock.now_ms();
  if (is_awake_too_long()) {
    say(hardware_.console, "no recorder; sleeping until the next motion");
    if (connections_ == 0) ++memory_.vain_wakes;
    hardware_.storage.remember(&memory_, sizeof memory_);
    enter(State::sleep);
  } else if (now_ms < pause_until_ms_) {
    hardware_.clock.pause_ms(kWaitMs);
  } else if (hardware_.wifi.state() == WifiState::connected) {
    enter(State::wifi);
  } else if (now_ms - wifi_seen_ms_ >= timing_.stuck_ms) {
    enter(State::reboot);
  } else {
    hardware_.wifi.begin(settings_.ssid, settings_.password);
    enter(State::wifi);
  }
}

void Machine::fall_asleep() {
  hardware_.wifi.stop();
  hardware_.board.sleep_until_motion();
}

}  // namespace roost
