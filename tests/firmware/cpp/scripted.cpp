#include "scripted.h"

#include "../../../firmware/esp32cam/core/digest.h"
#include "check.h"

namespace scripted {

int Storage::load(const char* name, void* into, size_t capacity) {
  const auto found = entries.find(name);
  if (found == entries.end() || found->second.size() > capacity) return -1;
  memcpy(into, found->second.data(), found->second.size());
  return static_cast<int>(found->second.size());
}

bool Storage::save(const char* name, const void* from, size_t size) {
  CHECK(strlen(name) <= 15);
  if (is_full) return false;
  ++saves;
  entries[name] = std::string(static_cast<const char*>(from), size);
  return true;
}

bool Storage::recall(void* into, size_t size) {
  if (sleeping.size() != size) return false;
  memcpy(into, sleeping.data(), size);
  return true;
}

void Storage::remember(const void* from, size_t size) {
  sleeping = std::string(static_cast<const char*>(from), size);
}

void Discovery::browse(Candidates& found, uint32_t limit_ms) {
  ++asked;
  clock->time_ms += limit_ms;
  for (const Endpoint& endpoint : answers) found.offer(endpoint, clock->random());
}

TlsResult Peer::connect(const Endpoint& to, const char* trusted_pem, uint32_t) {
  CHECK(strstr(trusted_pem, "BEGIN CERTIFICATE") != nullptr);
  ++connects;
  const TlsResult result = on_connect ? on_connect(to) : TlsResult::ok;
  is_open = result == TlsResult::ok;
  is_upgraded = is_cut = is_deaf = false;
  incoming.clear();
  outgoing.clear();
  return result;
}

int Peer::read(void* into, size_t capacity) {
  if (!is_open || is_cut) return -1;
  if (hangs_up && !is_upgraded && outgoing.empty()) return -1;
  const size_t size = outgoing.size() < capacity ? outgoing.size() : capacity;
  memcpy(into, outgoing.data(), size);
  outgoing.erase(0, size);
  return static_cast<int>(size);
}

int Peer::write(const void* from, size_t size) {
  if (!is_open || is_cut) return -1;
  if (is_deaf) return 0;
  const size_t taken = size < 1000 ? size : 1000;  // a socket rarely takes all
  incoming.append(static_cast<const char*>(from), taken);
  if (is_upgraded) {
    take_frames();
  } else {
    take_request();
  }
  return static_cast<int>(taken);
}

void Peer::close() { is_open = false; }

void Peer::take_request() {
  const size_t end = incoming.find("\r\n\r\n");
  if (end == std::string::npos) return;
  const std::string head = incoming.substr(0, end);
  if (head.compare(0, 5, "POST ") == 0) {
    if (incoming.back() != '}') return;
    requests.push_back(incoming);
    if (!is_silent) outgoing += registration;
    return;
  }
  requests.push_back(head);
  incoming.clear();
  if (is_silent) return;
  if (head.compare(0, 8, "GET /ws ") != 0) {
    outgoing += download;
    return;
  }
  if (upgrade_status != 101) {
    outgoing += "HTTP/1.1 " + std::to_string(upgrade_status) + " No\r\nContent-Length: 0\r\n\r\n";
    return;
  }
  const size_t at = head.find("Sec-WebSocket-Key: ") + 19;
  const std::string joined = head.substr(at, 24) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  uint8_t digest[20];
  char accept[32];
  sha1(joined.data(), joined.size(), digest);
  base64(digest, sizeof digest, accept, sizeof accept);
  outgoing +=
      std::string(
          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n") +
      "Sec-WebSocket-Accept: " + accept + "\r\n\r\n" + first_words;
  is_upgraded = true;
}

void Peer::take_frames() {
  while (incoming.size() >= 6) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(incoming.data());
    CHECK((bytes[0] & 0x80) != 0 && (bytes[1] & 0x80) != 0);
    size_t size = bytes[1] & 0x7F, at = 2;
    if (size == 126) {
      size = static_cast<size_t>(bytes[2]) << 8 | bytes[3];
      at = 4;
    } else if (size == 127) {
      size = 0;
      for (int i = 2; i < 10; ++i) size = size << 8 | bytes[i];
      at = 10;
    }
    if (incoming.size() < at + 4 + size) return;
    std::string payload = incoming.substr(at + 4, size);
    uint32_t mask;
    memcpy(&mask, bytes + at, 4);
    for (size_t i = 0; i < size; ++i)
      payload[i] = static_cast<char>(payload[i] ^ bytes[at + i % 4]);
    masks.push_back(mask);
    messages.emplace_back(bytes[0] & 0x0F, payload);
    incoming.erase(0, at + 4 + size);
    if (is_silent) continue;
    if (messages.back().first == 8) say_raw(std::string("\x88\x00", 2));
    if (messages.back().first == 9) say_raw(std::string("\x8A\x05", 2) + messages.back().second);
  }
}

void Peer::say(const std::string& text) {
  CHECK(text.size() < 126);
  say_raw(std::string("\x81") + static_cast<char>(text.size()) + text);
}

int Peer::count(int opcode, const std::string& part) const {
  int found = 0;
  for (const auto& message : messages) {
    found += message.first == opcode && message.second.find(part) != std::string::npos;
  }
  return found;
}

bool Camera::begin(const PictureSettings& wanted) {
  ++begun;
  settings = wanted;
  return works;
}

bool Camera::apply(const PictureSettings& wanted) {
  settings = wanted;
  return works;
}

bool Camera::take(Picture* into) {
  clock->time_ms += takes_ms;
  if (!works) return false;
  ++taken;
  ++held;
  CHECK_NUMBER(held, 1);
  into->data = reinterpret_cast<const uint8_t*>(jpeg.data());
  into->size = is_broken ? jpeg.size() - 3 : jpeg.size();
  return true;
}

int Console::read() {
  if (typed.empty()) return -1;
  const int character = static_cast<unsigned char>(typed[0]);
  typed.erase(0, 1);
  return character;
}

bool Slots::begin(size_t image_bytes) {
  ++begun;
  image.clear();
  return is_open = image_bytes <= room;
}

bool Slots::write(const void* from, size_t size) {
  CHECK(is_open);
  if (image.size() + size > bears) return false;
  image.append(static_cast<const char*>(from), size);
  return true;
}

bool AccessPoint::begin(const char* ssid) {
  name = ssid;
  return is_on = works;
}

const uint8_t* AccessPoint::address() {
  static const uint8_t kOwn[] = {192, 168, 4, 1};
  return kOwn;
}

size_t AccessPoint::networks(Network* into, size_t capacity) {
  size_t count = 0;
  for (; count < capacity && count < heard.size(); ++count) {
    copy_text(into[count].ssid, sizeof into[count].ssid, heard[count].c_str());
  }
  return count;
}

int AccessPoint::receive_question(uint8_t* into, size_t capacity) {
  if (questions.empty()) return 0;
  const std::string question = questions.front();
  questions.pop_front();
  const size_t size = question.size() < capacity ? question.size() : capacity;
  memcpy(into, question.data(), size);
  return static_cast<int>(size);
}

void AccessPoint::answer(const uint8_t* from, size_t size) {
  answers.emplace_back(reinterpret_cast<const char*>(from), size);
}

bool AccessPoint::accept(int place) {
  CHECK(is_on && places[place] == nullptr);
  if (waiting.empty()) return false;
  places[place] = waiting.front();
  waiting.pop_front();
  return true;
}

int AccessPoint::read(int place, void* into, size_t capacity) {
  Client& client = *places[place];
  if (client.sends.empty()) return client.is_gone ? -1 : 0;
  const size_t size = client.sends.size() < capacity ? client.sends.size() : capacity;
  memcpy(into, client.sends.data(), size);
  client.sends.erase(0, size);
  return static_cast<int>(size);
}

int AccessPoint::write(int place, const void* from, size_t size) {
  Client& client = *places[place];
  if (client.is_gone) return -1;
  const size_t taken = size < client.at_once ? size : client.at_once;
  client.got.append(static_cast<const char*>(from), taken);
  return static_cast<int>(taken);
}

void AccessPoint::hang_up(int place) {
  CHECK(places[place] != nullptr);
  places[place]->is_hung_up = true;
  places[place] = nullptr;
}

// The generator of P-256: a point of the curve, so that OpenSSL takes it too.
std::string update_key_pem() {
  return "-----BEGIN PUBLIC KEY-----\n"
         "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n"
         "6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n"
         "-----END PUBLIC KEY-----\n";
}

std::string pem_of(size_t der_bytes) {
  std::string der(der_bytes, 'x');
  der[0] = 0x30;
  der[1] = static_cast<char>(0x82);
  der[2] = static_cast<char>((der_bytes - 4) >> 8);
  der[3] = static_cast<char>(der_bytes - 4);
  std::string text(4 * der_bytes / 3 + 8, '\0');
  base64(reinterpret_cast<const uint8_t*>(der.data()), der.size(), text.data(), text.size());
  text.resize(strlen(text.c_str()));
  for (size_t at = 64; at < text.size(); at += 65) text.insert(at, "\n");
  return "-----BEGIN CERTIFICATE-----\n" + text + "\n-----END CERTIFICATE-----\n";
}

std::string registration_reply(const std::string& key) {
  const std::string body =
      "{\"success\":true,\"apiKey\":\"" + key +
      "\",\"config\":{\"resolution\":\"SVGA\",\"framerate\":10,\"quality\":12}}";
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

Bench::Bench() {
  discovery.clock = camera.clock = &clock;
  Endpoint recorder;
  copy_text(recorder.host, sizeof recorder.host, "10.0.0.2");
  recorder.port = 3443;
  discovery.answers = {recorder};
  peer.registration = registration_reply("key-one");
  storage.entries = {
      {"ssid", "home"}, {"password", "password1"}, {"mode", "always"}, {"ca1", pem_of(900)}};
}

Machine& Bench::boot(BootReason reason) {
  board.reason = reason;
  clock.time_ms = 0;
  machine = std::make_unique<Machine>(hardware(), timing);
  return *machine;
}

void Bench::run_until(const std::function<bool()>& is_so, uint64_t limit_ms) {
  const uint64_t deadline_ms = clock.time_ms + limit_ms;
  while (!is_so()) {
    if (clock.time_ms >= deadline_ms) fail(__FILE__, __LINE__, "not in time:\n" + console.shown);
    if (!machine->step()) {
      if (is_so()) return;
      fail(__FILE__, __LINE__, "it ended:\n" + console.shown);
    }
  }
}

void Bench::run_for(uint64_t duration_ms) {
  const uint64_t until_ms = clock.time_ms + duration_ms;
  while (clock.time_ms < until_ms && machine->step()) {
  }
}

}  // namespace scripted
