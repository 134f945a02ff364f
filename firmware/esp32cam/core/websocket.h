// The client's side of WebSocket frames (RFC 6455 §5), in bounded memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace roost {

enum class Opcode : uint8_t {
  continuation = 0,
  text = 1,
  binary = 2,
  close = 8,
  ping = 9,
  pong = 10
};

// The code of a close frame that ends a connection (RFC 6455 §7.4.1).
constexpr uint16_t kCloseNormal = 1000;
constexpr uint16_t kCloseProtocolError = 1002;
constexpr uint16_t kCloseTooBig = 1009;

// One frame's head with its mask, at most 14 bytes. Returns its size.
constexpr size_t kMaxFrameHeadBytes = 14;
size_t write_frame_head(Opcode opcode, size_t payload_size, uint32_t mask, uint8_t* into);
// `at` is the place of the first byte in its payload.
void mask_payload(uint8_t* bytes, size_t size, uint32_t mask, size_t at);

// Puts a server's frames together. Text that is too long is skipped and counted, as one message
// that we cannot read is no reason to lose a connection; a peer that breaks the protocol is.
class FrameReader {
 public:
  static constexpr size_t kMaxMessageBytes = 2048;    // the recorder's longest has 200
  static constexpr size_t kMaxSkippedBytes = 262144;  // of one message; more is an attack or a bug

  struct Message {
    Opcode opcode;     // text, binary, close, ping or pong
    const char* data;  // valid until the next call
    size_t size;
  };
  enum class Result : uint8_t { more, message, failed };

  void reset();
  // Uses bytes up to the end of one message. `used` says how many, also on failure.
  Result feed(const uint8_t* bytes, size_t size, size_t* used, Message* message);
  uint16_t close_code() const { return close_code_; }  // what to close with after `failed`
  uint32_t skipped() const { return skipped_; }

 private:
  bool take_head_byte(uint8_t byte);  // true when the head is whole
  bool begin_frame();
  bool end_frame(Message* message);  // true when that ends a message
  bool fail(uint16_t code);
  bool is_control() const { return (head_[0] & 0x08) != 0; }

  uint8_t head_[10];
  size_t head_size_ = 0;
  bool is_head_whole_ = false;
  uint64_t left_ = 0;  // of this frame's payload
  bool is_within_message_ = false;
  bool is_too_long_ = false;
  Opcode message_opcode_ = Opcode::text;
  size_t message_size_ = 0;
  uint64_t skipped_bytes_ = 0;
  size_t control_size_ = 0;
  uint32_t skipped_ = 0;
  uint16_t close_code_ = kCloseProtocolError;
  char message_[kMaxMessageBytes];
  char control_[125];
};

}  // namespace roost
