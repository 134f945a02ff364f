// All that the firmware asks of the machine it runs on. A board implements these classes and
// nothing else; `host/` does it for POSIX and the tests with a script.
//
// One task calls everything. Nothing here throws, and no call lasts longer than it was given.
#pragma once

#include <cstddef>
#include <cstdint>

#include "candidates.h"
#include "picture_settings.h"

namespace roost {

// Why this life of the program began.
enum class BootReason : uint8_t {
  power_on,
  motion,    // the PIR ended deep sleep
  timer,     // a clock ended deep sleep: the PIR was stuck when it began
  software,  // a reboot that we asked for
  panic,
  watchdog,
  brownout,
  other,
};

const char* name_of(BootReason reason);

class Clock {
 public:
  virtual uint64_t now_ms() = 0;  // monotonic, never steps
  virtual void pause_ms(uint32_t duration_ms) = 0;
  virtual uint32_t random() = 0;  // unpredictable: masks and nonces come from it
  virtual int64_t wall_s() = 0;   // Unix seconds; 0 while nobody has set the clock
  virtual void set_wall_s(int64_t unix_s) = 0;

 protected:
  ~Clock() = default;
};

class Storage {
 public:
  // Entries that survive power cuts. Names have at most 15 characters (a rule of ESP32's NVS).
  // Bytes read, or -1 for an entry that is not there or does not fit.
  virtual int load(const char* name, void* into, size_t capacity) = 0;
  // False when the flash is full or worn out; the old entry is then still whole.
  virtual bool save(const char* name, const void* from, size_t size) = 0;
  virtual void erase(const char* name) = 0;

  // One small block that survives deep sleep and may be lost with the power. False: nothing there.
  virtual bool recall(void* into, size_t size) = 0;
  virtual void remember(const void* from, size_t size) = 0;

 protected:
  ~Storage() = default;
};

enum class WifiState : uint8_t { connecting, connected, failed };

class Wifi {
 public:
  virtual void begin(const char* ssid, const char* password) = 0;  // "" is an open network
  virtual WifiState state() = 0;
  virtual int rssi_dbm() = 0;
  virtual void stop() = 0;

 protected:
  ~Wifi() = default;
};

class Discovery {
 public:
  // Asks for `_mycam-server._tcp.local` and offers whoever answers within the time. Any machine of
  // the network may answer: only TLS says who is the recorder.
  virtual void browse(Candidates& found, uint32_t limit_ms) = 0;

 protected:
  ~Discovery() = default;
};

enum class TlsResult : uint8_t {
  ok,
  unreachable,
  untrusted,    // not signed by a trusted authority
  wrong_name,   // good, but for another host
  out_of_date,  // expired or not yet valid, where the clock is set
  failed,       // the handshake broke off
};

class TlsSocket {
 public:
  // `trusted_pem` holds one or two certificates; the peer has to be signed by one of them, and to
  // be called `to.host`. There is no way to connect without. At least TLS 1.2.
  virtual TlsResult connect(const Endpoint& to, const char* trusted_pem, uint32_t limit_ms) = 0;
  // Bytes read, 0 for none yet, -1 when the connection is over. Never waits.
  virtual int read(void* into, size_t capacity) = 0;
  // Bytes taken, 0 for none now, -1 when the connection is over.
  virtual int write(const void* from, size_t size) = 0;
  virtual void close() = 0;

 protected:
  ~TlsSocket() = default;
};

// One JPEG, owned by the camera until it is given back.
struct Picture {
  const uint8_t* data = nullptr;
  size_t size = 0;
  void* owner = nullptr;
};

class Camera {
 public:
  // Also called again when the sensor went silent. False: there is no camera.
  virtual bool begin(const PictureSettings& settings) = 0;
  virtual bool apply(const PictureSettings& settings) = 0;
  virtual bool take(Picture* into) = 0;
  virtual void give_back(Picture& picture) = 0;
  virtual FrameSize largest() = 0;  // without PSRAM there is no room for the big ones

