#include <algorithm>

#include "../../../firmware/esp32cam/core/sha256.h"
#include "../../../firmware/esp32cam/core/update_image.h"
#include "../../../firmware/esp32cam/core/update_key.h"
#include "../../../firmware/esp32cam/core/version.h"
#include "check.h"
#include "scripted.h"

using namespace scripted;

namespace {

constexpr char kNewer[] = "99.0.1";

std::string padded(std::string text, size_t size) { return text.resize(size, '\0'), text; }

std::string digest_of(const std::string& text) {
  uint8_t digest[Sha256::kBytes];
  Sha256::of(text.data(), text.size(), digest);
  return std::string(reinterpret_cast<const char*>(digest), sizeof digest);
}

std::string hex_of(const std::string& text) {
  std::string hex;
  for (const char c : text) {
    char digits[3];
    snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(c));
    hex += digits;
  }
  return hex;
}

// Signed as the scripted Crypto wants it: by its digest.
std::string image_file(const std::string& image, const std::string& version = kNewer,
                       const std::string& board = "scripted", const std::string& hash = "") {
  std::string head = "ROOSTFW1" + padded(board, 32) + padded(version, 32);
  for (int i = 0; i < 4; ++i) head += static_cast<char>(image.size() >> (8 * i));
  head += hash.empty() ? digest_of(image) : hash;
  return head + std::string("\x20\x00", 2) + padded(digest_of(head), 72) + image;
}

std::string reply_with(const std::string& body, size_t length = SIZE_MAX) {
  return "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: " +
         std::to_string(length == SIZE_MAX ? body.size() : length) + "\r\n\r\n" + body;
}

// A camera with an update key, and a recorder with that file.
struct Updating : Bench {
  Updating() {
    uint8_t key[kUpdateKeyBytes];
    CHECK(parse_update_key(update_key_pem().c_str(), key));
    storage.entries["update_key"] = std::string(reinterpret_cast<char*>(key), sizeof key);
    set_file(image_file(std::string(5000, 'i')));
    boot();
    run_until([&] { return peer.count(2, "picture") > 0; });
  }

  void set_file(const std::string& file) {
    size = file.size();
    peer.download = reply_with(file);
  }

  void announce(const std::string& version = kNewer) {
    peer.say("{\"type\":\"command\",\"command\":\"update\",\"version\":\"" + version +
             "\",\"size\":" + std::to_string(size) + ",\"path\":\"/f/1/\"}");
  }

  // It is told so, goes on with the old program and forgets nothing but the update.
  void check_failure(const std::string& words, const std::string& version = kNewer) {
    announce(version);
    run_until([&] { return peer.count(1, "\"state\":\"failed\"") > 0; });
    if (peer.count(1, "\"version\":\"" + version + "\",\"detail\":\"" + words) != 1) {
      fail(__FILE__, __LINE__, peer.messages.back().second + " has not the words " + words);
    }
    CHECK(!slots.is_active && !slots.is_open);
    CHECK(storage.entries.count("trial") == 0);
    const int pictures = peer.count(2, "picture");
    run_until([&] { return peer.count(2, "picture") > pictures; });
    CHECK_NUMBER(board.rebooted, 0);
  }

  void install() {
    announce();
    run_until([&] { return machine->state() == State::reboot; });
  }

  size_t size = 0;
};

}  // namespace

TEST(update, computes_sha256_as_its_standard_does) {
  CHECK_TEXT(hex_of(digest_of("")),
             "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK_TEXT(hex_of(digest_of("abc")),
             "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK_TEXT(hex_of(digest_of(std::string(1000000, 'a'))),
             "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  for (size_t size = 0; size < 200; ++size) {
    const std::string text(size, 'x');
    Sha256 pieces;
    for (size_t at = 0; at < size; at += 7)
      pieces.add(text.data() + at, std::min<size_t>(7, size - at));
    uint8_t digest[Sha256::kBytes];
    pieces.finish(digest);
    CHECK_TEXT(std::string(reinterpret_cast<char*>(digest), sizeof digest), digest_of(text));
  }
}

TEST(update, compares_versions_by_their_numbers) {
  CHECK(is_newer("1.10.0", "1.9.9"));
  CHECK(is_newer("2.0.0", "1.999999.999999"));
  CHECK(is_newer("1.0.1", "1.0.0"));
  CHECK(!is_newer("1.0.0", "1.0.0"));
  CHECK(!is_newer("0.9.9", "1.0.0"));
  for (const char* bad : {"", "1", "1.2", "1.2.3.4", "1.2.x", "1..3", "01.2.3", "1.2.3 ", "-1.2.3",
                          "1.2.3-rc1", "1000000.0.0", "99999999999999999999.0.0", "."}) {
    CHECK(!is_newer(bad, "0.0.0") && !is_newer("9.9.9", bad));
  }
  CHECK(is_newer(own_version(), "0.0.0"));
}

