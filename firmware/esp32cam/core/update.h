// A new program from the recorder into the other slot: read in pieces, verified before the first
// byte is written, hashed on the way.
#pragma once

#include <cstdint>

#include "hardware.h"
#include "recorder.h"
#include "settings.h"
#include "sha256.h"
#include "trial.h"
#include "update_image.h"

namespace roost {

struct UpdatePace {
  uint32_t download_ms = 300'000;  // the recorder hears nothing of the camera meanwhile
  uint32_t stall_ms = 10'000;      // without a byte
};

class Update {
 public:
  Update(const Hardware& hardware, Recorder& recorder, Settings& settings, Trial& trial,
         const UpdatePace& pace)
      : hardware_(hardware),
        recorder_(recorder),
        settings_(settings),
        trial_(trial),
        pace_(pace) {}

  // Why this is not even worth a download; null when it is.
  const char* objection_to(const UpdateOrder& order) const;
  void begin(const UpdateOrder& order);
  // A piece of the work. False once it is over; `report` then says how it ended.
  bool step(const Endpoint& at, UpdateReport* report);
  void cancel();

 private:
  enum class Part : uint8_t { idle, request, head, image };

  // All of these: why it cannot be, null when all is well.
  const char* request(const Endpoint& at);
  const char* read_some();
  const char* take(const uint8_t* bytes, size_t size);
  const char* check_head();
  const char* install();

  const Hardware& hardware_;
  Recorder& recorder_;
  Settings& settings_;
  Trial& trial_;
  UpdatePace pace_;
  UpdateOrder order_;
  Part part_ = Part::idle;
  bool is_over_ = false;
  bool is_slot_open_ = false;
  uint64_t began_ms_ = 0;
  uint64_t heard_ms_ = 0;
  size_t left_ = 0;  // of the file
  size_t head_size_ = 0;
  uint8_t head_[kImageHeadBytes];
  ImageHead image_;
  Sha256 hash_;
  uint8_t piece_[1024];
};

}  // namespace roost
