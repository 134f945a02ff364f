#include "../../../firmware/esp32cam/core/hardware.h"
#include "../../../firmware/esp32cam/core/json.h"
#include "../../../firmware/esp32cam/core/messages.h"
#include "check.h"

using namespace roost;

namespace {

bool parses(const std::string& text) {
  // A copy of exactly that size: the sanitizer then sees a read behind it.
  const std::vector<char> exact(text.begin(), text.end());
  Json json;
  return Json::parse(exact.data(), exact.size(), &json);
}

Instruction read(const std::string& text, PictureSettings* settings) {
  const std::vector<char> exact(text.begin(), text.end());
  return read_message(exact.data(), exact.size(), settings);
}

Order order_of(const std::string& text) {
  PictureSettings settings;
  return read(text, &settings).order;
}

bool registers(const std::string& body, std::string* key, PictureSettings* settings) {
  char read[kMaxKeyBytes + 1] = "";
  const bool is_good = read_registration(body.data(), body.size(), read, settings);
  *key = read;
  return is_good;
}

}  // namespace

TEST(json, takes_what_rfc_8259_allows) {
  for (const char* text : {"{}", " [1, 2.5e-3, -0, \"\\u00e9\\ud83d\\ude00\", null, true, false] ",
                           "{\"a\": {\"b\": []}}", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "0"}) {
    CHECK(parses(text));
  }
}

TEST(json, refuses_everything_else) {
  for (const char* text : {"",
                           " ",
                           "{",
                           "}",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\":1,}",
                           "[1,]",
                           "[1 2]",
                           "01",
                           "1.",
                           "-",
                           "+1",
                           "tru",
                           "nul",
                           "\"a",
                           "\"\\x\"",
                           "\"\\u12g4\"",
                           "\"\\ud800\"",
                           "\"\\ud800\\u0041\"",
                           "\"\x01\"",
                           "\"\xff\"",
                           "\"\xc0\x80\"",
                           "{} {}",
                           "{a:1}",
                           "'a'",
                           "NaN",
                           "[",
                           "1e",
                           "\"\\",
                           "\"\\u"}) {
    if (parses(text)) fail(__FILE__, __LINE__, std::string("it took ") + text);
  }
}

TEST(json, reads_every_cut_of_a_message_without_reading_behind_it) {
  const std::string whole =
      "{\"type\":\"config_update\",\"config\":{\"resolution\":\"VGA\",\"quality\":-12.5e3,\"x\":["
      "true,\"\\u00e9\"]}}";
  CHECK(parses(whole));
  for (size_t size = 0; size < whole.size(); ++size) CHECK(!parses(whole.substr(0, size)));
}

TEST(json, bounds_its_recursion) {
  CHECK(parses(std::string(8, '[') + std::string(8, ']')));
  CHECK(!parses(std::string(10, '[') + std::string(10, ']')));
  CHECK(!parses(std::string(100000, '[')));
}

TEST(json, survives_any_byte_in_any_place) {
  const std::string whole =
      "{\"type\":\"command\",\"action\":\"\\u0073leep\",\"n\":[1,{\"a\":null}]}";
  PictureSettings settings;
  for (size_t at = 0; at < whole.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string broken = whole;
      broken[at] = static_cast<char>(byte);
      read(broken, &settings);
    }
  }
}

TEST(json, finds_members_by_their_decoded_name) {
  CHECK(order_of("{\"\\u0074ype\":\"\\u0063ommand\",\"action\":\"reboot\"}") == Order::reboot);
}

TEST(json, writes_text_that_is_json_whatever_the_text_is) {
  char into[200];
  const size_t size = write_error("\"\\\n\xff \xc3\xa9", into, sizeof into);
  CHECK_TEXT(std::string(into, size),
             "{\"type\":\"error\",\"message\":\"\\\"\\\\\\u000a\\ufffd \xc3\xa9\"}");
  CHECK(parses(into));
  CHECK_NUMBER(write_error("does not fit", into, 20), 0);
}

TEST(json, writes_a_heartbeat_with_what_is_known) {
  char into[400];
  Vitals vitals = {5000, 120000, 3, -61, Board::kUnknown, 3712, "motion", 7, "1.2.0", "host", ""};
  size_t size = write_heartbeat(vitals, into, sizeof into);
  CHECK_TEXT(
      std::string(into, size),
      "{\"type\":\"heartbeat\",\"uptime\":5000,\"free_heap\":120000,\"boot_count\":3,\"rssi\":-61,"
      "\"reset_reason\":\"motion\",\"drops\":7,\"battery_mv\":3712,\"firmware\":\"1.2.0\","
      "\"board\":\"host\"}");
  const std::string longest(32, '9');
  vitals = {UINT64_MAX / 4,     UINT32_MAX, UINT32_MAX,        -1000000,
            -999,               99999,      "power_on",        UINT32_MAX,
            longest.c_str(), longest.c_str(), "0123456789abcdef"};
  size = write_heartbeat(vitals, into, sizeof into);
  CHECK(size > 0 && parses(into));
}

