#include "websocket.h"

#include <cstring>

namespace roost {
namespace {

constexpr uint8_t kFinal = 0x80, kReserved = 0x70, kOpcode = 0x0F, kMasked = 0x80;

size_t head_size_for(uint8_t second) {
  const uint8_t length = second & 0x7F;
  return length == 127 ? 10 : length == 126 ? 4 : 2;
}

}  // namespace

size_t write_frame_head(Opcode opcode, size_t payload_size, uint32_t mask, uint8_t* into) {
  size_t size = 2;
  into[0] = static_cast<uint8_t>(kFinal | static_cast<uint8_t>(opcode));
  if (payload_size < 126) {
    into[1] = static_cast<uint8_t>(kMasked | payload_size);
  } else {
    const int bytes = payload_size < 65536 ? 2 : 8;
    into[1] = static_cast<uint8_t>(kMasked | (bytes == 2 ? 126 : 127));
    for (int i = bytes - 1; i >= 0; --i) {
      into[size++] = static_cast<uint8_t>(static_cast<uint64_t>(payload_size) >> (8 * i));
    }
  }
  memcpy(into + size, &mask, 4);
  return size + 4;
}

void mask_payload(uint8_t* bytes, size_t size, uint32_t mask, size_t at) {
  uint8_t key[4];
  memcpy(key, &mask, 4);
  for (size_t i = 0; i < size; ++i) bytes[i] ^= key[(at + i) & 3];
}

void FrameReader::reset() {
  head_size_ = 0;
  is_head_whole_ = is_within_message_ = is_too_long_ = false;
  left_ = skipped_bytes_ = 0;
  message_size_ = control_size_ = 0;
}

bool FrameReader::fail(uint16_t code) {
  close_code_ = code;
  return false;
}

bool FrameReader::take_head_byte(uint8_t byte) {
  head_[head_size_++] = byte;
  return head_size_ >= 2 && head_size_ == head_size_for(head_[1]);
}

bool FrameReader::begin_frame() {
  const uint8_t opcode = head_[0] & kOpcode;
  const bool is_final = (head_[0] & kFinal) != 0;
  if ((head_[0] & kReserved) != 0 || (head_[1] & kMasked) != 0) return fail(kCloseProtocolError);
  left_ = head_[1] & 0x7F;
  if (head_size_ > 2) {
    left_ = 0;
    for (size_t i = 2; i < head_size_; ++i) left_ = left_ << 8 | head_[i];
  }
  if (is_control()) {
    const bool is_known = opcode >= 8 && opcode <= 10;
    if (!is_known || !is_final || left_ > sizeof control_) return fail(kCloseProtocolError);
    control_size_ = 0;
    return true;
  }
  const bool is_continuation = opcode == 0;
  if (opcode > 2 || is_continuation != is_within_message_) return fail(kCloseProtocolError);
  if (!is_continuation) {
    message_opcode_ = static_cast<Opcode>(opcode);
    message_size_ = 0;
    skipped_bytes_ = 0;
    is_too_long_ = false;
    is_within_message_ = true;
  }
  if (left_ > kMaxMessageBytes - message_size_) is_too_long_ = true;
  if (is_too_long_) skipped_bytes_ += left_ < kMaxSkippedBytes ? left_ : kMaxSkippedBytes + 1;
  if (skipped_bytes_ > kMaxSkippedBytes) return fail(kCloseTooBig);
  return true;
}

bool FrameReader::end_frame(Message* message) {
  head_size_ = 0;
  is_head_whole_ = false;
  if (is_control()) {
    *message = {static_cast<Opcode>(head_[0] & kOpcode), control_, control_size_};
    return true;
  }
  if ((head_[0] & kFinal) == 0) return false;
  is_within_message_ = false;
  if (is_too_long_) {
    ++skipped_;
    return false;
  }
  *message = {message_opcode_, message_, message_size_};
  return true;
}

FrameReader::Result FrameReader::feed(const uint8_t* bytes, size_t size, size_t* used,
                                      Message* message) {
  *used = 0;
  while (*used < size || (is_head_whole_ && left_ == 0)) {
    if (!is_head_whole_) {
      is_head_whole_ = take_head_byte(bytes[(*used)++]);
      if (is_head_whole_ && !begin_frame()) return Result::failed;
    }
    if (!is_head_whole_) continue;
    const size_t there = size - *used;
    const auto taken = static_cast<size_t>(left_ < there ? left_ : there);
    if (is_control()) {
      memcpy(control_ + control_size_, bytes + *used, taken);
      control_size_ += taken;
    } else if (!is_too_long_) {
      memcpy(message_ + message_size_, bytes + *used, taken);
      message_size_ += taken;
    }
    *used += taken;
    left_ -= taken;
    if (left_ > 0) return Result::more;
    if (end_frame(message)) return Result::message;
  }
  return Result::more;
}

}  // namespace roost
