// The firmware on an ESP32: the core's state machine, stepped by Arduino's loop.
#include <Arduino.h>

#include "../core/machine.h"
#include "esp32_access_point.h"
#include "esp32_board.h"
#include "esp32_camera.h"
#include "esp32_slots.h"
#include "mbedtls_crypto.h"
#include "mbedtls_socket.h"

namespace {

using namespace roost;

// Static, not on the stack of Arduino's loop, which has 8 KB.
esp32::Esp32Clock g_clock;
esp32::NvsStorage g_storage;
esp32::Esp32Wifi g_wifi;
esp32::Esp32Discovery g_discovery(g_clock);
esp32::MbedtlsSocket g_tls(g_clock);
esp32::Esp32Camera g_camera;
esp32::Esp32Board g_board;
esp32::SerialConsole g_console;
esp32::Esp32Slots g_slots;
esp32::MbedtlsCrypto g_crypto;
esp32::Esp32AccessPoint g_access_point;
Machine g_machine({g_clock, g_storage, g_wifi, g_discovery, g_tls, g_camera, g_board, g_console,
                   g_slots, g_crypto, g_access_point},
                  Timing());

}  // namespace

// The Arduino core would keep a new program before it did anything; the core's trial decides. It
// looks for this name as C.
extern "C" bool verifyRollbackLater() { return true; }

// mbedTLS's handshake alone takes 6 KB of it.
SET_LOOP_TASK_STACK_SIZE(16 * 1024);

void setup() {
  Serial.begin(115200);
  g_board.begin();
  g_storage.begin();
  if (!g_tls.begin())
    g_console.write_line("no random numbers for TLS: there will be no connection");
}

void loop() { g_machine.step(); }
