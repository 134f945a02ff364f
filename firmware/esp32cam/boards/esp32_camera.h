// The OV2640 through the esp32-camera driver.
#pragma once

#include "../core/hardware.h"

namespace roost::esp32 {

class Esp32Camera final : public Camera {
 public:
  bool begin(const PictureSettings& settings) override;
  bool apply(const PictureSettings& settings) override;
  bool take(Picture* into) override;
  void give_back(Picture& picture) override;
  FrameSize largest() override;

 private:
  bool is_begun_ = false;
};

}  // namespace roost::esp32
