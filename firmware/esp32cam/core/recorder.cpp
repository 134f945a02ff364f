#include "recorder.h"

#include <cstdio>
#include <cstring>
#include <strings.h>

#include "digest.h"
#include "http_reply.h"

namespace roost {
namespace {

constexpr char kWebSocketGuid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // RFC 6455 §1.3
constexpr uint32_t kPollMs = 5;

Outcome outcome_of(int status) {
  if (status == 401) return Outcome::refused_key;
  if (status == 403) return Outcome::refused;
  return Outcome::not_now;
}

// `Connection` is a list (RFC 9110 §7.6.1).
bool has_token(const char* list, const char* token) {
  const size_t length = strlen(token);
  for (const char* at = list; *at != '\0';) {
    while (*at == ' ' || *at == '\t' || *at == ',') ++at;
    const size_t word = strcspn(at, " \t,");
    if (word == length && strncasecmp(at, token, length) == 0) return true;
    at += word;
  }
  return false;
}

void expected_accept(const char* nonce, char into[32]) {
  char joined[64];
  snprintf(joined, sizeof joined, "%s%s", nonce, kWebSocketGuid);
  uint8_t digest[20];
  sha1(joined, strlen(joined), digest);
  base64(digest, sizeof digest, into, 32);
}

}  // namespace

const char* words_for(Outcome outcome) {
  switch (outcome) {
    case Outcome::ok: return "ok";
    case Outcome::unreachable: return "it does not answer";
    case Outcome::untrusted: return "its certificate is not the recorder's";
    case Outcome::refused_key: return "it does not know the key";
    case Outcome::refused: return "it refuses for now";
    case Outcome::not_now: return "it cannot now";
    case Outcome::not_understood: break;
  }
  return "its answer makes no sense";
}

void write_mac(const Mac& mac, char into[18]) {
  const uint8_t* b = mac.bytes;
  snprintf(into, 18, "%02X:%02X:%02X:%02X:%02X:%02X", b[0], b[1], b[2], b[3], b[4], b[5]);
}

Outcome Recorder::open(const Endpoint& at, const char* trusted_pem) {
  reader_.reset();
  unread_size_ = unread_at_ = 0;
  const TlsResult result = hardware_.tls.connect(at, trusted_pem, patience_.tls_ms);
  const char* why = nullptr;
  switch (result) {
    case TlsResult::ok: return Outcome::ok;
    case TlsResult::unreachable:
    case TlsResult::failed: return Outcome::unreachable;
    case TlsResult::untrusted: why = "is not signed by a trusted authority"; break;
    case TlsResult::wrong_name: why = "is for another host"; break;
    case TlsResult::out_of_date: why = "is out of date"; break;
  }
  say(hardware_.console, "the certificate of %s %s", at.host, why);
  return Outcome::untrusted;
}

bool Recorder::send_all(const uint8_t* bytes, size_t size, uint64_t deadline_ms) {
  while (size > 0) {
    const int taken = hardware_.tls.write(bytes, size);
    if (taken < 0) return false;
    bytes += taken;
    size -= static_cast<size_t>(taken);
    if (taken == 0) {
      if (hardware_.clock.now_ms() >= deadline_ms) return false;
      hardware_.clock.pause_ms(kPollMs);
    }
  }
  return true;
}

Outcome Recorder::read_reply(HttpReply* reply) {
  const uint64_t deadline_ms = hardware_.clock.now_ms() + patience_.reply_ms;
  while (reply->state() == HttpReply::State::reading) {
    const int size = hardware_.tls.read(unread_, sizeof unread_);
    if (size < 0) {
      reply->end();
    } else if (size > 0) {
      unread_size_ = static_cast<size_t>(size);
      unread_at_ = reply->feed(reinterpret_cast<const char*>(unread_), unread_size_);
    } else if (hardware_.clock.now_ms() < deadline_ms) {
      hardware_.clock.pause_ms(kPollMs);
      continue;
    }
    // Also while bytes come: one a second would otherwise hold the camera for an hour.
    if (reply->state() == HttpReply::State::reading && hardware_.clock.now_ms() >= deadline_ms) {
      say(hardware_.console, "the reply did not come in time");
      return Outcome::unreachable;
    }
  }
  if (reply->state() == HttpReply::State::whole) return Outcome::ok;
  say(hardware_.console, "the reply is no use: %s", reply->failure());
  return Outcome::not_understood;
}

// The request is in `outgoing_`.
Outcome Recorder::ask(const Endpoint& at, const char* trusted_pem, int request_size,
                      HttpReply* reply) {
  const Outcome outcome = open(at, trusted_pem);
  if (outcome != Outcome::ok) return outcome;
  const uint64_t deadline_ms = hardware_.clock.now_ms() + patience_.send_ms;
  const bool is_sent = send_all(outgoing_, static_cast<size_t>(request_size), deadline_ms);
  return is_sent ? read_reply(reply) : Outcome::unreachable;
}

Outcome Recorder::enrol(const Endpoint& at, const char* trusted_pem, char key[kMaxKeyBytes + 1],
                        PictureSettings* settings) {
  char mac[18], body[64];
  write_mac(hardware_.board.mac(), mac);
  const size_t body_size = write_registration(mac, body, sizeof body);
  auto* request = reinterpret_cast<char*>(outgoing_);
  const int size =
      snprintf(request, sizeof outgoing_,
               "POST /register HTTP/1.1\r\nHost: %s:%u\r\n"
               "Content-Type: application/json\r\nContent-Length: %u\r\n"
               "Connection: close\r\n\r\n%s",
               at.host, static_cast<unsigned>(at.port), static_cast<unsigned>(body_size), body);
  HttpReply reply;
  const Outcome outcome = ask(at, trusted_pem, size, &reply);
  close();
  if (outcome != Outcome::ok) return outcome;
  if (reply.status() != 200) {
    say(hardware_.console, "registration was answered %d", reply.status());
    return outcome_of(reply.status());
  }
  const bool is_good = read_registration(reply.body(), reply.body_size(), key, settings);
  return is_good ? Outcome::ok : Outcome::not_understood;
}

Outcome Recorder::dial(const Endpoint& at, const char* trusted_pem, const char* key) {
  uint8_t random[16];
  for (size_t i = 0; i < sizeof random; i += 4) {
    const uint32_t word = hardware_.clock.random();
    memcpy(random + i, &word, 4);
  }
  char nonce[25], accept[32];
  base64(random, sizeof random, nonce, sizeof nonce);
  expected_accept(nonce, accept);
  auto* request = reinterpret_cast<char*>(outgoing_);
  const int size = snprintf(request, sizeof outgoing_,
                            "GET /ws HTTP/1.1\r\nHost: %s:%u\r\nUpgrade: websocket\r\n"
                            "Connection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
                            "Sec-WebSocket-Version: 13\r\nX-API-Key: %s\r\n"
                            "User-Agent: roost-esp32cam\r\n\r\n",
                            at.host, static_cast<unsigned>(at.port), nonce, key);
  HttpReply reply(HttpReply::Kind::upgrade);
  Outcome outcome = ask(at, trusted_pem, size, &reply);
  if (outcome == Outcome::ok && reply.status() != 101) {
    say(hardware_.console, "the connection was answered %d", reply.status());
    outcome = outcome_of(reply.status());
  } else if (outcome == Outcome::ok) {
    const bool is_ours = strcmp(reply.accept(), accept) == 0 &&
                         strcasecmp(reply.upgrade(), "websocket") == 0 &&
                         has_token(reply.connection(), "upgrade");
    if (!is_ours) outcome = Outcome::not_understood;
  }
  if (outcome != Outcome::ok) close();
  return outcome;
}

Outcome Recorder::fetch(const Endpoint& at, const char* trusted_pem, const char* key,
                        const char* path, size_t size) {
  auto* request = reinterpret_cast<char*>(outgoing_);
  const int length = snprintf(request, sizeof outgoing_,
                              "GET %s HTTP/1.1\r\nHost: %s:%u\r\nX-API-Key: %s\r\n"
                              "User-Agent: roost-esp32cam\r\nConnection: close\r\n\r\n",
                              path, at.host, static_cast<unsigned>(at.port), key);
  HttpReply reply(HttpReply::Kind::download);
  Outcome outcome = ask(at, trusted_pem, length, &reply);
  if (outcome == Outcome::ok && reply.status() != 200) {
    say(hardware_.console, "the download was answered %d", reply.status());
    outcome = outcome_of(reply.status());
  } else if (outcome == Outcome::ok && reply.announced_bytes() != static_cast<long>(size)) {
    say(hardware_.console, "the download says that it has %ld bytes", reply.announced_bytes());
    outcome = Outcome::not_understood;
  }
  if (outcome != Outcome::ok) close();
  return outcome;
}

int Recorder::read_body(uint8_t* into, size_t capacity) {
  if (unread_at_ == unread_size_) return hardware_.tls.read(into, capacity);
  const size_t left = unread_size_ - unread_at_;
  const size_t taken = left < capacity ? left : capacity;
  memcpy(into, unread_ + unread_at_, taken);
  unread_at_ += taken;
  return static_cast<int>(taken);
}

bool Recorder::send(Opcode opcode, const void* data, size_t size) {
  const uint64_t deadline_ms = hardware_.clock.now_ms() + patience_.send_ms;
  const uint32_t mask = hardware_.clock.random();
  const auto* bytes = static_cast<const uint8_t*>(data);
  size_t used = write_frame_head(opcode, size, mask, outgoing_);
  size_t at = 0;
  // By pieces through a buffer: the picture is the camera's and must not be masked in place.
  do {
    const size_t room = sizeof outgoing_ - used;
    const size_t piece = size - at < room ? size - at : room;
    if (piece > 0) memcpy(outgoing_ + used, bytes + at, piece);
    mask_payload(outgoing_ + used, piece, mask, at);
    if (!send_all(outgoing_, used + piece, deadline_ms)) return false;
    at += piece;
    used = 0;
  } while (at < size);
  return true;
}

bool Recorder::send_close(uint16_t code) {
  const uint8_t payload[2] = {static_cast<uint8_t>(code >> 8), static_cast<uint8_t>(code)};
  return send(Opcode::close, payload, sizeof payload);
}

FrameReader::Result Recorder::receive(FrameReader::Message* message) {
  while (true) {
    if (unread_at_ == unread_size_) {
      const int size = hardware_.tls.read(unread_, sizeof unread_);
      if (size < 0) return FrameReader::Result::failed;
      if (size == 0) return FrameReader::Result::more;
      unread_size_ = static_cast<size_t>(size);
      unread_at_ = 0;
    }
    size_t used;
    const FrameReader::Result result =
        reader_.feed(unread_ + unread_at_, unread_size_ - unread_at_, &used, message);
    unread_at_ += used;
    if (result == FrameReader::Result::message) return result;
    if (result == FrameReader::Result::failed) {
      say(hardware_.console, "the recorder broke the protocol (%u)",
          static_cast<unsigned>(reader_.close_code()));
      send_close(reader_.close_code());
      return result;
    }
  }
}

}  // namespace roost
