// An HTTP/1.1 reply (RFC 9112), read as its bytes come, in bounded memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace roost {

class HttpReply {
 public:
  static constexpr size_t kMaxHeadBytes = 2048;
  static constexpr size_t kMaxBodyBytes =
      1024;  // the recorder's longest answer to a camera has 300

  enum class State : uint8_t { reading, whole, failed };

  enum class Kind : uint8_t {
    plain,
    upgrade,   // an answer 101 has no body, and what follows its head is another protocol's
    download,  // whole at the end of its head; what follows is the caller's to read
  };
  explicit HttpReply(Kind kind = Kind::plain) : kind_(kind) {}

  // Bytes used; the rest belongs to whoever speaks after this reply. Takes nothing once it is over.
  size_t feed(const char* bytes, size_t size);
  // The peer closed: that ends a body without a length, and cuts any other.
  void end();

  State state() const { return state_; }
  const char* failure() const { return failure_; }
  int status() const { return status_; }
  const char* body() const { return body_; }
  size_t body_size() const { return body_size_; }
  // The length of a download's body as its head says it; -1 for none, and for chunks.
  long announced_bytes() const;
  // Of `Upgrade`, `Connection` and `Sec-WebSocket-Accept`; empty when it was not sent.
  const char* upgrade() const { return upgrade_; }
  const char* connection() const { return connection_; }
  const char* accept() const { return accept_; }

 private:
  enum class Part : uint8_t { status, header, body, chunk_size, chunk, chunk_end, trailer };

  void take_line();
  void take_status();
  void take_header();
  void take_chunk_size();
  void begin_body();
  size_t take_body(const char* bytes, size_t size);
  void finish() { state_ = State::whole; }
  void fail(const char* why);

  Kind kind_;
  State state_ = State::reading;
  Part part_ = Part::status;
  const char* failure_ = "";
  int status_ = 0;
  size_t head_bytes_ = 0;
  bool is_chunked_ = false;
  bool has_length_ = false;
  size_t left_ = 0;  // of the body, or of the chunk
  size_t line_size_ = 0;
  size_t body_size_ = 0;
  char line_[300] = "";
  char body_[kMaxBodyBytes + 1] = "";
  char upgrade_[20] = "";
  char connection_[40] = "";
  char accept_[40] = "";
};

}  // namespace roost
