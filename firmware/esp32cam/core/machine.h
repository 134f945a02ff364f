// The camera's whole life as one state machine:
//
//     boot ─► set_up ─► wifi ─► discover ─► enrol ─► connect ─► stream ─► sleep
//       └────────────────┘ ▲        ▲         └──────────┴─────────┤
//                          └────────┴──────────── pause ◄──────────┘
//
// A new program is fetched in `update`, between one stream and the next.
// `pause` is the jittered back-off that every failure passes through; `reboot` and `sleep` end it.
#pragma once

#include <cstdint>

#include "hardware.h"
#include "portal.h"
#include "recorder.h"
#include "session.h"
#include "settings.h"
#include "setup_console.h"

namespace roost {

enum class State : uint8_t {
  boot,
  set_up,  // waits for the serial line or the portal: something is missing, or a person asked
  wifi,
  discover,
  enrol,
  connect,
  stream,
  update,
  pause,
  sleep,
  reboot,
};

const char* name_of(State state);
// What `enter` refuses is a mistake in this program.
bool is_allowed(State from, State to);

struct Timing {
  Patience patience;
  Pace pace;
  UpdatePace update;
  PortalPace portal;
  uint32_t trial_ms = 180'000;  // a new program has so long to get a picture through
  uint32_t wifi_ms = 20'000;
  uint32_t browse_ms = 3'000;
  uint32_t backoff_ms = 1'000;  // after the first failure, then twice as long each time
  uint32_t longest_ms = 60'000;
  uint32_t refused_ms = 10'000;  // at least so long after a refusal: a person has to act
  uint32_t settled_ms = 10'000;  // a session of that length ends a row of failures
  uint32_t awake_ms = 60'000;    // a motion camera without a recorder sleeps again
  uint32_t weary_ms = 20'000;    // the same after several such wakes in a row
  uint32_t stuck_ms = 600'000;   // without Wi-Fi for so long: a reboot frees a stuck radio
};

class Machine {
 public:
  Machine(const Hardware& hardware, const Timing& timing);

  // A part of the work: one picture, one try, or 10 ms of waiting. False once the camera sleeps or
  // reboots, which a board does before it returns.
  bool step();
  State state() const { return state_; }
  const Tally& tally() const { return tally_; }
  const Settings& settings() const { return settings_; }
  uint32_t enrolments() const { return enrolments_; }
  uint32_t connections() const { return connections_; }

 private:
  // Lost with the power; counts and nothing that is needed.
  struct Memory {
    uint32_t magic;
    uint32_t boot_count;
    uint32_t vain_wakes;  // in a row: woken and never connected
  };

  void boot();
  void set_up();
  void join_wifi();
  void discover();
  void enrol();
  void connect();
  void stream();
  void update();
  void pause();
  void end_trial();
  void open_portal();
  void fall_asleep();

  void enter(State next);
  void restart();
  void go_back_to_set_up();
  void reconsider();  // settings were changed over the serial line
  void next_candidate();
  void take_refusal(Outcome outcome);
  void end_session(End end);
  void fail(uint32_t at_least_ms);
  bool is_awake_too_long() const;
  const Endpoint& target() const { return candidates_[candidate_]; }

  Hardware hardware_;
  Timing timing_;
  Settings settings_;
  SetupConsole console_;
  Recorder recorder_;
  Trial trial_;
  Update update_;
  UpdateReport report_;
  Portal portal_;
  Tally tally_;
  Session session_;
  Memory memory_ = {};
  State state_ = State::boot;
  Candidates candidates_;
  size_t candidate_ = 0;
  bool knows_where_ = false;  // the candidate is the recorder's last address, not an answer
  bool is_last_seen_no_use_ = false;
  bool has_camera_ = false;
  bool has_offered_portal_ = false;  // once a life: a battery must not pay for it for ever
  uint32_t failures_ = 0;  // in a row
  uint32_t refusals_ = 0;  // of keys, in a row
  uint32_t enrolments_ = 0;
  uint32_t connections_ = 0;
  uint64_t since_ms_ = 0;  // when this state began
  uint64_t pause_until_ms_ = 0;
  uint64_t sessionless_since_ms_ = 0;
  uint64_t wifi_seen_ms_ = 0;
};

}  // namespace roost
