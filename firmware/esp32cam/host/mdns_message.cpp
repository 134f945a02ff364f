#include "mdns_message.h"

#include <cstdio>
#include <cstring>
#include <strings.h>

namespace roost::host {
namespace {

constexpr char kService[] = "_mycam-server._tcp.local";
constexpr uint16_t kTypeA = 1, kTypePtr = 12, kTypeSrv = 33, kClassIn = 1;
constexpr size_t kMaxRecords = 64;     // of one packet; a recorder's has five
constexpr size_t kMaxNameBytes = 256;  // RFC 1035 §3.1
constexpr int kMaxJumps = 16;          // compression that points at itself

struct Packet {
  const uint8_t* bytes;
  size_t size;

  uint16_t number(size_t at) const { return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]); }
};

// The dotted name at `at`; returns the place behind it, 0 when it is malformed.
size_t read_name(const Packet& packet, size_t at, char into[kMaxNameBytes]) {
  size_t length = 0, behind = 0;
  for (int jumps = 0; at < packet.size;) {
    const uint8_t size = packet.bytes[at];
    if (size == 0) {
      into[length > 0 ? length - 1 : 0] = '\0';
      return behind != 0 ? behind : at + 1;
    }
    if ((size & 0xC0) == 0xC0) {
      if (at + 1 >= packet.size || ++jumps > kMaxJumps) return 0;
      if (behind == 0) behind = at + 2;
      at = static_cast<size_t>(size & 0x3F) << 8 | packet.bytes[at + 1];
      continue;
    }
    if (size > 63 || at + 1 + size > packet.size || length + size + 1 >= kMaxNameBytes) return 0;
    memcpy(into + length, packet.bytes + at + 1, size);
    length += size;
    into[length++] = '.';
    at += 1 + size;
  }
  return 0;
}

struct Record {
  char name[kMaxNameBytes];
  uint16_t type;
  size_t at;  // of its data
  uint16_t size;
};

// Past one record; 0 when it is malformed.
size_t read_record(const Packet& packet, size_t at, Record* into) {
  at = read_name(packet, at, into->name);
  if (at == 0 || at + 10 > packet.size) return 0;
  into->type = packet.number(at);
  // The top bit of the class means "forget what you knew" (RFC 6762 §10.2).
  const bool is_internet = (packet.number(at + 2) & 0x7FFF) == kClassIn;
  const bool is_over = packet.number(at + 4) == 0 && packet.number(at + 6) == 0;  // a good-bye
  if (!is_internet || is_over) into->type = 0;
  into->size = packet.number(at + 8);
  into->at = at + 10;
  return into->at + into->size <= packet.size ? into->at + into->size : 0;
}

class Answer {
 public:
  explicit Answer(const Packet& packet) : packet_(packet) {}

  bool begin(size_t* first, size_t* count) const {
    if (packet_.size < 12 || (packet_.bytes[2] & 0x80) == 0) return false;  // a question
    size_t at = 12;
    char name[kMaxNameBytes];
    for (uint16_t i = packet_.number(4); i > 0; --i) {
      at = read_name(packet_, at, name);
      if (at == 0 || at + 4 > packet_.size) return false;
      at += 4;
    }
    const size_t said = packet_.number(6) + packet_.number(8) + packet_.number(10);
    *first = at;
    *count = said < kMaxRecords ? said : kMaxRecords;
    return true;
  }

  // Calls `take` for each record of that type and name until it returns true.
  template <typename Take>
  bool each(uint16_t type, const char* name, const Take& take) const {
    size_t at, count;
    if (!begin(&at, &count)) return false;
    for (; count > 0; --count) {
      Record record;
      at = read_record(packet_, at, &record);
      if (at == 0) return false;
      const bool is_it = record.type == type && strcasecmp(record.name, name) == 0;
      if (is_it && take(record)) return true;
    }
    return false;
  }

 private:
  Packet packet_;
};

bool read_address(const Packet& packet, const Record& record, char into[64]) {
  if (record.size != 4) return false;
  const uint8_t* b = packet.bytes + record.at;
  const bool is_host = b[0] != 0 && b[0] < 224;  // not "this network", multicast or broadcast
  if (is_host) snprintf(into, 64, "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
  return is_host;
}

}  // namespace

size_t write_question(uint16_t id, uint8_t into[64]) {
  const uint8_t head[12] = {static_cast<uint8_t>(id >> 8), static_cast<uint8_t>(id), 0, 0, 0, 1};
  memcpy(into, head, sizeof head);
  size_t at = sizeof head;
  for (const char* label = kService; *label != '\0';) {
    const size_t size = strcspn(label, ".");
    into[at++] = static_cast<uint8_t>(size);
    memcpy(into + at, label, size);
    at += size;
    label += label[size] == '.' ? size + 1 : size;
  }
  const uint8_t tail[5] = {0, 0, kTypePtr, 0, kClassIn};
  memcpy(into + at, tail, sizeof tail);
  return at + sizeof tail;
}

void read_answer(const uint8_t* bytes, size_t size, uint32_t chance, Candidates& found) {
  const Packet packet = {bytes, size};
  const Answer answer(packet);
  answer.each(kTypePtr, kService, [&](const Record& pointer) {
    char instance[kMaxNameBytes];
    if (read_name(packet, pointer.at, instance) == 0) return false;
    answer.each(kTypeSrv, instance, [&](const Record& service) {
      char target[kMaxNameBytes];
      if (service.size < 7 || read_name(packet, service.at + 6, target) == 0) return true;
      Endpoint endpoint;
      endpoint.port = packet.number(service.at + 4);
      answer.each(kTypeA, target, [&](const Record& address) {
        return read_address(packet, address, endpoint.host);
      });
      found.offer(endpoint, chance += 0x9E3779B9);
      return true;
    });
    return false;
  });
}

}  // namespace roost::host
