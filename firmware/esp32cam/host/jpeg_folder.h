// A camera that shows the JPEGs of a folder, in the order of their names and again from the first.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "../core/hardware.h"

namespace roost::host {

// A folder below it that is called like a resolution holds the pictures of that resolution.
// The file `taken` gets a line for each: its number, counted from 0, and the time in epoch ms.
class JpegFolder final : public Camera {
 public:
  JpegFolder(Console& console, Storage& state, std::string folder, const std::string& taken);
  ~JpegFolder();
  JpegFolder(const JpegFolder&) = delete;
  JpegFolder& operator=(const JpegFolder&) = delete;
  bool begin(const PictureSettings& settings) override { return apply(settings); }
  bool apply(const PictureSettings& settings) override;
  bool take(Picture* into) override;
  void give_back(Picture&) override {}
  FrameSize largest() override { return FrameSize::UXGA; }
  void keep_place();  // over sleep, so that no picture is shown twice
  uint32_t place() const { return next_; }

 private:
  Console& console_;
  Storage& state_;
  std::string folder_;
  FILE* taken_ = nullptr;
  std::vector<std::string> names_;
  std::vector<uint8_t> picture_;
  uint32_t next_ = 0;
};

}  // namespace roost::host
