#include "../../../firmware/esp32cam/host/mdns_message.h"
#include "check.h"

using namespace roost;
using namespace roost::host;

namespace {

std::string number(int value) { return {static_cast<char>(value >> 8), static_cast<char>(value)}; }

std::string name(const std::string& dotted) {
  std::string out;
  for (size_t at = 0; at < dotted.size();) {
    const size_t dot =
        dotted.find('.', at) == std::string::npos ? dotted.size() : dotted.find('.', at);
    out += static_cast<char>(dot - at) + dotted.substr(at, dot - at);
    at = dot + 1;
  }
  return out + std::string(1, '\0');
}

std::string record(const std::string& called, int type, const std::string& data, int ttl = 120) {
  return called + number(type) + number(0x8001) + number(0) + number(ttl) +
         number(static_cast<int>(data.size())) + data;
}

std::string packet(const std::vector<std::string>& records) {
  std::string out = number(0) + number(0x8400) + number(0) +
                    number(static_cast<int>(records.size())) + number(0) + number(0);
  for (const std::string& one : records) out += one;
  return out;
}

const std::string kType = "_mycam-server._tcp.local";

std::vector<std::string> recorder(const std::string& instance, const std::string& host, int port,
                                  const std::string& address, int ttl = 120) {
  const std::string full = name(instance + "." + kType);
  return {record(name(kType), 12, full, ttl),
          record(full, 33, number(0) + number(0) + number(port) + name(host), ttl),
          record(full, 16, std::string("\x0ewsPath=/ws....", 15), ttl),
          record(name(host), 1, address, ttl)};
}

Candidates read(const std::string& bytes) {
  const std::vector<uint8_t> exact(bytes.begin(), bytes.end());
  Candidates found;
  read_answer(exact.data(), exact.size(), 7, found);
  return found;
}

const std::string kAddress("\x0a\x00\x00\x02", 4);

}  // namespace

TEST(mdns, asks_one_ptr_question) {
  uint8_t question[64];
  const size_t size = write_question(0x0102, question);
  const std::string expected =
      std::string("\x01\x02\0\0\0\x01\0\0\0\0\0\0", 12) + name(kType) + number(12) + number(1);
  CHECK_TEXT(std::string(reinterpret_cast<char*>(question), size), expected);
}

TEST(mdns, finds_address_and_port_in_one_answer_in_any_order) {
  auto records = recorder("Pi Camera Server", "roost-pi.local", 3443, kAddress);
  for (int i = 0; i < 4; ++i) {
    const Candidates found = read(packet(records));
    CHECK_NUMBER(found.size(), 1);
    CHECK_TEXT(found[0].host, "10.0.0.2");
    CHECK_NUMBER(found[0].port, 3443);
    records.push_back(records.front());
    records.erase(records.begin());
  }
}

TEST(mdns, follows_compressed_names) {
  std::string bytes = number(0) + number(0x8400) + number(0) + number(3) + number(0) + number(0);
  bytes += record(name(kType), 12, std::string("\x01R\xC0\x0C", 4));
  const int instance = 12 + static_cast<int>(name(kType).size()) + 10;
  const std::string to_instance = {static_cast<char>(0xC0), static_cast<char>(instance)};
  bytes += record(to_instance, 33, number(0) + number(0) + number(8443) + name("h.local"));
  bytes += record(name("H.LOCAL"), 1, kAddress);
  const Candidates found = read(bytes);
  CHECK_NUMBER(found.size(), 1);
  CHECK_NUMBER(found[0].port, 8443);
}

TEST(mdns, ignores_answers_that_are_incomplete_or_absurd) {
  auto without_a = recorder("R", "h.local", 1, kAddress);
  without_a.pop_back();
  CHECK_NUMBER(read(packet(without_a)).size(), 0);
  CHECK_NUMBER(read(packet(recorder("R", "h.local", 0, kAddress))).size(), 0);
  CHECK_NUMBER(read(packet(recorder("R", "h.local", 1, kAddress, 0))).size(), 0);
  for (const char* address :
       {"\x00\x01\x02\x03", "\xE0\x01\x02\x03", "\xFF\xFF\xFF\xFF", "\x0a\x01"}) {
    const size_t size = strcmp(address, "\x0a\x01") == 0 ? 2 : 4;
    CHECK_NUMBER(read(packet(recorder("R", "h.local", 1, std::string(address, size)))).size(), 0);
  }
  std::string question = packet(recorder("R", "h.local", 1, kAddress));
  question[2] = 0;
  CHECK_NUMBER(read(question).size(), 0);
}

TEST(mdns, survives_every_cut_and_any_byte_in_any_place) {
  const std::string whole = packet(recorder("Pi Camera Server", "roost-pi.local", 3443, kAddress));
  for (size_t size = 0; size < whole.size(); ++size) read(whole.substr(0, size));
  for (size_t at = 0; at < whole.size(); ++at) {
    for (int byte = 0; byte < 256; byte += 3) {
      std::string broken = whole;
      broken[at] = static_cast<char>(byte);
      read(broken);
    }
  }
}

TEST(mdns, ends_with_names_that_point_at_themselves) {
  std::string bytes =
      number(0) + number(0x8400) + number(0) + number(0xFFFF) + number(0) + number(0);
  bytes += std::string("\xC0\x0C", 2);
  for (int i = 0; i < 500; ++i) bytes += std::string("\xC0\x0C", 2);
  CHECK_NUMBER(read(bytes).size(), 0);
}

TEST(mdns, gives_every_one_of_a_thousand_answers_its_chance) {
  int hits = 0;
  uint32_t chance = 1;
  for (int round = 0; round < 400; ++round) {
    Candidates found;
    for (int i = 0; i < 100; ++i) {
      Endpoint endpoint;
      snprintf(endpoint.host, sizeof endpoint.host, "10.0.1.%d", i);
      endpoint.port = 1;
      found.offer(endpoint, (chance = chance * 1664525 + 1013904223) >> 8);
    }
    CHECK_NUMBER(found.size(), Candidates::kCapacity);
    for (size_t i = 0; i < found.size(); ++i) hits += strcmp(found[i].host, "10.0.1.0") == 0;
  }
  CHECK(hits > 10 && hits < 70);  // 32 of 400 are to be expected
}