TEST(update, reads_no_head_that_is_cut_bent_or_hides_something) {
  const std::string good = image_file("image").substr(0, kImageHeadBytes);
  const auto reads = [](const std::string& text) {
    const std::vector<uint8_t> exact(text.begin(), text.end());
    ImageHead head;
    return read_image_head(exact.data(), &head);
  };
  CHECK(reads(good));
  const struct {
    size_t at;
    char byte;
  } bent[] = {{0, 'X'}, {7, '2'}, {8, '\0'}, {30, 'x'}, {40, 'v'}, {60, '1'}, {108, '\0'},
              {108, 73}, {109, 1}, {181, 1}};
  for (const auto& one : bent) {
    std::string bad = good;
    bad[one.at] = one.byte;
    if (reads(bad)) fail(__FILE__, __LINE__, "byte " + std::to_string(one.at));
  }
  for (size_t at = 0; at < good.size(); ++at) {
    std::string any = good;
    for (int byte = 0; byte < 256; ++byte) any[at] = static_cast<char>(byte), reads(any);
  }
}

TEST(update, takes_the_key_as_pem_or_base64url_and_nothing_else) {
  uint8_t key[kUpdateKeyBytes], same[kUpdateKeyBytes];
  CHECK(parse_update_key(update_key_pem().c_str(), key));
  std::string url;
  for (const char c : update_key_pem().substr(27, 125)) {
    if (c != '\n') url += c == '+' ? '-' : c == '/' ? '_' : c;
  }
  url.resize(url.find('='));
  CHECK(parse_update_key(url.c_str(), same) && memcmp(key, same, sizeof key) == 0);
  char fingerprint[17];
  write_fingerprint(key, fingerprint);
  CHECK_TEXT(fingerprint, "5cd252fb0ce89324");
  for (const std::string& bad : {std::string(), url + "AAAA", url.substr(4), "!" + url,
                                 std::string(5000, 'A'), pem_of(900),
                                 update_key_pem().substr(0, 100), "B" + url.substr(1)}) {
    CHECK(!parse_update_key(bad.c_str(), same));
  }
}

TEST(update, understands_the_announcement_and_stays_within_its_bounds) {
  const std::string good =
      "{\"type\":\"command\",\"command\":\"update\",\"version\":\"1.3.0\",\"size\":1234,"
      "\"path\":\"/api/v1/firmware/download/7/\"}";
  PictureSettings settings;
  const auto read = [&](const std::string& text) {
    const std::vector<char> exact(text.begin(), text.end());
    return read_message(exact.data(), exact.size(), &settings);
  };
  const Instruction told = read(good);
  CHECK(told.order == Order::update);
  CHECK_TEXT(told.update.version, "1.3.0");
  CHECK_TEXT(told.update.path, "/api/v1/firmware/download/7/");
  CHECK_NUMBER(told.update.size, 1234);
  for (size_t size = 0; size < good.size(); ++size)
    CHECK(read(good.substr(0, size)).order == Order::malformed);
  for (size_t at = 0; at < good.size(); ++at) {
    std::string any = good;
    for (int byte = 0; byte < 256; ++byte) any[at] = static_cast<char>(byte), read(any);
  }
  const auto with = [&](const std::string& old, const std::string& value) {
    std::string text = good;
    return text.replace(text.find(old), old.size(), value);
  };
  for (const std::string& bad :
       {with("1234", "-1"), with("1234", "4294967296"), with("1234", "1e3"), with("1234", "\"1\""),
        with("\"1.3.0\"", "3"), with("1.3.0", std::string(33, '1')), with("1.3.0", "1 3"),
        with("/api", "api"), with("/api", "/a pi"), with("/api", "/a\\r\\nX-Other: 1"),
        with("/api", "/\xc3\xa9"), with("/api", "/" + std::string(100, 'a')),
        with("\"size\"", "\"sise\"")}) {
    if (read(bad).order != Order::malformed) fail(__FILE__, __LINE__, bad);
  }
  CHECK(read("{\"type\":\"command\",\"command\":\"reboot\"}").order == Order::reboot);
}

TEST(update, installs_what_its_key_signed_and_starts_it) {
  Updating camera;
  camera.install();
  CHECK_TEXT(camera.slots.image, std::string(5000, 'i'));
  CHECK(camera.slots.is_active);
  CHECK_NUMBER(camera.board.rebooted, 1);
  CHECK_TEXT(camera.storage.entries["trial"], std::string("i") + kNewer + " " + own_version());
  const std::string& request = camera.peer.requests[2];
  CHECK(request.find("GET /f/1/ HTTP/1.1\r\nHost: 10.0.0.2:3443\r\n") == 0);
  CHECK(request.find("X-API-Key: key-one") != std::string::npos);
  CHECK_NUMBER(camera.peer.count(1, "{\"type\":\"update\",\"state\":\"downloading\",\"version\":"
                                    "\"99.0.1\",\"detail\":\""), 1);
  CHECK_NUMBER(camera.peer.count(1, "\"state\":\"installed\""), 1);
  CHECK_NUMBER(camera.peer.count(1, "\"state\":\"failed\""), 0);
}

