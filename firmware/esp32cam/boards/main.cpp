// The firmware on an ESP32: the core's state machine, stepped by Arduino's loop.
#include <Arduino.h>

#include "../core/machine.h"
#include "esp32_board.h"
#include "esp32_camera.h"
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
Machine g_machine({g_clock, g_storage, g_wifi, g_discovery, g_tls, g_camera, g_board, g_console},
                  Timing());

}  // namespace

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
