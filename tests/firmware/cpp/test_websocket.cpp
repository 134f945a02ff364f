#include "../../../firmware/esp32cam/core/websocket.h"
#include "check.h"

using namespace roost;
using Result = FrameReader::Result;

namespace {

// A server's frame: not masked.
std::string frame(int first, const std::string& payload) {
  std::string head(1, static_cast<char>(first));
  const size_t size = payload.size();
  if (size < 126) {
    head += static_cast<char>(size);
  } else if (size < 65536) {
    head += {126, static_cast<char>(size >> 8), static_cast<char>(size)};
  } else {
    head += static_cast<char>(127);
    for (int i = 7; i >= 0; --i) head += static_cast<char>(size >> (8 * i));
  }
  return head + payload;
}

constexpr int kFinal = 0x80, kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10;

struct Read {
  std::vector<std::string> messages;  // "opcode:payload"
  bool has_failed = false;
  uint16_t code = 0;
  uint32_t skipped = 0;
};

Read read(const std::string& bytes, size_t step = SIZE_MAX) {
  static FrameReader reader;
  reader = FrameReader();
  Read seen;
  for (size_t at = 0; at < bytes.size() && !seen.has_failed;
       at += step < bytes.size() ? step : bytes.size()) {
    const std::string piece = bytes.substr(at, step);
    const std::vector<uint8_t> exact(piece.begin(), piece.end());
    size_t from = 0;
    while (from < exact.size()) {
      size_t used;
      FrameReader::Message message;
      const Result result = reader.feed(exact.data() + from, exact.size() - from, &used, &message);
      from += used;
      if (result == Result::message) {
        seen.messages.push_back(std::to_string(static_cast<int>(message.opcode)) + ":" +
                                std::string(message.data, message.size));
      } else if (result == Result::failed) {
        seen.has_failed = true;
        seen.code = reader.close_code();
        break;
      } else {
        CHECK_NUMBER(from, exact.size());
      }
    }
  }
  seen.skipped = reader.skipped();
  return seen;
}

}  // namespace

TEST(websocket, reads_messages_in_pieces_of_any_size) {
  const std::string bytes =
      frame(kFinal | kText, "{}") + frame(kFinal | kText, std::string(300, 'x')) +
      frame(kFinal | kPing, "") + frame(kFinal | kText, "") + frame(kFinal | kPong, "roost");
  for (size_t step = 1; step <= bytes.size(); ++step) {
    const Read seen = read(bytes, step);
    CHECK_NUMBER(seen.messages.size(), 5);
    CHECK_TEXT(seen.messages[0], "1:{}");
    CHECK_NUMBER(seen.messages[1].size(), 302);
    CHECK_TEXT(seen.messages[2], "9:");
    CHECK_TEXT(seen.messages[3], "1:");
    CHECK_TEXT(seen.messages[4], "10:roost");
  }
}

TEST(websocket, puts_fragments_together_around_a_ping) {
  const Read seen = read(frame(kText, "{\"a\"") + frame(0, ":") +
                         frame(kFinal | kPing, std::string("\0x", 2)) + frame(kFinal, "1}"));
  CHECK_NUMBER(seen.messages.size(), 2);
  CHECK_TEXT(seen.messages[0], std::string("9:\0x", 4));
  CHECK_TEXT(seen.messages[1], "1:{\"a\":1}");
}

TEST(websocket, skips_a_message_that_is_too_long_and_reads_the_next) {
  const std::string longest(FrameReader::kMaxMessageBytes, 'x');
  const Read whole = read(frame(kFinal | kText, longest) + frame(kFinal | kText, longest + "x") +
                          frame(kFinal | kText, "{}"));
  CHECK(!whole.has_failed);
  CHECK_NUMBER(whole.skipped, 1);
  CHECK_NUMBER(whole.messages.size(), 2);
  CHECK_TEXT(whole.messages[1], "1:{}");
  const Read parts = read(
      frame(kText, longest) + frame(0, "y") + frame(kFinal, longest) + frame(kFinal | kBinary, "b"),
      100);
  CHECK_NUMBER(parts.skipped, 1);
  CHECK_TEXT(parts.messages[0], "2:b");
}

TEST(websocket, gives_up_on_ten_megabytes) {
  const std::string announced = {static_cast<char>(kFinal | kText), 127, 0, 0, 0, 0, 0,
                                 static_cast<char>(0xA0),           0,   0};
  CHECK_NUMBER(read(announced).code, kCloseTooBig);
  const std::string absurd = {
      static_cast<char>(kFinal | kText), 127, -1, -1, -1, -1, -1, -1, -1, -1};
  CHECK_NUMBER(read(absurd).code, kCloseTooBig);
  std::string dripped = frame(kText, std::string(2000, 'x'));
  for (int i = 0; i < 200; ++i) dripped += frame(0, std::string(2000, 'x'));
  CHECK_NUMBER(read(dripped).code, kCloseTooBig);
}

TEST(websocket, refuses_what_breaks_the_protocol) {
  const std::string masked = {
      static_cast<char>(kFinal | kText), static_cast<char>(0x82), 1, 2, 3, 4, 'a', 'b'};
  const std::string long_ping = frame(kFinal | kPing, std::string(126, 'p'));
  for (const std::string& bytes :
       {masked, long_ping, frame(kPing, "p"), frame(0xC0 | kText, "rsv1"), frame(kFinal | 3, ""),
        frame(kFinal | 11, ""), frame(kFinal, "continues nothing"),
        frame(kText, "a") + frame(kFinal | kText, "b")}) {
    const Read seen = read(bytes);
    CHECK(seen.has_failed);
    CHECK_NUMBER(seen.code, kCloseProtocolError);
  }
}

TEST(websocket, survives_noise) {
  uint32_t state = 12345;
  for (int round = 0; round < 300; ++round) {
    std::string noise;
    for (int i = 0; i < 400; ++i)
      noise += static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
    read(noise, 1 + state % 50);
  }
}

TEST(websocket, writes_heads_of_all_three_lengths_and_masks_by_place) {
  uint8_t head[kMaxFrameHeadBytes];
  CHECK_NUMBER(write_frame_head(Opcode::text, 125, 0, head), 6);
  CHECK_NUMBER(head[0], 0x81);
  CHECK_NUMBER(head[1], 0x80 | 125);
  CHECK_NUMBER(write_frame_head(Opcode::binary, 65535, 0, head), 8);
  CHECK_NUMBER(head[1], 0x80 | 126);
  CHECK_NUMBER(head[2] << 8 | head[3], 65535);
  CHECK_NUMBER(write_frame_head(Opcode::binary, 65536, 0, head), 14);
  CHECK_NUMBER(head[1], 0x80 | 127);
  CHECK_NUMBER(head[7], 1);
  uint8_t whole[10] = {}, parts[10] = {};
  mask_payload(whole, 10, 0x04030201, 0);
  mask_payload(parts, 3, 0x04030201, 0);
  mask_payload(parts + 3, 7, 0x04030201, 3);
  CHECK(memcmp(whole, parts, 10) == 0);
  CHECK_NUMBER(whole[5], 2);
}
