#include "../../../firmware/esp32cam/core/version.h"
#include "check.h"
#include "scripted.h"

using namespace scripted;

namespace {

// The new program's first life.
struct OnTrial : Bench {
  OnTrial() { storage.entries["trial"] = std::string("i") + own_version() + " 0.0.1"; }
};

}  // namespace

TEST(trial, ends_well_when_a_picture_reached_the_recorder) {
  OnTrial camera;
  camera.boot(BootReason::software);
  camera.run_until([&] { return camera.peer.count(1, "\"state\":\"running\"") == 1; });
  CHECK(camera.peer.count(2, "picture") >= 1);
  CHECK_NUMBER(camera.slots.kept, 1);
  CHECK(camera.storage.entries.count("trial") == 0);
  CHECK_NUMBER(camera.peer.count(1, std::string("\"version\":\"") + own_version()), 1);
  camera.run_for(600000);
  CHECK_NUMBER(camera.slots.rolled_back, 0);
  CHECK_NUMBER(camera.peer.count(9, "trial"), 1);
}

TEST(trial, is_not_passed_by_a_picture_that_nobody_read) {
  OnTrial camera;
  camera.boot(BootReason::software);
  camera.run_until([&] { return camera.machine->state() == State::stream; });
  camera.peer.is_silent = true;
  camera.run_until([&] { return camera.machine->state() == State::reboot; });
  CHECK(camera.peer.count(2, "picture") > 0);
  CHECK_NUMBER(camera.slots.kept, 0);
  CHECK_NUMBER(camera.slots.rolled_back, 1);
}

TEST(trial, ends_after_three_minutes_wherever_the_camera_is) {
  for (const int trouble : {0, 1, 2, 3}) {
    OnTrial camera;
    if (trouble == 0) camera.wifi.is_there = false;
    if (trouble == 1) camera.camera.works = false;
    if (trouble == 2) camera.peer.on_connect = [](const Endpoint&) { return TlsResult::untrusted; };
    if (trouble == 3) camera.storage.entries.erase("ssid");
    // Asleep it would never find out; a recorder that is away is no reason to sleep either.
    camera.storage.entries["mode"] = "motion";
    camera.boot(BootReason::software);
    camera.run_until([&] { return camera.machine->state() == State::reboot; });
    CHECK(camera.clock.time_ms >= 180000 && camera.clock.time_ms < 215000);
    CHECK_NUMBER(camera.slots.rolled_back, 1);
    CHECK_NUMBER(camera.board.slept, 0);
    CHECK_TEXT(camera.storage.entries["trial"], std::string("l") + own_version() + " 0.0.1");
  }
}

TEST(trial, gets_its_picture_through_to_a_recorder_that_wants_none_now) {
  OnTrial camera;
  const std::string stop = "{\"type\":\"command\",\"action\":\"stop_streaming\"}";
  camera.peer.first_words = std::string("\x81") + static_cast<char>(stop.size()) + stop;
  camera.boot(BootReason::software);
  camera.run_until([&] { return camera.peer.count(1, "\"state\":\"running\"") == 1; });
  camera.run_for(5000);
  CHECK_NUMBER(camera.peer.count(2, "picture"), 1);
}

TEST(trial, is_over_when_the_program_ended_before_its_picture) {
  for (const BootReason reason : {BootReason::panic, BootReason::brownout, BootReason::power_on}) {
    OnTrial camera;
    camera.boot(BootReason::software);
    camera.run_until([&] { return camera.machine->state() == State::wifi; });
    // A boot loader without a way back starts the same program again.
    camera.boot(reason);
    camera.run_for(100);
    CHECK(camera.machine->state() == State::reboot);
    CHECK_NUMBER(camera.slots.rolled_back, 1);
  }
}

TEST(trial, is_reported_by_the_old_program_once) {
  const struct {
    char letter;
    const char* words;
  } cases[] = {{'i', "it did not start"},
               {'s', "it ended before a picture reached the recorder"},
               {'l', "none of its pictures reached the recorder in time"}};
  for (const auto& one : cases) {
    Bench camera;
    camera.storage.entries["trial"] = std::string(1, one.letter) + "99.0.1 " + own_version();
    camera.boot(BootReason::power_on);
    camera.run_until([&] { return camera.machine->state() == State::wifi; });
    camera.boot(BootReason::power_on);  // the recorder has not heard it yet
    camera.run_until([&] { return camera.peer.count(1, "rolled_back") == 1; });
    CHECK_NUMBER(camera.peer.count(1, "\"version\":\"99.0.1\",\"detail\":\"" +
                                          std::string(one.words)), 1);
    CHECK(camera.storage.entries.count("trial") == 0);
    camera.boot(BootReason::power_on);
    camera.run_for(20000);
    CHECK_NUMBER(camera.peer.count(1, "rolled_back"), 1);
    CHECK_NUMBER(camera.slots.rolled_back, 0);
  }
}

TEST(trial, is_that_of_a_program_too_that_calls_itself_otherwise) {
  Bench camera;
  camera.storage.entries["trial"] = "i99.0.1 0.0.1";
  camera.wifi.is_there = false;
  camera.boot(BootReason::software);
  camera.run_until([&] { return camera.machine->state() == State::reboot; });
  CHECK_NUMBER(camera.slots.rolled_back, 1);
}

TEST(trial, does_not_concern_a_third_program) {
  Bench camera;
  camera.storage.entries["trial"] = "s99.0.1 0.0.1";
  camera.boot(BootReason::power_on);
  camera.run_until([&] { return camera.peer.count(2, "picture") > 0; });
  CHECK_NUMBER(camera.slots.rolled_back, 0);
  CHECK(camera.storage.entries.count("trial") == 0);
}

TEST(trial, goes_on_with_the_only_program_there_is) {
  OnTrial camera;
  camera.slots.has_other = false;
  camera.storage.entries["key"] = "key-one";
  camera.wifi.is_there = false;
  camera.boot(BootReason::software);
  camera.run_for(200000);
  CHECK(camera.machine->state() != State::reboot);
  camera.wifi.is_there = true;
  camera.run_until([&] { return camera.peer.count(2, "picture") > 0; });
}

TEST(trial, survives_a_note_that_makes_no_sense) {
  for (const std::string& note : {std::string(), std::string("i"), std::string(200, 'x'),
                                  std::string("\0\xff\x01", 3), std::string("i1.0.0"),
                                  std::string(" "), "i9.9.9 " + std::string(60, '9')}) {
    Bench camera;
    camera.storage.entries["trial"] = note;
    camera.boot();
    camera.run_until([&] { return camera.peer.count(2, "picture") > 0; });
    CHECK_NUMBER(camera.slots.rolled_back, 0);
  }
}
