#include "esp32_camera.h"

#include <Arduino.h>
#include <esp_camera.h>

#include "pins_ai_thinker.h"

namespace roost::esp32 {
namespace {

framesize_t driver_size(FrameSize size) {
  switch (size) {
    case FrameSize::QQVGA: return FRAMESIZE_QQVGA;
    case FrameSize::QCIF: return FRAMESIZE_QCIF;
    case FrameSize::HQVGA: return FRAMESIZE_HQVGA;
    case FrameSize::QVGA: return FRAMESIZE_QVGA;
    case FrameSize::CIF: return FRAMESIZE_CIF;
    case FrameSize::VGA: return FRAMESIZE_VGA;
    case FrameSize::SVGA: return FRAMESIZE_SVGA;
    case FrameSize::XGA: return FRAMESIZE_XGA;
    case FrameSize::SXGA: return FRAMESIZE_SXGA;
    case FrameSize::UXGA: break;
  }
  return FRAMESIZE_UXGA;
}

camera_config_t wiring() {
  camera_config_t config = {};
  config.pin_pwdn = pins::kPowerDown;
  config.pin_reset = pins::kReset;
  config.pin_xclk = pins::kXclk;
  config.pin_sccb_sda = pins::kSda;
  config.pin_sccb_scl = pins::kScl;
  config.pin_d0 = pins::kData[0];
  config.pin_d1 = pins::kData[1];
  config.pin_d2 = pins::kData[2];
  config.pin_d3 = pins::kData[3];
  config.pin_d4 = pins::kData[4];
  config.pin_d5 = pins::kData[5];
  config.pin_d6 = pins::kData[6];
  config.pin_d7 = pins::kData[7];
  config.pin_vsync = pins::kVsync;
  config.pin_href = pins::kHref;
  config.pin_pclk = pins::kPclk;
  config.xclk_freq_hz = 20000000;
  config.ledc_timer = LEDC_TIMER_0;
  config.ledc_channel = LEDC_CHANNEL_0;
  config.pixel_format = PIXFORMAT_JPEG;
  return config;
}

}  // namespace

FrameSize Esp32Camera::largest() { return psramFound() ? FrameSize::UXGA : FrameSize::VGA; }

bool Esp32Camera::begin(const PictureSettings& settings) {
  if (is_begun_) esp_camera_deinit();
  camera_config_t config = wiring();
  // Buffers are made once, for the largest size: a later change of size then needs no new start.
  config.frame_size = driver_size(largest());
  config.jpeg_quality = 10;
  config.fb_count = psramFound() ? 2 : 1;
  config.fb_location = psramFound() ? CAMERA_FB_IN_PSRAM : CAMERA_FB_IN_DRAM;
  config.grab_mode = psramFound() ? CAMERA_GRAB_LATEST : CAMERA_GRAB_WHEN_EMPTY;
  is_begun_ = esp_camera_init(&config) == ESP_OK;
  return is_begun_ && apply(settings);
}

bool Esp32Camera::apply(const PictureSettings& settings) {
  sensor_t* sensor = is_begun_ ? esp_camera_sensor_get() : nullptr;
  if (sensor == nullptr) return false;
  // Each returns 0 when the sensor took it. All are tried: one that fails must not hide the others.
  int failed = sensor->set_framesize(sensor, driver_size(settings.size));
  failed |= sensor->set_quality(sensor, settings.quality);
  failed |= sensor->set_brightness(sensor, settings.brightness);
  failed |= sensor->set_contrast(sensor, settings.contrast);
  failed |= sensor->set_saturation(sensor, settings.saturation);
  return failed == 0;
}

bool Esp32Camera::take(Picture* into) {
  camera_fb_t* frame = is_begun_ ? esp_camera_fb_get() : nullptr;
  if (frame == nullptr) return false;
  *into = {frame->buf, frame->len, frame};
  return true;
}

void Esp32Camera::give_back(Picture& picture) {
  esp_camera_fb_return(static_cast<camera_fb_t*>(picture.owner));
  picture = Picture();
}

}  // namespace roost::esp32
