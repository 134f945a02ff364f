// The AI-Thinker ESP32-CAM. Another board is another file like this one.
#pragma once

namespace roost::pins {

constexpr char kBoard[] = "ai-thinker";  // what an image has to be for

// The sensor's, fixed by the board's traces.
constexpr int kPowerDown = 32, kReset = -1, kXclk = 0, kSda = 26, kScl = 27;
constexpr int kData[8] = {5, 18, 19, 21, 36, 39, 34, 35};  // D0 to D7
constexpr int kVsync = 25, kHref = 23, kPclk = 22;

// Ours. GPIO 13 is an RTC pin, which alone can end deep sleep; the SD slot must be empty.
constexpr int kPir = 13;
constexpr int kFlashLed = 4;  // would glow from a floating pin while the chip sleeps
constexpr int kBattery = -1;  // no free pin of ADC1, and ADC2 is Wi-Fi's

}  // namespace roost::pins
