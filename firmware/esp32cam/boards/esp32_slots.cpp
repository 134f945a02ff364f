#include "esp32_slots.h"

namespace roost::esp32 {

size_t Esp32Slots::capacity() {
  const esp_partition_t* other = esp_ota_get_next_update_partition(nullptr);
  return other == nullptr ? 0 : other->size;
}

bool Esp32Slots::begin(size_t) {
  abort();
  other_ = esp_ota_get_next_update_partition(nullptr);
  // Erased piece by piece as it is written: the whole at once would take longer than a stall may.
  is_open_ = other_ != nullptr &&
             esp_ota_begin(other_, OTA_WITH_SEQUENTIAL_WRITES, &handle_) == ESP_OK;
  return is_open_;
}

bool Esp32Slots::write(const void* from, size_t size) {
  return is_open_ && esp_ota_write(handle_, from, size) == ESP_OK;
}

void Esp32Slots::abort() {
  if (is_open_) esp_ota_abort(handle_);
  is_open_ = false;
}

bool Esp32Slots::activate() {
  if (!is_open_) return false;
  is_open_ = false;
  return esp_ota_end(handle_) == ESP_OK && esp_ota_set_boot_partition(other_) == ESP_OK;
}

void Esp32Slots::keep() {
  esp_ota_img_states_t state;
  const bool is_known =
      esp_ota_get_state_partition(esp_ota_get_running_partition(), &state) == ESP_OK;
  if (is_known && state == ESP_OTA_IMG_PENDING_VERIFY) esp_ota_mark_app_valid_cancel_rollback();
}

bool Esp32Slots::roll_back() {
  // Comes back only where it refuses: of a board flashed once over the serial line it knows nothing
  // of the first slot yet, which is then chosen by hand.
  esp_ota_mark_app_invalid_rollback_and_reboot();
  const esp_partition_t* other = esp_ota_get_next_update_partition(nullptr);
  return other != nullptr && esp_ota_set_boot_partition(other) == ESP_OK;
}

}  // namespace roost::esp32
