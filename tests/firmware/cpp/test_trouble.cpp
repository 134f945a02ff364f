#include "check.h"
#include "scripted.h"

using namespace scripted;

namespace {

Endpoint at(const char* host, uint16_t port = 3443) {
  Endpoint endpoint;
  copy_text(endpoint.host, sizeof endpoint.host, host);
  endpoint.port = port;
  return endpoint;
}

void reach_stream(Bench& bench) {
  bench.run_until([&] { return bench.machine->state() == State::stream; });
}

}  // namespace

TEST(trouble, comes_back_by_itself_with_growing_pauses) {
  Bench bench;
  bench.boot();
  reach_stream(bench);
  bench.run_for(15000);
  bench.peer.on_connect = [](const Endpoint&) { return TlsResult::unreachable; };
  bench.peer.is_cut = true;
  const int before = bench.peer.connects;
  bench.run_for(600000);
  const int tries = bench.peer.connects - before;
  CHECK(tries >= 12 && tries <= 60);
  bench.peer.on_connect = nullptr;
  bench.run_until([&] { return bench.machine->state() == State::stream; }, 90000);
  CHECK_NUMBER(bench.machine->enrolments(), 1);
}

TEST(trouble, registers_again_when_its_key_is_refused_and_never_in_a_loop) {
  Bench bench;
  bench.storage.entries["key"] = "revoked";
  bench.peer.registration = registration_reply("key-two");
  bench.peer.upgrade_status = 401;
  bench.boot();
  bench.run_until([&] { return bench.machine->enrolments() == 1; });
  bench.peer.upgrade_status = 101;
  reach_stream(bench);
  CHECK_TEXT(bench.storage.entries["key"], "key-two");
  bench.peer.upgrade_status = 401;
  bench.peer.is_cut = true;
  bench.run_for(600000);
  CHECK(bench.machine->enrolments() >= 8 && bench.machine->enrolments() <= 60);
}

TEST(trouble, keeps_a_key_that_waits_for_approval) {
  Bench bench;
  bench.peer.upgrade_status = 403;
  bench.boot();
  bench.run_for(100000);
  CHECK_NUMBER(bench.machine->enrolments(), 1);
  CHECK(bench.peer.connects <= 12);
  bench.peer.upgrade_status = 101;
  reach_stream(bench);
  CHECK_NUMBER(bench.machine->enrolments(), 1);
  CHECK_TEXT(bench.storage.entries["key"], "key-one");
}

TEST(trouble, takes_another_key_after_ten_refusals_in_case_that_one_was_approved_instead) {
  Bench bench;
  bench.peer.upgrade_status = 403;
  bench.boot();
  bench.run_for(1000000);
  CHECK(bench.machine->enrolments() >= 2 && bench.machine->enrolments() <= 5);
}

