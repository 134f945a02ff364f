#include "check.h"
#include "scripted.h"

using namespace scripted;

namespace {

void reach_stream(Bench& bench) {
  bench.run_until([&] { return bench.machine->state() == State::stream; });
}

}  // namespace

TEST(machine, goes_from_power_to_pictures) {
  Bench bench;
  bench.boot();
  bench.run_until([&] { return bench.peer.count(2, "picture") >= 20; });
  CHECK_NUMBER(bench.peer.requests.size(), 2);
  const std::string& enrol = bench.peer.requests[0];
  CHECK(enrol.find("POST /register HTTP/1.1\r\nHost: 10.0.0.2:3443\r\n") == 0);
  CHECK(enrol.find("\r\n\r\n{\"deviceId\":\"AA:BB:CC:DD:EE:0F\"}") != std::string::npos);
  CHECK(bench.peer.requests[1].find("X-API-Key: key-one") != std::string::npos);
  CHECK_TEXT(bench.peer.messages[0].second, "{\"type\":\"status_update\",\"status\":\"online\"}");
  CHECK_TEXT(bench.storage.entries["key"], "key-one");
  CHECK_TEXT(bench.storage.entries["last_seen"], "10.0.0.2:3443");
}

TEST(machine, masks_every_message_differently_and_sends_large_pictures_whole) {
  Bench bench;
  bench.camera.jpeg = "\xFF\xD8" + std::string(300000, 'j') + "\xFF\xD9";
  bench.boot();
  bench.run_until([&] { return bench.peer.count(2, "jjj") >= 3; });
  for (const auto& message : bench.peer.messages) {
    if (message.first == 2) CHECK(message.second == bench.camera.jpeg);
  }
  for (size_t i = 1; i < bench.peer.masks.size(); ++i)
    CHECK(bench.peer.masks[i] != bench.peer.masks[i - 1]);
}

TEST(machine, honours_the_frame_rate_and_beats_every_five_seconds) {
  for (const int rate : {1, 10, 30}) {
    Bench bench;
    bench.boot();
    reach_stream(bench);
    bench.peer.say("{\"type\":\"config_update\",\"config\":{\"framerate\":" + std::to_string(rate) +
                   "}}");
    bench.run_for(1000);
    bench.peer.messages.clear();
    bench.run_for(20000);
    const int pictures = bench.peer.count(2, "picture");
    CHECK(pictures >= 20 * rate - 1 && pictures <= 20 * rate + 10);
    CHECK_NUMBER(bench.peer.count(1, "\"heartbeat\""), 4);
    CHECK_NUMBER(bench.machine->tally().late, 0);
  }
}

TEST(machine, counts_what_a_slow_camera_misses_and_does_not_catch_up_in_a_burst) {
  Bench bench;
  bench.camera.takes_ms = 450;
  bench.boot();
  reach_stream(bench);
  bench.run_for(20000);
  CHECK(bench.peer.count(2, "picture") <= 46);
  CHECK(bench.machine->tally().late >= 140 && bench.machine->tally().late <= 165);
  CHECK(bench.peer.count(1, "\"drops\":1") > 0);
}

TEST(machine, applies_a_configuration_and_starts_with_it_next_time) {
  Bench bench;
  bench.boot();
  reach_stream(bench);
  bench.peer.say(
      "{\"type\":\"config_update\",\"config\":{\"resolution\":\"UXGA\",\"quality\":20,\"contrast\":"
      "-1}}");
  bench.run_for(1000);
  CHECK(bench.camera.settings.size == FrameSize::UXGA);
  CHECK_NUMBER(bench.camera.settings.contrast, -1);
  bench.boot(BootReason::motion);
  reach_stream(bench);
  CHECK(bench.camera.settings.size == FrameSize::UXGA);
  CHECK_NUMBER(bench.camera.settings.quality, 20);
}

TEST(machine, tells_the_recorder_what_it_cannot) {
  Bench bench;
  bench.camera.most = FrameSize::VGA;
  bench.boot();
  reach_stream(bench);
  bench.peer.say("{\"type\":\"config_update\",\"config\":{\"resolution\":\"UXGA\"}}");
  bench.run_for(1000);
  CHECK(bench.camera.settings.size == FrameSize::VGA);
  CHECK_NUMBER(bench.peer.count(1, "\"error\""), 1);
}

