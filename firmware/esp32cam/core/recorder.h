// The two requests that a camera makes, and the messages after the second.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hardware.h"
#include "messages.h"
#include "websocket.h"

namespace roost {

// How long a camera waits for what. The tests wait less.
struct Patience {
  uint32_t tls_ms = 10'000;
  uint32_t reply_ms = 10'000;  // for a whole reply, from the request on
  uint32_t send_ms = 10'000;   // for one message, before the connection counts as lost
};

enum class Outcome : uint8_t {
  ok,
  unreachable,  // nobody answers there, or not in time
  untrusted,    // somebody answers who is not the recorder
  refused_key,  // 401
  refused,      // 403: it may become another answer, when a person approves
  not_now,      // any other status
  not_understood,
};

const char* words_for(Outcome outcome);

class HttpReply;

class Recorder {
 public:
  Recorder(const Hardware& hardware, const Patience& patience)
      : hardware_(hardware), patience_(patience) {}

  // POST /register. With `ok` there is a new key, and settings where the reply has some.
  Outcome enrol(const Endpoint& at, const char* trusted_pem, char key[kMaxKeyBytes + 1],
                PictureSettings* settings);
  // GET /ws. With `ok` messages may be sent and received until `close`.
  Outcome dial(const Endpoint& at, const char* trusted_pem, const char* key);
  // GET `path`. With `ok` the body of `size` bytes may be read until `close`; other lengths, and
  // answers without one, are `not_understood`.
  Outcome fetch(const Endpoint& at, const char* trusted_pem, const char* key, const char* path,
                size_t size);
  int read_body(uint8_t* into, size_t capacity);  // as TlsSocket's `read`
  void close() { hardware_.tls.close(); }

  // One message, whole. False: the connection is lost.
  bool send(Opcode opcode, const void* data, size_t size);
  bool send_text(const char* text, size_t size) { return send(Opcode::text, text, size); }
  bool send_close(uint16_t code);
  // The next message that is there; `more` for none. `failed`: the connection is over, and was
  // closed as RFC 6455 wants it where the peer broke the protocol. Waits for nothing.
  FrameReader::Result receive(FrameReader::Message* message);
  uint32_t skipped() const { return reader_.skipped(); }

 private:
  Outcome open(const Endpoint& at, const char* trusted_pem);
  Outcome ask(const Endpoint& at, const char* trusted_pem, int request_size, HttpReply* reply);
  Outcome read_reply(HttpReply* reply);
  bool send_all(const uint8_t* bytes, size_t size, uint64_t deadline_ms);

  const Hardware& hardware_;
  Patience patience_;
  FrameReader reader_;
  // What was read and not yet used: behind the head of the upgrade, or behind a message.
  uint8_t unread_[1024];
  size_t unread_size_ = 0;
  size_t unread_at_ = 0;
  uint8_t outgoing_[4096];  // one TLS record of an ESP32's TLS, whose output buffer has 4 KB
};

// "AA:BB:CC:DD:EE:FF"
void write_mac(const Mac& mac, char into[18]);

}  // namespace roost
