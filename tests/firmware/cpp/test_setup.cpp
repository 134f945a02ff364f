#include "check.h"
#include "scripted.h"

using namespace scripted;

namespace {

struct Line {
  scripted::Storage storage;
  scripted::Console console;
  Settings settings{storage};
  scripted::Crypto crypto;
  SetupConsole setup{console, crypto, settings};

  Line() { settings.load(); }
  std::string answer(const std::string& typed) {
    console.shown.clear();
    console.typed = typed;
    setup.poll();
    return console.shown;
  }
};

}  // namespace

TEST(setup, takes_wifi_server_and_mode) {
  Line line;
  CHECK_TEXT(line.answer("wifi \"my home\" \"pass word\"\r\n"), "ok\n");
  CHECK_TEXT(line.answer("server recorder.local 3443\nmode always\n"), "ok\nok\n");
  Settings again(line.storage);
  again.load();
  CHECK_TEXT(again.ssid, "my home");
  CHECK_TEXT(again.password, "pass word");
  CHECK_TEXT(again.server.host, "recorder.local");
  CHECK_NUMBER(again.server.port, 3443);
  CHECK(again.mode == Mode::always);
  CHECK_TEXT(line.answer("server auto\nwifi open\nmode motion\n"), "ok\nok\nok\n");
  again.load();
  CHECK(!again.server.is_set());
  CHECK_TEXT(again.password, "");
}

TEST(setup, refuses_lines_that_make_no_sense_and_changes_nothing) {
  Line line;
  line.answer("wifi home password1\nserver 10.0.0.2 3443\n");
  const auto before = line.storage.entries;
  for (const std::string& text : {std::string("wifi"),
                                  std::string("wifi a short"),
                                  std::string("wifi \"open quote"),
                                  "wifi " + std::string(33, 's') + " password1",
                                  "wifi a " + std::string(65, 'p'),
                                  std::string("wifi a b c d"),
                                  std::string("server"),
                                  std::string("server h 0"),
                                  std::string("server h 65536"),
                                  std::string("server h 1x"),
                                  std::string("server h\r 1\x01"),
                                  std::string("server a/b 1"),
                                  "server " + std::string(64, 'h') + " 1",
                                  std::string("mode never"),
                                  std::string("ca"),
                                  std::string("ca 3 <<PEM"),
                                  std::string("ca <<END"),
                                  std::string("dance"),
                                  std::string("show me"),
                                  std::string("forget it"),
                                  std::string(5000, 'x')}) {
    const std::string answer = line.answer(text + "\n");
    if (answer.compare(0, 6, "error:") != 0) fail(__FILE__, __LINE__, text + ": " + answer);
  }
  CHECK(line.storage.entries == before);
  CHECK_TEXT(line.answer("\n  \n"), "");
}

TEST(setup, takes_a_certificate_for_each_slot_and_trusts_both) {
  Line line;
  const std::string one = pem_of(900), two = pem_of(1000);
  CHECK_TEXT(line.answer("ca <<PEM\n" + one + "PEM\n"), "ok\n");
  CHECK_TEXT(line.answer("ca 2 <<PEM\n" + two + "PEM\n"), "ok\n");
  CHECK_TEXT(line.settings.trusted_pem, one + two);
  CHECK_TEXT(line.answer("ca 1 none\n"), "ok\n");
  CHECK_TEXT(line.settings.trusted_pem, two);
}

TEST(setup, refuses_a_certificate_that_lost_a_part) {
  Line line;
  const std::string good = pem_of(900);
  line.answer("ca <<PEM\n" + good + "PEM\n");
  std::string no_line = good, no_end = good.substr(0, good.size() - 30) + "\n", strange = good;
  no_line.erase(92, 65);
  strange[100] = '%';
  for (const std::string& bad :
       {no_line, no_end, strange, good + good, std::string(""), pem_of(2900),
        std::string("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")}) {
    const std::string answer = line.answer("ca <<PEM\n" + bad + "PEM\n");
    CHECK(answer.find("error:") == 0);
    CHECK_TEXT(line.settings.trusted_pem, good);
  }
  CHECK_TEXT(line.answer("mode always\n"), "ok\n");
}

TEST(setup, shows_everything_but_secrets) {
  Line line;
  line.answer("wifi home topsecret1\nca <<PEM\n" + pem_of(900) + "PEM\n");
  line.settings.set_key("canary-key");
  const std::string shown = line.answer("show\n");
  CHECK(shown.find("home") != std::string::npos);
  CHECK(shown.find("ready") != std::string::npos);
  CHECK(shown.find("topsecret1") == std::string::npos);
  CHECK(shown.find("canary-key") == std::string::npos);
}

TEST(setup, forgets_everything) {
  Line line;
  line.answer("wifi home password1\nca <<PEM\n" + pem_of(900) + "PEM\n");
  line.settings.set_key("key");
  CHECK(line.settings.is_complete());
  CHECK_TEXT(line.answer("forget\n"), "ok\n");
  CHECK(line.storage.entries.empty());
  CHECK(!line.settings.is_complete());
}

TEST(setup, says_that_the_flash_is_full_and_trusts_nothing_that_is_not_in_it) {
  Line line;
  line.storage.is_full = true;
  CHECK(line.answer("wifi home password1\n").find("full") != std::string::npos);
  CHECK_TEXT(line.settings.ssid, "home");
  CHECK(line.answer("ca <<PEM\n" + pem_of(900) + "PEM\n").find("full") != std::string::npos);
  CHECK_TEXT(line.settings.trusted_pem, "");
}

TEST(setup, keeps_the_picture_over_a_restart_and_ignores_a_damaged_one) {
  Line line;
  PictureSettings picture;
  picture.size = FrameSize::UXGA;
  picture.brightness = -2;
  CHECK(line.settings.set_picture(picture));
  Settings again(line.storage);
  again.load();
  CHECK(again.picture == picture);
  for (size_t at = 0; at < kPackedPictureSettings; ++at) {
    scripted::Storage damaged = line.storage;
    damaged.entries["picture"][at] = static_cast<char>(200);
    Settings other(damaged);
    other.load();
    CHECK(other.picture == PictureSettings());
  }
}