 protected:
  ~Camera() = default;
};

struct Mac {
  uint8_t bytes[6];
};

class Board {
 public:
  static constexpr int kUnknown = -1000;

  virtual BootReason boot_reason() = 0;
  virtual Mac mac() = 0;
  virtual bool has_motion() = 0;          // since it was asked last, or right now
  virtual void sleep_until_motion() = 0;  // on a board this does not return; nor does the next
  virtual void reboot() = 0;
  virtual void feed_watchdog() = 0;  // it bites after a minute
  virtual uint32_t free_heap_bytes() = 0;
  virtual int chip_temperature_c() = 0;  // kUnknown where there is no sensor
  virtual int battery_mv() = 0;          // kUnknown where nothing measures it

 protected:
  ~Board() = default;
};

class Console {
 public:
  virtual int read() = 0;  // the next character somebody typed, -1 for none
  virtual void write_line(const char* text) = 0;

 protected:
  ~Console() = default;
};

// The two places for a program. The one that runs is never written to.
class Slots {
 public:
  virtual const char* board() = 0;  // what an image has to be for
  virtual size_t capacity() = 0;    // of the other slot, in bytes
  // Empties the other slot; a write that fails or a power cut leaves the running program as it is.
  virtual bool begin(size_t image_bytes) = 0;
  virtual bool write(const void* from, size_t size) = 0;
  virtual void abort() = 0;
  // The other slot is whole: it runs from the next restart on, on trial. A restart before `keep`
  // brings this program back.
  virtual bool activate() = 0;
  virtual void keep() = 0;       // the running program is for good; writes only what is new
  virtual bool roll_back() = 0;  // the other one runs after a reboot; false: there is none

 protected:
  ~Slots() = default;
};

// Of the TLS library, which has to know all this anyway.
class Crypto {
 public:
  // One certificate that TLS could trust.
  virtual bool is_certificate(const char* pem) = 0;
  // A DER SubjectPublicKeyInfo with a point of the curve P-256.
  virtual bool is_public_key(const uint8_t* der, size_t size) = 0;
  // ECDSA in DER over a SHA-256 digest.
  virtual bool is_signed(const uint8_t* key_der, size_t key_size, const uint8_t digest[32],
                         const uint8_t* signature, size_t signature_size) = 0;

 protected:
  ~Crypto() = default;
};

struct Network {
  char ssid[33];
  int rssi_dbm;
};

// The camera's own open network, for its set-up.
class AccessPoint {
 public:
  static constexpr int kClients = 4;

  // Also listens for DNS and HTTP. False: this machine cannot.
  virtual bool begin(const char* ssid) = 0;
  virtual void end() = 0;
  virtual const uint8_t* address() = 0;  // 4 bytes
  virtual const char* url() = 0;         // "http://192.168.4.1/"
  // What was heard before `begin`, the loudest first.
  virtual size_t networks(Network* into, size_t capacity) = 0;

  // One datagram, 0 for none; and the answer to whoever sent that one.
  virtual int receive_question(uint8_t* into, size_t capacity) = 0;
  virtual void answer(const uint8_t* from, size_t size) = 0;

  // Puts a waiting client into that free place. False: nobody waits.
  virtual bool accept(int place) = 0;
  virtual int read(int place, void* into, size_t capacity) = 0;  // as TlsSocket's, here and below
  virtual int write(int place, const void* from, size_t size) = 0;
  virtual void hang_up(int place) = 0;

 protected:
  ~AccessPoint() = default;
};

struct Hardware {
  Clock& clock;
  Storage& storage;
  Wifi& wifi;
  Discovery& discovery;
  TlsSocket& tls;
  Camera& camera;
  Board& board;
  Console& console;
  Slots& slots;
  Crypto& crypto;
  AccessPoint& access_point;
};

// One line on the console, cut at 200 characters. Never a password, never a key.
void say(Console& console, const char* format, ...) __attribute__((format(printf, 2, 3)));

}  // namespace roost
