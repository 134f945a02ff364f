// What a recorder can set on a camera: the six values of `config_update`, and their limits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace roost {

enum class FrameSize : uint8_t { QQVGA, QCIF, HQVGA, QVGA, CIF, VGA, SVGA, XGA, SXGA, UXGA };

struct FrameSizeFacts {
  FrameSize size;
  const char* name;
  uint16_t width, height;  // pixels
};

constexpr size_t kFrameSizes = 10;
const FrameSizeFacts& facts_of(FrameSize size);
// Null for a name that is none.
const FrameSizeFacts* find_frame_size(const char* name);

struct PictureSettings {
  FrameSize size = FrameSize::SVGA;
  uint8_t framerate = 10;  // 1 to 30 pictures a second
  uint8_t quality = 12;    // quantiser scale, 4 (best) to 63; below, a picture outgrows its buffer
  int8_t brightness = 0;   // these three: -2 to 2
  int8_t contrast = 0;
  int8_t saturation = 0;

  bool operator==(const PictureSettings& other) const;
  bool operator!=(const PictureSettings& other) const { return !(*this == other); }
};

// False, and nothing changed, for a name that is none of the five numbers or a value outside.
bool set_number(PictureSettings* settings, const char* name, int64_t value);

// For storage: a version, then the six values.
constexpr size_t kPackedPictureSettings = 7;
void pack(const PictureSettings& settings, uint8_t* into);
bool unpack(const uint8_t* from, size_t size, PictureSettings* into);

}  // namespace roost
