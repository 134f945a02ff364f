#include <cctype>

#include "../../../firmware/esp32cam/core/portal_dns.h"
#include "../../../firmware/esp32cam/core/portal_form.h"
#include "../../../firmware/esp32cam/core/portal_page.h"
#include "../../../firmware/esp32cam/core/portal_request.h"
#include "check.h"
#include "scripted.h"

using namespace scripted;
using Client = scripted::AccessPoint::Client;

namespace {

std::string encoded(const std::string& text) {
  std::string into;
  for (const char c : text) {
    if (isalnum(static_cast<unsigned char>(c)) != 0) {
      into += c;
      continue;
    }
    char digits[4];
    snprintf(digits, sizeof digits, "%%%02X", static_cast<unsigned char>(c));
    into += digits;
  }
  return into;
}

std::string post(const std::string& body) {
  return "POST / HTTP/1.1\r\nHost: 192.168.4.1\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

const std::string kGet = "GET / HTTP/1.1\r\nHost: 192.168.4.1\r\n\r\n";

// A camera out of its box.
struct Unboxed : Bench {
  Unboxed() {
    storage.entries.clear();
    boot();
    run_for(100);
  }
  std::shared_ptr<Client> connect(const std::string& sends = "") {
    access_point.waiting.push_back(std::make_shared<Client>());
    access_point.waiting.back()->sends = sends;
    return access_point.waiting.back();
  }
  std::string ask(const std::string& request) {
    const auto client = connect(request);
    run_until([&] { return client->is_hung_up; }, 60000);
    return client->got;
  }
  std::string good_form(const std::string& more = "") {
    return "ssid=home&password=password1&ca=" + encoded(pem_of(900)) + more;
  }
};

std::string question(const std::string& name, char type) {
  return std::string("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12) + name +
         std::string("\0\0", 2) + type + std::string("\0\x01", 2);
}

std::string answer_to(const std::string& text) {
  const std::vector<uint8_t> exact(text.begin(), text.end());
  const uint8_t address[] = {192, 168, 4, 1};
  uint8_t into[kMaxDnsBytes];
  const size_t size = answer_dns(exact.data(), exact.size(), address, into);
  return std::string(reinterpret_cast<char*>(into), size);
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST(portal, opens_a_network_that_is_called_after_the_camera) {
  Unboxed camera;
  CHECK(camera.access_point.is_on);
  CHECK_TEXT(camera.access_point.name, "Roost-DDEE0F");
  CHECK(has(camera.console.shown, "http://192.168.4.1/"));
  camera.run_for(3600000);
  CHECK(camera.access_point.is_on);
}

TEST(portal, answers_every_name_with_its_own_address) {
  const std::string name("\x03www\x07" "example\x03org", 16);
  const std::string asked = question(name, 1);
  const std::string answered = answer_to(asked);
  CHECK_NUMBER(answered.size(), asked.size() + 16);
  CHECK(answered.substr(0, 2) == "\x12\x34" && (answered[2] & 0x80) != 0);
  CHECK(answered.substr(answered.size() - 4) == "\xC0\xA8\x04\x01");
  const std::string none = answer_to(question(name, 28));
  CHECK_NUMBER(none.size(), asked.size());
  CHECK_NUMBER(none[7], 0);
  for (size_t size = 0; size < asked.size(); ++size)
    CHECK_TEXT(answer_to(asked.substr(0, size)), "");
  std::string reply = asked, two = asked, pointer = asked;
  reply[2] = static_cast<char>(0x81);
  two[5] = 2;
  pointer[12] = static_cast<char>(0xC0);
  for (const std::string& bad : {reply, two, pointer, question(std::string(300, '\x01'), 1)}) {
    CHECK_TEXT(answer_to(bad), "");
  }
  for (size_t at = 0; at < asked.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string any = asked;
      any[at] = static_cast<char>(byte);
      answer_to(any);
    }
  }
  Unboxed camera;
  camera.access_point.questions.assign(100, asked);
  camera.access_point.questions.push_back(std::string(600, 'x'));
  camera.run_for(1000);
  CHECK_NUMBER(camera.access_point.answers.size(), 100);
}

TEST(portal, shows_its_form_and_sends_every_other_page_there) {
  Unboxed camera;
  const std::string page = camera.ask(kGet);
  CHECK(page.find("HTTP/1.0 200 OK\r\n") == 0);
  for (const char* name : {"ssid", "password", "server", "port", "ca", "update_key", "mode"}) {
    CHECK(has(page, std::string("name=\"") + name + "\""));
  }
  CHECK(page.substr(page.size() - 7) == "</html>");
  for (const char* path : {"/generate_204", "/hotspot-detect.html", "/connecttest.txt", "/x?y=/",
                           "http://captive.apple.com/", "//"}) {
    const std::string sent = camera.ask(std::string("GET ") + path + " HTTP/1.0\n\n");
    CHECK(sent.find("HTTP/1.0 302 Found\r\nLocation: http://192.168.4.1/\r\n") == 0);
  }
}

TEST(portal, shows_networks_as_text_whatever_they_are_called) {
  Unboxed camera;
  camera.access_point.heard = {"home", "<script>alert(1)</script>", "\"><img src=x>", "\xff\xfe",
                               "line\nbreak", "caf\xc3\xa9", "", "a&b'c"};
  const std::string page = camera.ask(kGet);
  CHECK(has(page, "<option value=\"home\">"));
  CHECK(has(page, "<option value=\"&lt;script&gt;alert(1)&lt;/script&gt;\">"));
  CHECK(has(page, "<option value=\"&quot;&gt;&lt;img src=x&gt;\">"));
  CHECK(has(page, "<option value=\"caf\xc3\xa9\">") && has(page, "value=\"a&amp;b&#39;c\""));
  CHECK(!has(page, "\xff") && !has(page, "line\n") && !has(page, "value=\"\">"));
  camera.access_point.heard.assign(100, std::string(32, '\''));
  const std::string full = camera.ask(kGet);
  CHECK(full.substr(full.size() - 7) == "</html>");
}

TEST(portal, saves_a_good_form_and_starts_again) {
  Unboxed camera;
  const std::string key = update_key_pem();
  const std::string saved = camera.ask(post(camera.good_form(
      "&server=10.0.0.9&port=4443&mode=always&update_key=" + encoded(key) + "&unknown=1&&=")));
  CHECK(saved.find("HTTP/1.0 200 OK\r\n") == 0 && has(saved, "Saved"));
  CHECK(!has(saved, "password1"));
  camera.run_until([&] { return camera.machine->state() == State::reboot; });
  CHECK(!camera.access_point.is_on);
  Settings settings(camera.storage);
  settings.load();
  CHECK(settings.is_complete() && settings.has_update_key);
  CHECK_TEXT(settings.ssid, "home");
  CHECK_TEXT(settings.password, "password1");
  CHECK_TEXT(settings.server.host, "10.0.0.9");
  CHECK_NUMBER(settings.server.port, 4443);
  CHECK(settings.mode == Mode::always);
  CHECK_TEXT(settings.trusted_pem, pem_of(900));
  camera.boot(BootReason::software);
  camera.run_until([&] { return camera.peer.count(2, "picture") > 0; });
}

TEST(portal, takes_the_certificate_as_a_qr_code_carries_it) {
  Unboxed camera;
  std::string pem = pem_of(901), url;
  for (const char c : pem.substr(28, pem.size() - 28 - 27)) {
    if (c != '\n' && c != '=') url += c == '+' ? '-' : c == '/' ? '_' : c;
  }
  const std::string saved = camera.ask(post("ssid=home&password=&ca=" + url));
  CHECK(has(saved, "200 OK"));
  Settings settings(camera.storage);
  settings.load();
  CHECK_TEXT(settings.trusted_pem, pem);
  std::string crlf;
  for (const char c : pem) crlf += c == '\n' ? std::string("\r\n") : std::string(1, c);
  Unboxed other;
  CHECK(has(other.ask(post("ssid=home&ca=" + encoded(crlf))), "200 OK"));
  CHECK_TEXT(other.storage.entries["ca1"], pem);
}

TEST(portal, says_of_every_field_what_is_wrong_and_saves_nothing) {
  const std::string pem = encoded(pem_of(900));
  const struct {
    std::string form, words;
  } cases[] = {
      {"", "Network: its name is missing."},
      {"ca=" + pem, "Network: its name is missing."},
      {"ssid=" + std::string(33, 's') + "&ca=" + pem, "at most 32"},
      {"ssid=a&password=short&ca=" + pem, "Password: it has 8 to 63"},
      {"ssid=a&password=" + std::string(65, 'p') + "&ca=" + pem, "Password: it has 8 to 63"},
      {"ssid=a", "Certificate: the recorder&#39;s authority is missing."},
      {"ssid=a&ca=MIIB", "Certificate: this is not one whole certificate."},
      {"ssid=a&ca=" + std::string(5000, 'A'), "Certificate: this is not one whole"},
      {"ssid=a&ca=<script>", "Certificate: this is not one whole"},
      {"ssid=a&ca=" + pem + pem, "Certificate: this is not one whole"},
      {"ssid=a&ca=" + pem + "&server=a/b", "Recorder: an address or a name"},
      {"ssid=a&ca=" + pem + "&server=h&port=0", "Recorder: an address or a name"},
      {"ssid=a&ca=" + pem + "&server=h&port=65536", "Recorder: an address or a name"},
      {"ssid=a&ca=" + pem + "&server=" + std::string(64, 'h'), "Recorder: an address or a name"},
      {"ssid=a&ca=" + pem + "&server=h%0d%0aX:1", "Recorder: an address or a name"},
      {"ssid=a&ca=" + pem + "&update_key=abc", "Update key: this is not a public key"},
      {"ssid=a&ca=" + pem + "&mode=never", "Mode: choose one"},
      {"ssid=a%00b&ca=" + pem, "The form came damaged."},
      {"ssid=a%zz", "The form came damaged."},
      {"ssid=a%4", "The form came damaged."},
  };
  for (const auto& one : cases) {
    Unboxed camera;
    const std::string said = camera.ask(post(one.form));
    if (!has(said, one.words)) fail(__FILE__, __LINE__, one.form + ": " + said);
    CHECK(has(said, one.words == "The form came damaged." ? "HTTP/1.0 400" : "HTTP/1.0 422"));
    CHECK(!has(said, "<script>"));
    CHECK(camera.storage.entries.empty());
    CHECK(camera.machine->state() == State::set_up);
  }
  Unboxed camera;
  camera.crypto.is_blind = true;  // well-formed, and TLS could not read it
  const std::string said =
      camera.ask(post(camera.good_form("&update_key=" + encoded(update_key_pem()))));
  CHECK(has(said, "Certificate: this") && has(said, "Update key: this"));
  CHECK(camera.storage.entries.empty());
}

TEST(portal, says_that_the_flash_is_full) {
  Unboxed camera;
  camera.storage.is_full = true;
  CHECK(has(camera.ask(post(camera.good_form())), "HTTP/1.0 507"));
  camera.run_for(60000);
  CHECK(camera.machine->state() == State::set_up);
}

TEST(portal, refuses_what_is_not_http_and_what_is_too_long) {
  const struct {
    std::string request;
    const char* status;
  } cases[] = {
      {"\r\n\r\n", "400"},
      {"GET /\r\n\r\n", "400"},
      {"GET / HTTP/2.0\r\n\r\n", "400"},
      {"GET  / HTTP/1.1\r\n\r\n", "400"},
      {"GET / HTTP/1.1\r\nno colon\r\n\r\n", "400"},
      {std::string("GET /\0 HTTP/1.1\r\n\r\n", 19), "400"},
      {"\x16\x03\x01\x02\n\n", "400"},
      {"PUT / HTTP/1.1\r\n\r\n", "405"},
      {"POST / HTTP/1.1\r\n\r\n", "411"},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "411"},
      {"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", "400"},
      {"POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", "400"},
      {"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "400"},
      {"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "400"},
      {"POST / HTTP/1.1\r\nContent-Length: 9999999999\r\n\r\n", "413"},
      {post(std::string(6001, 'a')), "413"},
      {post(std::string(10 << 20, 'a')), "413"},
      {"GET /" + std::string(3000, 'a') + " HTTP/1.1\r\n\r\n", "431"},
      {std::string(1 << 20, 'A'), "431"},
  };
  for (const auto& one : cases) {
    Unboxed camera;
    const std::string said = camera.ask(one.request);
    if (said.find(std::string("HTTP/1.0 ") + one.status) != 0)
      fail(__FILE__, __LINE__, one.request.substr(0, 60) + ": " + said.substr(0, 60));
    CHECK(has(camera.ask(kGet), "200 OK"));
  }
}

TEST(portal, reads_a_request_in_any_pieces) {
  Unboxed camera;
  const std::string whole = post("ssid=a&ca=MIIB");
  for (size_t first = 1; first < whole.size(); ++first) {
    const auto client = camera.connect(whole.substr(0, first));
    camera.run_for(100);
    CHECK(!client->is_hung_up);
    client->sends = whole.substr(first);
    camera.run_until([&] { return client->is_hung_up; });
    CHECK(has(client->got, "not one whole certificate"));
  }
}

TEST(portal, is_held_up_by_nobody) {
  Unboxed camera;
  // Connections that say nothing, as phones open them ahead.
  for (int i = 0; i < 3; ++i) camera.connect();
  uint64_t began_ms = camera.clock.time_ms;
  CHECK(has(camera.ask(kGet), "200 OK"));
  CHECK(camera.clock.time_ms - began_ms < 1000);
  // More of them than there are places, one that stops within its request, and one that takes its
  // answer by bytes.
  for (int i = 0; i < 20; ++i) camera.connect();
  camera.connect("GET / HT");
  camera.connect(kGet)->at_once = 1;
  camera.connect(kGet)->is_gone = true;
  began_ms = camera.clock.time_ms;
  CHECK(has(camera.ask(kGet), "200 OK"));
  CHECK(camera.clock.time_ms - began_ms < 60000);
  // One that drips has five seconds.
  const auto slow = camera.connect("G");
  const auto next = camera.connect(kGet);
  began_ms = camera.clock.time_ms;
  while (!next->is_hung_up) {
    camera.run_for(500);
    slow->sends += "E";
    CHECK(camera.clock.time_ms - began_ms < 12000);
  }
  CHECK(slow->is_hung_up);
}

TEST(portal, opens_on_a_word_of_the_serial_line_and_closes_after_ten_minutes) {
  Bench camera;
  camera.boot();
  camera.run_until([&] { return camera.machine->state() == State::stream; });
  CHECK(!camera.access_point.is_on);
  camera.console.typed = "portal\n";
  camera.run_until([&] { return camera.access_point.is_on; });
  CHECK_NUMBER(camera.peer.count(1, "offline"), 1);
  // The network that is set up: neither password nor certificate have to be typed again.
  const auto client = std::make_shared<Client>();
  client->sends = post("ssid=home&server=h&port=x");
  camera.access_point.waiting.push_back(client);
  camera.run_until([&] { return client->is_hung_up; });
  CHECK(has(client->got, "Recorder: ") && !has(client->got, "Password") &&
        !has(client->got, "Certificate"));
  camera.run_for(590000);
  CHECK(camera.access_point.is_on);
  camera.run_until([&] { return camera.machine->state() == State::stream; });
  CHECK(!camera.access_point.is_on);
}

TEST(portal, comes_back_once_when_a_new_camera_cannot_join) {
  Unboxed camera;
  camera.wifi.is_there = false;
  CHECK(has(camera.ask(post(camera.good_form())), "Saved"));
  camera.run_until([&] { return camera.machine->state() == State::reboot; });
  camera.boot(BootReason::software);
  camera.run_until([&] { return camera.access_point.is_on; });
  CHECK(camera.clock.time_ms < 60000);
  CHECK(has(camera.ask(kGet), "200 OK"));
  // Nobody comes: from then on it sleeps as any camera without a recorder.
  camera.run_until([&] { return !camera.access_point.is_on; }, 700000);
  camera.run_until([&] { return camera.machine->state() == State::sleep; });
  CHECK(!camera.access_point.is_on);
}

TEST(portal, does_not_open_when_the_network_of_a_camera_with_a_recorder_is_away) {
  Bench camera;
  camera.storage.entries["key"] = "key-one";
  camera.wifi.is_there = false;
  camera.boot();
  camera.run_until([&] { return camera.machine->state() == State::reboot; }, 1000000);
  CHECK(camera.access_point.name.empty());
}

TEST(portal, is_no_condition_for_the_serial_line) {
  for (const bool works : {false, true}) {
    Bench camera;
    camera.access_point.works = works;
    camera.storage.entries.clear();
    camera.boot();
    camera.run_for(1000);
    CHECK(camera.machine->state() == State::set_up);
    camera.console.typed = "wifi home password1\nmode always\nca <<PEM\n" + pem_of(900) + "PEM\n";
    camera.run_until([&] { return camera.peer.count(2, "picture") > 0; });
    CHECK(!camera.access_point.is_on);
  }
}
