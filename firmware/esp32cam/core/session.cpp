#include "session.h"

#include <cstring>

#include "version.h"

namespace roost {
namespace {

constexpr uint32_t kRestMs = 10;  // the longest wait before we listen again
// A recorder that talks without end must not stop the pictures.
constexpr int kMaxMessagesAStep = 8;
constexpr uint8_t kMaxCameraStarts = 2;
constexpr uint8_t kMostCameraStarts = 30;
// TLS keeps the order: who answers this has read the picture before it.
constexpr char kProbe[] = "trial";

// The driver marks neither a picture that lost its beginning nor one that was cut.
bool is_jpeg(const Picture& picture) {
  const uint8_t* data = picture.data;
  const size_t size = picture.size;
  return size >= 4 && data[0] == 0xFF && data[1] == 0xD8 && data[size - 2] == 0xFF &&
         data[size - 1] == 0xD9;
}

}  // namespace

void Session::begin(uint32_t boot_count) {
  const uint64_t now_ms = hardware_.clock.now_ms();
  boot_count_ = boot_count;
  is_streaming_ = true;
  is_lost_ = false;
  camera_starts_ = 0;
  began_ms_ = heard_ms_ = saw_ms_ = next_picture_ms_ = next_heartbeat_ms_ = now_ms;
  awake_until_ms_ = now_ms + pace_.stream_ms;
  pinged_ms_ = 0;
  is_restart_due_ = is_probed_ = false;
  is_lost_ = !send_status("online") || !deliver_report();
}

End Session::step() {
  if (is_lost_) return End::lost;
  if (is_restart_due_) return End::reboot;
  const End told = listen();
  if (told != End::none) return told;
  const uint64_t now_ms = hardware_.clock.now_ms();
  if (settings_.mode == Mode::motion) {
    if (hardware_.board.has_motion()) awake_until_ms_ = now_ms + pace_.stream_ms;
    // A restart would end the trial of a program that may only need another minute.
    if (now_ms >= awake_until_ms_ && !trial_.is_on()) return End::sleep;
  }
  if (!beat(now_ms) || !check_liveness(now_ms) || !stream(now_ms)) return End::lost;
  const End camera = look_after_camera(now_ms);
  if (camera == End::none) rest(hardware_.clock.now_ms());
  return camera;
}

End Session::listen() {
  for (int i = 0; i < kMaxMessagesAStep; ++i) {
    FrameReader::Message message;
    const FrameReader::Result result = recorder_.receive(&message);
    if (result == FrameReader::Result::failed) return End::lost;
    if (result == FrameReader::Result::more) return End::none;
    heard_ms_ = hardware_.clock.now_ms();
    pinged_ms_ = 0;
    const End end = obey(message);
    if (end != End::none) return end;
  }
  return End::none;
}

End Session::obey(const FrameReader::Message& message) {
  switch (message.opcode) {
    case Opcode::ping:
      return recorder_.send(Opcode::pong, message.data, message.size) ? End::none : End::lost;
    case Opcode::close: {
      const auto* code = reinterpret_cast<const uint8_t*>(message.data);
      say(hardware_.console, "the recorder closed the connection (%d)",
          message.size >= 2 ? code[0] << 8 | code[1] : 0);
      recorder_.send(Opcode::close, message.data, message.size < 2 ? 0 : 2);
      return End::lost;
    }
    case Opcode::pong: return take_pong(message) ? End::none : End::lost;
    case Opcode::text: break;
    default: return End::none;
  }
  PictureSettings wanted = settings_.picture;
  const Instruction told = read_message(message.data, message.size, &wanted);
  const uint64_t now_ms = hardware_.clock.now_ms();
  switch (told.order) {
    case Order::none: break;
    case Order::malformed: ++tally_.unread; break;
    case Order::welcome:
      // The recorder proved who it is, so a camera without a clock may take its time.
      if (told.wall_s != 0 && hardware_.clock.wall_s() == 0)
        hardware_.clock.set_wall_s(told.wall_s);
      break;
    case Order::configure: return configure(wanted, told.refused);
    case Order::start_streaming:
      set_streaming(true, now_ms);
      awake_until_ms_ = now_ms + pace_.stream_ms;
      break;
    case Order::stop_streaming: set_streaming(false, now_ms); break;
    case Order::reboot: return End::reboot;
    case Order::sleep: return trial_.is_on() ? End::none : End::sleep;
    case Order::update: return consider(told.update);
  }
  return is_lost_ ? End::lost : End::none;
}

End Session::configure(const PictureSettings& asked, uint8_t refused) {
  PictureSettings wanted = asked;
  if (wanted.size > hardware_.camera.largest()) {
    wanted.size = hardware_.camera.largest();
    ++refused;
  }
  if (wanted != settings_.picture) {
    if (!hardware_.camera.apply(wanted)) {
      return send_error("The camera does not take these settings") ? End::none : End::lost;
    }
    const bool is_saved = settings_.set_picture(wanted);
    say(hardware_.console, "picture %s, %u frames/s, quality %u%s", facts_of(wanted.size).name,
        static_cast<unsigned>(wanted.framerate), static_cast<unsigned>(wanted.quality),
        is_saved ? "" : ", not saved: the flash is full");
    next_picture_ms_ = hardware_.clock.now_ms();  // a new rate begins now, not after an old second
  }
  if (refused == 0) return End::none;
  return send_error("Some settings are outside what this camera can") ? End::none : End::lost;
}

void Session::set_streaming(bool is_wanted, uint64_t now_ms) {
  if (is_wanted == is_streaming_) return;
  is_streaming_ = is_wanted;
  next_picture_ms_ = saw_ms_ = now_ms;
  is_lost_ = !send_status(is_wanted ? "streaming" : "online");
}

End Session::consider(const UpdateOrder& order) {
  const char* objection = update_.objection_to(order);
  if (objection != nullptr) {
    say(hardware_.console, "update to %s: %s", order.version, objection);
    return send_update("failed", order.version, objection) ? End::none : End::lost;
  }
  order_ = order;
  const bool is_said = send_update("downloading", order.version, "no pictures until it is done");
  return is_said ? End::update : End::lost;
}

bool Session::deliver_report() {
  if (!report_.is_set()) return true;
  if (!send_update(report_.state, report_.version, report_.detail)) return false;
  is_restart_due_ = strcmp(report_.state, "installed") == 0;
  if (strcmp(report_.state, "rolled_back") == 0) trial_.forget();
  report_ = UpdateReport();
  return true;
}

bool Session::probe() {
  if (!trial_.is_on() || is_probed_) return true;
  is_probed_ = true;
  return recorder_.send(Opcode::ping, kProbe, sizeof kProbe - 1);
}

bool Session::take_pong(const FrameReader::Message& message) {
  const bool is_ours = message.size == sizeof kProbe - 1 &&
                       memcmp(message.data, kProbe, sizeof kProbe - 1) == 0;
  if (!is_ours || !is_probed_ || !trial_.is_on()) return true;
  trial_.keep();
  say(hardware_.console, "a picture got through: %s stays", own_version());
  return send_update("running", own_version(), "a picture got through");
}

bool Session::send_update(const char* state, const char* version, const char* detail) {
  char text[280];
  const size_t size = write_update(state, version, detail, text, sizeof text);
  return size > 0 && recorder_.send_text(text, size);
}

bool Session::beat(uint64_t now_ms) {
  if (now_ms < next_heartbeat_ms_) return true;
  next_heartbeat_ms_ = now_ms + pace_.heartbeat_ms;
  Board& board = hardware_.board;
  Vitals vitals;
  vitals.uptime_ms = now_ms;
  vitals.free_heap_bytes = board.free_heap_bytes();
  vitals.boot_count = boot_count_;
  vitals.rssi_dbm = hardware_.wifi.rssi_dbm();
  vitals.chip_temperature_c = board.chip_temperature_c();
  vitals.battery_mv = board.battery_mv();
  vitals.reset_reason = name_of(board.boot_reason());
  vitals.drops = tally_.drops();
  vitals.firmware = own_version();
  vitals.board = hardware_.slots.board();
  char fingerprint[17] = "";
  if (settings_.has_update_key) write_fingerprint(settings_.update_key, fingerprint);
  vitals.update_key = fingerprint;
  char text[400];
  const size_t size = write_heartbeat(vitals, text, sizeof text);
  return size > 0 && recorder_.send_text(text, size);
}

bool Session::check_liveness(uint64_t now_ms) {
  if (pinged_ms_ != 0) {
    if (now_ms - pinged_ms_ < pace_.pong_ms) return true;
    say(hardware_.console, "the recorder fell silent");
    return false;
  }
  if (now_ms - heard_ms_ < pace_.quiet_ms) return true;
  pinged_ms_ = now_ms;
  return recorder_.send(Opcode::ping, "roost", 5);
}

bool Session::stream(uint64_t now_ms) {
  // A recorder that wants no pictures still gets the one that ends a trial.
  const bool is_wanted = is_streaming_ || (trial_.is_on() && !is_probed_);
  if (!is_wanted || now_ms < next_picture_ms_) return true;
  const uint32_t interval_ms = 1000 / settings_.picture.framerate;
  next_picture_ms_ += interval_ms;
  if (now_ms > next_picture_ms_ + interval_ms) {
    // Behind by more than a picture: those are lost, and there is no catching up in a burst.
    const auto missed = static_cast<uint32_t>((now_ms - next_picture_ms_) / interval_ms);
    tally_.late += missed;
    next_picture_ms_ += static_cast<uint64_t>(missed) * interval_ms;
  }
  return take_and_send(now_ms);
}

bool Session::take_and_send(uint64_t now_ms) {
  Picture picture;
  if (!hardware_.camera.take(&picture)) {
    ++tally_.failed;
    return true;
  }
  bool is_alive = true;
  if (!is_jpeg(picture)) {
    ++tally_.failed;
  } else if (recorder_.send(Opcode::binary, picture.data, picture.size)) {
    ++tally_.sent;
    saw_ms_ = now_ms;
    camera_starts_ = 0;
    is_alive = probe();
  } else {
    ++tally_.unsent;
    is_alive = false;
  }
  hardware_.camera.give_back(picture);
  return is_alive;
}

End Session::look_after_camera(uint64_t now_ms) {
  const uint64_t patience_ms = static_cast<uint64_t>(pace_.blind_ms) * (camera_starts_ + 1U);
  if (!is_streaming_ || now_ms < saw_ms_ + patience_ms) return End::none;
  saw_ms_ = now_ms;
  if (!send_error("The camera gives no picture; it is started again")) return End::lost;
  // A camera that never worked is not mended by a reboot; it is tried less and less often.
  if (camera_starts_ >= kMaxCameraStarts && tally_.sent > 0) return End::reboot;
  if (camera_starts_ < kMostCameraStarts) ++camera_starts_;
  hardware_.camera.begin(settings_.picture);
  return End::none;
}

bool Session::send_status(const char* status) {
  char text[64];
  const size_t size = write_status(status, text, sizeof text);
  return size > 0 && recorder_.send_text(text, size);
}

bool Session::send_error(const char* message) {
  say(hardware_.console, "%s", message);
  char text[160];
  const size_t size = write_error(message, text, sizeof text);
  return size > 0 && recorder_.send_text(text, size);
}

void Session::say_goodbye(const char* status) {
  if (status != nullptr && !send_status(status)) return;
  if (!recorder_.send_close(kCloseNormal)) return;
  const uint64_t deadline_ms = hardware_.clock.now_ms() + pace_.goodbye_ms;
  while (hardware_.clock.now_ms() < deadline_ms) {
    FrameReader::Message message;
    const FrameReader::Result result = recorder_.receive(&message);
    if (result == FrameReader::Result::failed) return;
    if (result == FrameReader::Result::message && message.opcode == Opcode::close) return;
    if (result == FrameReader::Result::more) hardware_.clock.pause_ms(kRestMs);
  }
}

void Session::rest(uint64_t now_ms) {
  uint64_t until_ms = now_ms + kRestMs;
  if (is_streaming_ && next_picture_ms_ < until_ms) until_ms = next_picture_ms_;
  if (until_ms > now_ms) hardware_.clock.pause_ms(static_cast<uint32_t>(until_ms - now_ms));
}

}  // namespace roost
