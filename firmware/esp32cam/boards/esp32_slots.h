// The two app partitions, through ESP-IDF's own updates.
#pragma once

#include <esp_ota_ops.h>

#include "../core/hardware.h"
#include "pins_ai_thinker.h"

namespace roost::esp32 {

class Esp32Slots final : public Slots {
 public:
  const char* board() override { return pins::kBoard; }
  size_t capacity() override;
  bool begin(size_t image_bytes) override;
  bool write(const void* from, size_t size) override;
  void abort() override;
  bool activate() override;
  void keep() override;
  bool roll_back() override;

 private:
  const esp_partition_t* other_ = nullptr;
  esp_ota_handle_t handle_ = 0;
  bool is_open_ = false;
};

}  // namespace roost::esp32