TEST(update, says_why_it_does_not_even_begin) {
  for (const char* version : {own_version(), "0.0.1", "latest"}) {
    Updating camera;
    camera.check_failure("it is not newer than what runs", version);
  }
  {
    Updating camera;
    camera.size = kImageHeadBytes;
    camera.check_failure("it is too short for an image");
  }
  {
    Updating camera;
    camera.slots.room = 4999;
    camera.check_failure("it does not fit the slot");
    CHECK_NUMBER(camera.slots.begun, 0);
    CHECK_NUMBER(camera.peer.connects, 2);
  }
  Updating camera;
  camera.console.typed = "update-key none\n";
  camera.run_until([&] { return camera.peer.connects == 3; });
  camera.run_for(1000);
  camera.check_failure("this camera has no update key");
}

TEST(update, writes_nothing_of_an_image_whose_head_is_not_for_it) {
  const std::string body(5000, 'i');
  const std::string good = image_file(body);
  std::string unsigned_file = good, bent = good, no_image = good;
  unsigned_file[120] ^= 1;
  bent[77] ^= 1;
  no_image[0] = 'X';
  const std::string longer = image_file(body + "x").substr(0, good.size());
  const struct {
    std::string file, words;
  } cases[] = {
      {unsigned_file, "its signature is not by this camera's update key"},
      {bent, "its signature is not by this camera's update key"},
      {no_image, "it is no image of this firmware"},
      {image_file(body, kNewer, "other"), "it is for another board"},
      {image_file(body, "99.0.2"), "it is another version than announced"},
      {longer, "its size is not what it says"},
  };
  for (const auto& one : cases) {
    Updating camera;
    camera.set_file(one.file);
    camera.check_failure(one.words);
    CHECK_NUMBER(camera.slots.begun, 0);
  }
}

TEST(update, leaves_the_running_program_alone_when_the_download_goes_wrong) {
  const std::string good = image_file(std::string(5000, 'i'));
  const struct {
    std::string reply, words;
  } cases[] = {
      {reply_with(good.substr(0, 3000), good.size()), "the download was cut"},
      {reply_with(good.substr(0, 100), good.size()), "the download was cut"},
      {reply_with(good + "x"), "the download's head makes no sense or has another length"},
      {reply_with("x"), "the download's head makes no sense or has another length"},
      {reply_with("", 10485760), "the download's head makes no sense or has another length"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
       "the download's head makes no sense or has another length"},
      {"HTTP/1.1 200 OK\r\n\r\n" + good, "the download's head makes no sense or has another"},
      {"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno", "the recorder refuses the download"},
      {"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", "the recorder refuses the download"},
      {"", "the download's head makes no sense or has another length"},
  };
  for (const auto& one : cases) {
    Updating camera;
    camera.peer.download = one.reply;
    camera.peer.hangs_up = true;
    camera.check_failure(one.words);
  }
}

TEST(update, gives_up_on_a_download_that_stands_still_or_crawls) {
  const std::string good = image_file(std::string(5000, 'i'));
  {
    Updating camera;
    camera.peer.download = reply_with(good.substr(0, 1000), good.size());
    camera.check_failure("the download stands still");
  }
  Updating camera;
  const std::string begin = reply_with(good.substr(0, 1), good.size());
  camera.peer.download = begin;
  camera.announce();
  camera.run_until([&] { return camera.machine->state() == State::update; });
  const uint64_t began_ms = camera.clock.time_ms;
  for (size_t at = 1; camera.machine->state() == State::update; ++at) {
    camera.run_for(5000);
    camera.peer.say_raw(good.substr(at, 1));
    CHECK(at < 100);
  }
  CHECK(camera.clock.time_ms - began_ms < 320000);
  camera.run_until([&] { return camera.peer.count(1, "the download takes too long") == 1; });
}

TEST(update, survives_a_slot_that_fails_and_a_full_flash) {
  {
    Updating camera;
    camera.slots.bears = 3000;
    camera.check_failure("the slot is full or worn out");
    CHECK_NUMBER(camera.slots.aborted, 1);
  }
  {
    Updating camera;
    camera.slots.takes_it = false;
    camera.check_failure("the slot does not take it for a program");
  }
  {
    Updating camera;
    camera.storage.is_full = true;
    camera.check_failure("the flash is full");
  }
  Updating camera;
  const std::string body(5000, 'i');
  camera.set_file(image_file(body, kNewer, "scripted", std::string(32, 'h')));
  camera.check_failure("it came damaged");
}

TEST(update, feeds_the_watchdog_and_listens_to_the_serial_line_while_it_downloads) {
  Updating camera;
  const std::string good = image_file(std::string(300000, 'i'));
  camera.slots.room = good.size();
  camera.set_file(good);
  camera.announce();
  camera.run_until([&] { return camera.slots.begun == 1; });
  const int fed = camera.board.fed;
  camera.run_until([&] { return camera.slots.image.size() > 200000; });
  CHECK(camera.board.fed - fed > 20);
  camera.console.typed = "mode motion\n";
  camera.run_until([&] { return camera.machine->state() == State::stream; });
  CHECK_NUMBER(camera.slots.aborted, 1);
  CHECK(!camera.slots.is_active);
}