TEST(json, reads_the_messages_of_the_recorder) {
  CHECK(order_of("{\"type\":\"recording_started\",\"timestamp\":\"x\"}") == Order::none);
  CHECK(order_of("{\"type\":\"something new\"}") == Order::none);
  CHECK(order_of("{\"type\":\"command\",\"action\":\"start_streaming\"}") ==
        Order::start_streaming);
  CHECK(order_of("{\"type\":\"command\",\"action\":\"stop_streaming\"}") == Order::stop_streaming);
  CHECK(order_of("{\"type\":\"command\",\"action\":\"sleep\"}") == Order::sleep);
  CHECK(order_of("{\"type\":\"command\",\"action\":\"dance\"}") == Order::none);
  for (const char* text :
       {"{}", "[]", "1", "{\"type\":\"command\"}", "{\"type\":\"command\",\"action\":null}",
        "{\"action\":\"reboot\"}", "{\"type\":\"config_update\"}", "not JSON"}) {
    CHECK(order_of(text) == Order::malformed);
  }
  PictureSettings settings;
  const Instruction welcome =
      read("{\"type\":\"welcome\",\"timestamp\":\"2026-11-20T13:02:03.456Z\"}", &settings);
  CHECK(welcome.order == Order::welcome);
  CHECK_NUMBER(welcome.wall_s, 1795179723);
}

TEST(json, applies_every_good_value_of_a_configuration_and_counts_the_others) {
  PictureSettings settings;
  const Instruction all = read(
      "{\"type\":\"config_update\",\"config\":{\"resolution\":\"UXGA\",\"framerate\":25,"
      "\"quality\":63,"
      "\"brightness\":-2,\"contrast\":2,\"saturation\":1}}",
      &settings);
  CHECK(all.order == Order::configure);
  CHECK_NUMBER(all.refused, 0);
  CHECK(settings.size == FrameSize::UXGA);
  CHECK_NUMBER(settings.framerate, 25);
  CHECK_NUMBER(settings.quality, 63);
  CHECK_NUMBER(settings.brightness, -2);
  CHECK_NUMBER(settings.contrast, 2);
  CHECK_NUMBER(settings.saturation, 1);
  const Instruction bad = read(
      "{\"type\":\"config_update\",\"config\":{\"resolution\":\"8K\",\"framerate\":0,\"quality\":3,"
      "\"brightness\":3,\"contrast\":\"2\",\"saturation\":1.5}}",
      &settings);
  CHECK_NUMBER(bad.refused, 6);
  CHECK_NUMBER(settings.framerate, 25);
  for (size_t i = 0; i < kFrameSizes; ++i) {
    const FrameSizeFacts& facts = facts_of(static_cast<FrameSize>(i));
    read(std::string("{\"type\":\"config_update\",\"config\":{\"resolution\":\"") + facts.name +
             "\"}}",
         &settings);
    CHECK(settings.size == facts.size);
  }
}

TEST(json, reads_a_registration_and_refuses_a_bad_one) {
  PictureSettings settings;
  std::string key;
  CHECK(registers("{\"success\":true,\"apiKey\":\"" + std::string(64, 'a') +
                      "\",\"config\":{\"resolution\":\"VGA\",\"framerate\":5,\"quality\":10}}",
                  &key, &settings));
  CHECK_TEXT(key, std::string(64, 'a'));
  CHECK(settings.size == FrameSize::VGA);
  for (const std::string& body :
       {std::string("{\"success\":\"true\",\"apiKey\":\"a\"}"),
        std::string("{\"success\":false,\"apiKey\":\"a\"}"), std::string("{\"apiKey\":\"a\"}"),
        std::string("{\"success\":true}"), std::string("{\"success\":true,\"apiKey\":\"\"}"),
        std::string("{\"success\":true,\"apiKey\":7}"),
        std::string("{\"success\":true,\"apiKey\":\"a\\r\\nX: y\"}"),
        std::string("{\"success\":true,\"apiKey\":\"a b\"}"),
        std::string("{\"success\":true,\"apiKey\":\"a\\u0000b\"}"),
        "{\"success\":true,\"apiKey\":\"" + std::string(65, 'a') + "\"}", std::string("")}) {
    CHECK(!registers(body, &key, &settings));
  }
}

TEST(json, knows_the_days_of_the_calendar) {
  CHECK_NUMBER(parse_utc("2024-02-29T00:00:00Z"), 1709164800);
  CHECK_NUMBER(parse_utc("2024-03-01T00:00:00.000Z"), 1709251200);
  CHECK_NUMBER(parse_utc("2026-01-01T00:00:00Z"), 1767225600);
  for (const char* text :
       {"", "2026", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "1970-01-01T00:00:00Z"}) {
    CHECK_NUMBER(parse_utc(text), 0);
  }
}
