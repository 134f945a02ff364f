#pragma once

#include <cstdint>

typedef enum {
  WL_IDLE_STATUS = 0,
  WL_NO_SSID_AVAIL = 1,
  WL_CONNECTED = 3,
  WL_CONNECT_FAILED = 4,
  WL_CONNECTION_LOST = 5,
  WL_DISCONNECTED = 6
} wl_status_t;
typedef enum { WIFI_MODE_NULL = 0, WIFI_MODE_STA, WIFI_MODE_AP, WIFI_MODE_APSTA } wifi_mode_t;
#define WIFI_STA WIFI_MODE_STA
#define WIFI_AP WIFI_MODE_AP

class String {
 public:
  const char* c_str() const;
};

class WiFiClass {
 public:
  void persistent(bool is_persistent);
  bool mode(wifi_mode_t mode);
  bool setSleep(bool is_enabled);
  wl_status_t begin(const char* ssid, const char* passphrase = nullptr, int32_t channel = 0,
                    const uint8_t* bssid = nullptr, bool connect = true);
  wl_status_t status();
  int8_t RSSI();
  int16_t scanNetworks(bool async = false, bool show_hidden = false, bool passive = false,
                       uint32_t max_ms_per_chan = 300);
  String SSID(uint8_t networkItem);
  int32_t RSSI(uint8_t networkItem);
  void scanDelete();
  bool softAP(const char* ssid, const char* passphrase = nullptr, int channel = 1,
              int ssid_hidden = 0, int max_connection = 4);
  bool softAPdisconnect(bool wifioff = false);
  bool disconnect(bool wifioff = false, bool eraseap = false);
};
extern WiFiClass WiFi;