TEST(trouble, waits_long_when_registration_is_refused_or_makes_no_sense) {
  for (const char* reply : {"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
                            "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "nonsense\r\n"}) {
    Bench bench;
    bench.peer.registration = reply;
    bench.boot();
    bench.run_for(300000);
    CHECK(bench.machine->enrolments() >= 4 && bench.machine->enrolments() <= 25);
    CHECK(bench.storage.entries.count("key") == 0);
  }
}

TEST(trouble, gives_a_recorder_that_lets_it_in_and_hangs_up_growing_pauses) {
  Bench bench;
  bench.peer.first_words = std::string("\x88\x02\x03\xE9", 4);
  bench.boot();
  bench.run_for(300000);
  CHECK(bench.machine->connections() >= 5 && bench.machine->connections() <= 15);
}

TEST(trouble, tries_every_answer_of_mdns_and_trusts_the_certificate_alone) {
  Bench bench;
  bench.discovery.answers = {at("10.0.0.66"), at("10.0.0.67"), at("10.0.0.2")};
  bench.peer.on_connect = [](const Endpoint& to) {
    return strcmp(to.host, "10.0.0.2") == 0 ? TlsResult::ok : TlsResult::untrusted;
  };
  bench.boot();
  reach_stream(bench);
  CHECK_TEXT(bench.storage.entries["last_seen"], "10.0.0.2:3443");
  CHECK_NUMBER(bench.discovery.asked, 1);
}

TEST(trouble, asks_again_where_the_recorder_is_when_it_moved) {
  Bench bench;
  bench.storage.entries["last_seen"] = "10.0.0.9:3443";
  bench.storage.entries["key"] = "key-one";
  bench.peer.on_connect = [](const Endpoint& to) {
    return strcmp(to.host, "10.0.0.2") == 0 ? TlsResult::ok : TlsResult::unreachable;
  };
  bench.boot();
  reach_stream(bench);
  CHECK_NUMBER(bench.peer.connects, 2);
  CHECK_TEXT(bench.storage.entries["last_seen"], "10.0.0.2:3443");
}

TEST(trouble, sleeps_when_there_is_no_recorder_and_tries_shorter_each_time) {
  Bench bench;
  bench.storage.entries["mode"] = "motion";
  bench.discovery.answers.clear();
  uint64_t last_ms = 0;
  for (int wake = 1; wake <= 4; ++wake) {
    bench.boot(BootReason::motion);
    while (bench.machine->step()) CHECK(bench.clock.time_ms < 120000);
    CHECK_NUMBER(bench.board.slept, wake);
    last_ms = bench.clock.time_ms;
    if (wake == 1) CHECK(last_ms >= 60000);
  }
  CHECK(last_ms < 40000);
}

TEST(trouble, survives_messages_that_make_no_sense_and_leaves_a_peer_that_breaks_the_protocol) {
  Bench bench;
  bench.boot();
  reach_stream(bench);
  for (const char* text : {"{}", "not JSON", "{\"type\":\"command\"}", "\xff\xfe"})
    bench.peer.say(text);
  bench.run_for(1000);
  CHECK_NUMBER(bench.machine->tally().unread, 4);
  CHECK(bench.machine->state() == State::stream);
  bench.peer.say_raw("\x83\x01x");
  bench.run_until([&] { return bench.machine->state() == State::pause; });
  CHECK_NUMBER(bench.peer.count(8, std::string("\x03\xea", 2)), 1);
}

TEST(trouble, notices_a_network_that_swallows_everything) {
  Bench bench;
  bench.boot();
  reach_stream(bench);
  bench.run_for(1000);
  bench.peer.is_deaf = true;
  bench.run_until([&] { return bench.machine->state() == State::pause; }, 12000);
  CHECK_NUMBER(bench.machine->tally().unsent, 1);
  CHECK_NUMBER(bench.camera.held, 0);
}

TEST(trouble, notices_a_recorder_that_fell_silent) {
  Bench bench;
  bench.boot();
  reach_stream(bench);
  bench.run_for(60000);
  CHECK(bench.machine->state() == State::stream);
  CHECK(bench.peer.count(9, "roost") >= 3);
  bench.peer.messages.clear();
  bench.peer.is_silent = true;
  bench.run_until([&] { return bench.peer.count(9, "roost") == 1; }, 16000);
  bench.run_until([&] { return bench.machine->state() == State::pause; }, 11000);
}

TEST(trouble, drops_broken_pictures_and_starts_a_blind_camera_again) {
  Bench bench;
  bench.boot();
  reach_stream(bench);
  bench.run_for(1000);
  bench.camera.is_broken = true;
  const int sent = bench.peer.count(2, "picture");
  bench.run_for(15000);
  CHECK_NUMBER(bench.peer.count(2, "picture"), sent);
  CHECK(bench.machine->tally().failed > 100);
  CHECK_NUMBER(bench.camera.begun, 2);
  CHECK_NUMBER(bench.peer.count(1, "no picture"), 1);
  for (int i = 0; i < 8 && bench.board.rebooted == 0; ++i) bench.run_for(10000);
  CHECK_NUMBER(bench.board.rebooted, 1);
}

TEST(trouble, comes_back_when_the_wifi_does_and_reboots_a_stuck_radio) {
  Bench bench;
  bench.boot();
  reach_stream(bench);
  bench.run_for(12000);
  bench.wifi.is_there = false;
  bench.peer.is_cut = true;
  bench.run_for(120000);
  CHECK_NUMBER(bench.board.rebooted, 0);
  bench.wifi.is_there = true;
  reach_stream(bench);
  bench.wifi.is_there = false;
  bench.peer.is_cut = true;
  bench.run_for(700000);
  CHECK_NUMBER(bench.board.rebooted, 1);
}

TEST(trouble, works_with_a_full_flash) {
  Bench bench;
  bench.storage.is_full = true;
  bench.boot();
  bench.run_until([&] { return bench.peer.count(2, "picture") > 3; });
  bench.peer.say("{\"type\":\"config_update\",\"config\":{\"resolution\":\"VGA\"}}");
  bench.run_for(1000);
  CHECK(bench.camera.settings.size == FrameSize::VGA);
}
