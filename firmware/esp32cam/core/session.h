// One connection to the recorder, from the first message to the last.
#pragma once

#include <cstdint>

#include "hardware.h"
#include "recorder.h"
#include "settings.h"
#include "trial.h"
#include "update.h"

namespace roost {

// All in milliseconds. The tests have less of each.
struct Pace {
  uint32_t stream_ms = 30'000;    // after the last motion
  uint32_t heartbeat_ms = 5'000;  // the recorder hangs up after 10 s without a word
  uint32_t quiet_ms = 15'000;     // without a word of the recorder: it is asked with a ping
  uint32_t pong_ms = 10'000;      // then it has so long
  uint32_t blind_ms = 10'000;     // without a picture: the camera is started again
  uint32_t goodbye_ms = 1'000;    // for the recorder's answer to our close frame
};

// What one life of the camera counts, over all of its sessions.
struct Tally {
  uint32_t sent = 0;
  uint32_t late = 0;    // due, but the network or the camera was behind
  uint32_t failed = 0;  // the camera gave none, or a broken one
  uint32_t unsent = 0;  // taken, and the connection was lost
  uint32_t unread = 0;  // messages that made no sense

  uint32_t drops() const { return late + failed + unsent; }
};

enum class End : uint8_t { none, lost, closed, sleep, reboot, update };

class Session {
 public:
  Session(const Hardware& hardware, Recorder& recorder, Settings& settings, const Pace& pace,
          Tally& tally, Trial& trial, const Update& update, UpdateReport& report)
      : hardware_(hardware),
        recorder_(recorder),
        settings_(settings),
        pace_(pace),
        tally_(tally),
        trial_(trial),
        update_(update),
        report_(report) {}

  void begin(uint32_t boot_count);
  // A part of the work that lasts one picture at most. Anything but `none` ends the session; say
  // good-bye then, unless the connection is lost.
  End step();
  // Says why, with the closing handshake. `status` is null for none.
  void say_goodbye(const char* status);
  // What to download when `step` said `update`.
  const UpdateOrder& order() const { return order_; }
  uint64_t age_ms() const { return hardware_.clock.now_ms() - began_ms_; }

 private:
  End listen();
  End obey(const FrameReader::Message& message);
  End configure(const PictureSettings& wanted, uint8_t refused);
  End consider(const UpdateOrder& order);
  bool deliver_report();
  bool probe();
  bool take_pong(const FrameReader::Message& message);
  bool beat(uint64_t now_ms);
  bool check_liveness(uint64_t now_ms);
  bool stream(uint64_t now_ms);
  bool take_and_send(uint64_t now_ms);
  End look_after_camera(uint64_t now_ms);
  void set_streaming(bool is_wanted, uint64_t now_ms);
  bool send_status(const char* status);
  bool send_error(const char* message);
  bool send_update(const char* state, const char* version, const char* detail);
  void rest(uint64_t now_ms);

  const Hardware& hardware_;
  Recorder& recorder_;
  Settings& settings_;
  Pace pace_;
  Tally& tally_;
  Trial& trial_;
  const Update& update_;
  UpdateReport& report_;
  UpdateOrder order_;
  bool is_restart_due_ = false;  // the recorder was told that a new program starts
  bool is_probed_ = false;       // a trial's picture was sent, and a ping behind it
  uint32_t boot_count_ = 0;
  bool is_streaming_ = true;
  bool is_lost_ = false;
  uint8_t camera_starts_ = 0;  // since the last picture
  uint64_t began_ms_ = 0;
  uint64_t awake_until_ms_ = 0;
  uint64_t next_picture_ms_ = 0;
  uint64_t next_heartbeat_ms_ = 0;
  uint64_t heard_ms_ = 0;
  uint64_t pinged_ms_ = 0;  // 0: no ping is unanswered
  uint64_t saw_ms_ = 0;     // the last picture
};

}  // namespace roost