TEST(machine, starts_and_stops_as_it_is_told) {
  Bench bench;
  bench.boot();
  reach_stream(bench);
  bench.run_for(1000);
  bench.peer.say("{\"type\":\"command\",\"action\":\"stop_streaming\"}");
  bench.run_for(1000);
  const int pictures = bench.peer.count(2, "picture");
  bench.run_for(12000);
  CHECK_NUMBER(bench.peer.count(2, "picture"), pictures);
  CHECK(bench.peer.count(1, "heartbeat") >= 2);
  bench.peer.say("{\"type\":\"command\",\"action\":\"start_streaming\"}");
  bench.run_for(2000);
  CHECK(bench.peer.count(2, "picture") > pictures + 15);
  CHECK_NUMBER(bench.peer.count(1, "\"streaming\""), 1);
}

TEST(machine, reboots_and_sleeps_when_told_and_says_good_bye) {
  for (const bool is_sleep : {true, false}) {
    Bench bench;
    bench.boot();
    reach_stream(bench);
    bench.peer.say(is_sleep ? "{\"type\":\"command\",\"action\":\"sleep\"}"
                            : "{\"type\":\"command\",\"action\":\"reboot\"}");
    bench.run_for(1000);
    CHECK_NUMBER(bench.board.slept, is_sleep ? 1 : 0);
    CHECK_NUMBER(bench.board.rebooted, is_sleep ? 0 : 1);
    CHECK_NUMBER(bench.peer.count(1, is_sleep ? "entering_sleep" : "offline"), 1);
    CHECK_NUMBER(bench.peer.messages.back().first, 8);
    CHECK(!bench.machine->step());
  }
}

TEST(machine, streams_thirty_seconds_after_the_last_motion_and_wakes_without_registering) {
  Bench bench;
  bench.storage.entries["mode"] = "motion";
  bench.boot();
  reach_stream(bench);
  bench.run_for(20000);
  bench.board.moves = true;
  bench.run_for(100);
  bench.board.moves = false;
  bench.run_for(29000);
  CHECK_NUMBER(bench.board.slept, 0);
  bench.run_for(2000);
  CHECK_NUMBER(bench.board.slept, 1);
  CHECK_NUMBER(bench.peer.count(1, "entering_sleep"), 1);
  bench.peer.requests.clear();
  bench.boot(BootReason::motion);
  bench.run_until([&] { return bench.peer.count(1, "\"boot_count\":2") == 1; });
  CHECK_NUMBER(bench.peer.requests.size(), 1);
  CHECK_NUMBER(bench.discovery.asked, 1);
  CHECK_NUMBER(bench.peer.count(1, "\"reset_reason\":\"motion\""), 1);
}

TEST(machine, goes_back_to_sleep_when_only_a_clock_woke_it) {
  Bench bench;
  bench.storage.entries["mode"] = "motion";
  bench.boot(BootReason::timer);
  bench.run_for(1000);
  CHECK_NUMBER(bench.board.slept, 1);
  CHECK_NUMBER(bench.wifi.begun, 0);
}

TEST(machine, waits_in_set_up_until_wifi_and_ca_are_there) {
  Bench bench;
  bench.storage.entries.clear();
  bench.boot();
  bench.run_for(60000);
  CHECK(bench.machine->state() == State::set_up);
  CHECK_NUMBER(bench.peer.connects, 0);
  bench.console.typed = "wifi home password1\nmode always\n";
  bench.run_for(1000);
  CHECK(bench.machine->state() == State::set_up);
  bench.console.typed = "ca <<PEM\n" + pem_of(900) + "PEM\n";
  bench.run_until([&] { return bench.peer.count(2, "picture") > 0; });
  bench.console.typed = "forget\n";
  bench.run_for(100);
  CHECK(bench.machine->state() == State::set_up);
  CHECK_NUMBER(bench.peer.count(1, "offline"), 1);
}

TEST(machine, asks_nobody_when_a_person_named_the_recorder) {
  Bench bench;
  bench.storage.entries["server"] = "recorder.local:8443";
  bench.peer.on_connect = [](const Endpoint& to) {
    CHECK_TEXT(to.host, "recorder.local");
    return TlsResult::ok;
  };
  bench.boot();
  reach_stream(bench);
  CHECK_NUMBER(bench.discovery.asked, 0);
}

