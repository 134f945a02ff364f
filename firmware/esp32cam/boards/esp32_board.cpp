#include "esp32_board.h"

#include <Arduino.h>
#include <WiFi.h>
#include <driver/rtc_io.h>
#include <esp_sleep.h>
#include <esp_system.h>
#include <esp_task_wdt.h>
#include <esp_timer.h>
#include <mdns.h>
#include <sys/time.h>

#include "pins_ai_thinker.h"

namespace roost::esp32 {
namespace {

constexpr int64_t kEarliestUnix = 1767225600;  // 2026: before that nobody has set the clock
constexpr uint32_t kWatchdogSeconds = 60;
constexpr uint32_t kPirSettlesMs = 5'000;
constexpr uint64_t kStuckPirUs = 60'000'000;  // look again when it was stuck
constexpr size_t kSleepBytes = 64;

// Survives deep sleep; noise after a power cut, which the core's own mark tells.
RTC_NOINIT_ATTR uint8_t g_sleep_memory[kSleepBytes];

BootReason reason_of_reset(esp_reset_reason_t reset) {
  switch (reset) {
    case ESP_RST_POWERON: return BootReason::power_on;
    case ESP_RST_SW: return BootReason::software;
    case ESP_RST_PANIC: return BootReason::panic;
    case ESP_RST_INT_WDT:
    case ESP_RST_TASK_WDT:
    case ESP_RST_WDT: return BootReason::watchdog;
    case ESP_RST_BROWNOUT: return BootReason::brownout;
    default: return BootReason::other;
  }
}

gpio_num_t pir() { return static_cast<gpio_num_t>(pins::kPir); }

}  // namespace

uint64_t Esp32Clock::now_ms() { return static_cast<uint64_t>(esp_timer_get_time()) / 1000; }
void Esp32Clock::pause_ms(uint32_t duration_ms) { delay(duration_ms); }
uint32_t Esp32Clock::random() { return esp_random(); }

int64_t Esp32Clock::wall_s() {
  const int64_t now = time(nullptr);
  return now < kEarliestUnix ? 0 : now;
}

void Esp32Clock::set_wall_s(int64_t unix_s) {
  timeval now = {};
  now.tv_sec = static_cast<time_t>(unix_s);
  settimeofday(&now, nullptr);
}

int NvsStorage::load(const char* name, void* into, size_t capacity) {
  if (!preferences_.isKey(name)) return -1;
  const size_t size = preferences_.getBytesLength(name);
  if (size > capacity) return -1;
  return static_cast<int>(preferences_.getBytes(name, into, size));
}

bool NvsStorage::save(const char* name, const void* from, size_t size) {
  return preferences_.putBytes(name, from, size) == size;
}

bool NvsStorage::recall(void* into, size_t size) {
  if (size > kSleepBytes) return false;
  memcpy(into, g_sleep_memory, size);
  return true;
}

void NvsStorage::remember(const void* from, size_t size) {
  if (size <= kSleepBytes) memcpy(g_sleep_memory, from, size);
}

void Esp32Wifi::begin(const char* ssid, const char* password) {
  WiFi.persistent(false);  // the password is in our storage already
  WiFi.mode(WIFI_STA);
  WiFi.setSleep(false);  // the radio's naps cost up to 300 ms a picture
  WiFi.begin(ssid, password[0] == '\0' ? nullptr : password);
}

WifiState Esp32Wifi::state() {
  switch (WiFi.status()) {
    case WL_CONNECTED: return WifiState::connected;
    case WL_CONNECT_FAILED: return WifiState::failed;
    default:
      return WifiState::connecting;  // "no such network" too: an access point may be starting
  }
}

int Esp32Wifi::rssi_dbm() { return WiFi.RSSI(); }
void Esp32Wifi::stop() { WiFi.disconnect(true); }

void Esp32Discovery::browse(Candidates& found, uint32_t limit_ms) {
  is_ready_ = is_ready_ || mdns_init() == ESP_OK;
  mdns_result_t* results = nullptr;
  if (!is_ready_ || mdns_query_ptr("_mycam-server", "_tcp", limit_ms, 20, &results) != ESP_OK)
    return;
  for (const mdns_result_t* result = results; result != nullptr; result = result->next) {
    for (const mdns_ip_addr_t* address = result->addr; address != nullptr;
         address = address->next) {
      if (address->addr.type != ESP_IPADDR_TYPE_V4) continue;
      Endpoint endpoint;
      endpoint.port = result->port;
      const auto* b = reinterpret_cast<const uint8_t*>(&address->addr.u_addr.ip4.addr);
      snprintf(endpoint.host, sizeof endpoint.host, "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
      found.offer(endpoint, clock_.random());
      break;
    }
  }
  mdns_query_results_free(results);
}

void Esp32Board::begin() {
  switch (esp_sleep_get_wakeup_cause()) {
    case ESP_SLEEP_WAKEUP_EXT0: reason_ = BootReason::motion; break;
    case ESP_SLEEP_WAKEUP_TIMER: reason_ = BootReason::timer; break;
    default: reason_ = reason_of_reset(esp_reset_reason());
  }
  rtc_gpio_deinit(pir());  // sleep had made it the RTC's
  pinMode(pins::kPir, INPUT_PULLDOWN);
  esp_task_wdt_init(kWatchdogSeconds, true);
  esp_task_wdt_add(nullptr);
}

Mac Esp32Board::mac() {
  Mac mac;
  esp_read_mac(mac.bytes, ESP_MAC_WIFI_STA);
  return mac;
}

bool Esp32Board::has_motion() { return digitalRead(pins::kPir) == HIGH; }

void Esp32Board::sleep_until_motion() {
  const uint32_t began_ms = millis();
  while (has_motion() && millis() - began_ms < kPirSettlesMs) delay(50);
  rtc_gpio_pullup_dis(pir());
  rtc_gpio_pulldown_en(pir());
  if (has_motion()) {
    // Its level would end sleep at once, over and over, until the battery is empty.
    esp_sleep_enable_timer_wakeup(kStuckPirUs);
  } else {
    esp_sleep_enable_ext0_wakeup(pir(), 1);
  }
  pinMode(pins::kFlashLed, OUTPUT);
  digitalWrite(pins::kFlashLed, LOW);
  rtc_gpio_hold_en(static_cast<gpio_num_t>(pins::kFlashLed));
  Serial.flush();
  esp_deep_sleep_start();
}

void Esp32Board::reboot() {
  Serial.flush();
  esp_restart();
}

void Esp32Board::feed_watchdog() { esp_task_wdt_reset(); }
uint32_t Esp32Board::free_heap_bytes() { return esp_get_free_heap_size(); }
int Esp32Board::chip_temperature_c() { return static_cast<int>(temperatureRead()); }

int SerialConsole::read() { return Serial.read(); }
void SerialConsole::write_line(const char* text) { Serial.println(text); }

}  // namespace roost::esp32
