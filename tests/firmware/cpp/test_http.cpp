#include "../../../firmware/esp32cam/core/digest.h"
#include "../../../firmware/esp32cam/core/http_reply.h"
#include "check.h"

using namespace roost;
using State = HttpReply::State;

namespace {

HttpReply read(const std::string& text, bool is_ended = true, size_t step = SIZE_MAX,
               HttpReply::Kind kind = HttpReply::Kind::plain) {
  HttpReply reply(kind);
  for (size_t at = 0; at < text.size(); at += step) {
    const std::string piece = text.substr(at, step);
    const std::vector<char> exact(piece.begin(), piece.end());
    reply.feed(exact.data(), exact.size());
    if (step > text.size()) break;
  }
  if (is_ended) reply.end();
  return reply;
}

const std::string kPlain =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"a\": true}";
const std::string kChunked =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n7;x=y\r\n: "
    "true}\r\n0\r\nT: 1\r\n\r\n";

}  // namespace

TEST(http, reads_a_reply_in_pieces_of_any_size) {
  for (const std::string& text : {kPlain, kChunked}) {
    for (size_t step = 1; step <= text.size(); ++step) {
      const HttpReply reply = read(text, false, step);
      CHECK(reply.state() == State::whole);
      CHECK_NUMBER(reply.status(), 200);
      CHECK_TEXT(reply.body(), "{\"a\": true}");
    }
  }
}

TEST(http, says_of_every_cut_reply_that_it_was_cut) {
  for (const std::string& text : {kPlain, kChunked}) {
    for (size_t size = 0; size < text.size(); ++size) {
      CHECK(read(text.substr(0, size)).state() == State::failed);
    }
  }
}

TEST(http, takes_the_end_of_the_connection_for_the_end_of_a_body_without_a_length) {
  const std::string text = "HTTP/1.0 403 Forbidden\nA: b\n\nno";
  CHECK(read(text, false).state() == State::reading);
  const HttpReply reply = read(text);
  CHECK(reply.state() == State::whole);
  CHECK_NUMBER(reply.status(), 403);
  CHECK_TEXT(reply.body(), "no");
}

TEST(http, gives_up_on_ten_megabytes_having_kept_none) {
  HttpReply length, chunked, endless, head;
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  const std::string megabyte(1 << 20, 'x');
  length.feed((ok + "Content-Length: 10485760\r\n\r\n").data(), ok.size() + 28);
  CHECK(length.state() == State::failed);
  const std::string announced = ok + "Transfer-Encoding: chunked\r\n\r\nA00000\r\n";
  chunked.feed(announced.data(), announced.size());
  endless.feed((ok + "\r\n").data(), ok.size() + 2);
  head.feed((ok + "A: ").data(), ok.size() + 3);
  for (HttpReply* reply : {&chunked, &endless, &head}) {
    for (int i = 0; i < 10; ++i) reply->feed(megabyte.data(), megabyte.size());
    CHECK(reply->state() == State::failed);
    CHECK(reply->body_size() <= HttpReply::kMaxBodyBytes);
  }
}

TEST(http, refuses_what_is_not_http) {
  for (const char* text :
       {"SSH-2.0-x\r\n", "HTTP/2 200\r\n", "HTTP/1.1 2x0 OK\r\n", "HTTP/1.1 99 OK\r\n",
        "HTTP/1.1 600 OK\r\n", "HTTP/1.1  200 OK\r\n", "\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n"}) {
    if (read(text, false).state() != State::failed) fail(__FILE__, __LINE__, text);
  }
}

TEST(http, passes_over_a_100_and_reads_the_answer_after_it) {
  const HttpReply reply = read("HTTP/1.1 100 Continue\r\n\r\n" + kPlain, false);
  CHECK(reply.state() == State::whole);
  CHECK_NUMBER(reply.status(), 200);
}

TEST(http, leaves_what_follows_an_upgrade_to_the_next_protocol) {
  const std::string head =
      "HTTP/1.1 101 Switching\r\nupgrade: WebSocket\r\nConnection:keep-alive, "
      "Upgrade\r\nSec-WebSocket-Accept:  abc \r\n\r\n";
  const std::string all = head + "\x81\x02{}";
  HttpReply reply(HttpReply::Kind::upgrade);
  CHECK_NUMBER(reply.feed(all.data(), all.size()), head.size());
  CHECK(reply.state() == State::whole);
  CHECK_TEXT(reply.upgrade(), "WebSocket");
  CHECK_TEXT(reply.connection(), "keep-alive, Upgrade");
  CHECK_TEXT(reply.accept(), "abc");
}

TEST(http, survives_headers_longer_than_its_buffers) {
  const std::string text =
      "HTTP/1.1 200 OK\r\nUpgrade: " + std::string(1500, 'u') + "\r\nContent-Length: 0\r\n\r\n";
  const HttpReply reply = read(text, false);
  CHECK(reply.state() == State::whole);
  CHECK_NUMBER(strlen(reply.upgrade()), 19);
}

TEST(http, computes_sha1_and_base64_as_their_standards_do) {
  const struct {
    size_t size;  // of a text of that many "a"
    const char* expected;
  } cases[] = {{0, "2jmj7l5rSw0yVb/vlWAYkK/YBwk="},   {1, "hvfkN/qlp/zhXR3cuerq6jd2Z7g="},
               {55, "wci73CJ5bijA4VFj0giZtlYh1lo="},  {56, "wtszD2CDhUyZ1LW/tujynyAb5pk="},
               {63, "A/CfWxWKeoza2SC93Cm4HBilUfU="},  {64, "AJi6gktcFkJ716ESKlpEKiXsZE0="},
               {65, "EWVTJscI1wMZviYQ6KV9mluVnTs="},  {119, "7pcQZaqgF+BjKoymx3uzv4sd/FY="},
               {120, "80wUiDhTRqVXCboFbd0IKA3UxtY="}, {1000, "KR6abGaZSUm1e6XmUDYemPw2sbo="}};
  for (const auto& one : cases) {
    const std::string text(one.size, 'a');
    uint8_t digest[20];
    char encoded[29];
    sha1(text.data(), text.size(), digest);
    base64(digest, sizeof digest, encoded, sizeof encoded);
    CHECK_TEXT(encoded, one.expected);
  }
  const std::string key = "dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  uint8_t digest[20];
  char encoded[29];
  sha1(key.data(), key.size(), digest);
  base64(digest, sizeof digest, encoded, sizeof encoded);
  CHECK_TEXT(encoded, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  base64(digest, sizeof digest, encoded, 28);
  CHECK_TEXT(encoded, "");
}