TEST(machine, answers_a_ping_whole) {
  Bench bench;
  bench.boot();
  reach_stream(bench);
  const std::string payload("\x00\x01 with\x00NULs", 12);
  bench.peer.say_raw(std::string("\x89\x0c", 2) + payload);
  bench.run_for(200);
  bool is_answered = false;
  for (const auto& message : bench.peer.messages)
    is_answered |= message.first == 10 && message.second == payload;
  CHECK(is_answered);
}

TEST(machine, spares_the_flash) {
  Bench bench;
  bench.storage.entries["mode"] = "motion";
  bench.boot();
  bench.run_for(40000);
  const int saves = bench.storage.saves;
  for (int wake = 0; wake < 5; ++wake) {
    bench.boot(BootReason::motion);
    bench.run_for(40000);
  }
  CHECK_NUMBER(bench.board.slept, 6);
  CHECK_NUMBER(bench.storage.saves, saves);
}

TEST(machine, follows_a_frame_rate_without_writing_it_to_the_flash) {
  Bench bench;
  bench.boot();
  reach_stream(bench);
  bench.run_for(1000);
  const int saves = bench.storage.saves;
  for (int rate = 1; rate <= 25; ++rate) {
    bench.peer.say("{\"type\":\"config_update\",\"config\":{\"framerate\":" +
                   std::to_string(rate) + "}}");
    bench.run_for(100);
    CHECK_NUMBER(bench.machine->settings().picture.framerate, rate);
  }
  CHECK_NUMBER(bench.storage.saves, saves);
  const auto say_quality = [&bench](int quality, int rate) {
    bench.peer.say("{\"type\":\"config_update\",\"config\":{\"quality\":" +
                   std::to_string(quality) + ",\"framerate\":" + std::to_string(rate) + "}}");
    bench.run_for(100);
  };
  say_quality(20, 5);
  CHECK_NUMBER(bench.storage.saves, saves + 1);
  say_quality(20, 15);
  CHECK_NUMBER(bench.storage.saves, saves + 1);
  CHECK_NUMBER(bench.machine->settings().picture.framerate, 15);
  bench.boot(BootReason::motion);
  reach_stream(bench);
  CHECK_NUMBER(bench.machine->settings().picture.quality, 20);
  CHECK_NUMBER(bench.machine->settings().picture.framerate, PictureSettings().framerate);
}

TEST(machine, saves_a_picture_setting_again_that_a_full_flash_did_not_take) {
  Bench bench;
  bench.boot();
  reach_stream(bench);
  bench.storage.is_full = true;
  bench.peer.say("{\"type\":\"config_update\",\"config\":{\"quality\":20}}");
  bench.run_for(100);
  bench.storage.is_full = false;
  bench.peer.say("{\"type\":\"config_update\",\"config\":{\"framerate\":3}}");
  bench.run_for(100);
  bench.boot();
  reach_stream(bench);
  CHECK_NUMBER(bench.machine->settings().picture.quality, 20);
}

TEST(machine, takes_the_time_of_a_recorder_that_proved_itself) {
  Bench bench;
  bench.boot();
  reach_stream(bench);
  bench.peer.say("{\"type\":\"welcome\",\"timestamp\":\"2026-11-20T13:02:03.456Z\"}");
  bench.run_for(100);
  CHECK_NUMBER(bench.clock.wall, 1795179723);
  bench.peer.say("{\"type\":\"welcome\",\"timestamp\":\"2030-01-01T00:00:00Z\"}");
  bench.run_for(100);
  CHECK_NUMBER(bench.clock.wall, 1795179723);
}

TEST(machine, allows_no_way_out_of_sleep_and_none_round_the_certificate) {
  for (int to = 0; to <= static_cast<int>(State::reboot); ++to) {
    CHECK(!is_allowed(State::sleep, static_cast<State>(to)));
    CHECK(!is_allowed(State::reboot, static_cast<State>(to)));
  }
  CHECK(!is_allowed(State::wifi, State::stream));
  CHECK(!is_allowed(State::enrol, State::stream));
  CHECK(is_allowed(State::connect, State::stream));
}

TEST(machine, feeds_the_watchdog_once_a_step) {
  Bench bench;
  Machine& machine = bench.boot();
  for (int i = 0; i < 50; ++i) machine.step();
  CHECK_NUMBER(bench.board.fed, 50);
}
