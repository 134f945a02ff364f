#include "picture_settings.h"

#include <cstring>

namespace roost {
namespace {

constexpr FrameSizeFacts kFacts[kFrameSizes] = {
    {FrameSize::QQVGA, "QQVGA", 160, 120}, {FrameSize::QCIF, "QCIF", 176, 144},
    {FrameSize::HQVGA, "HQVGA", 240, 176}, {FrameSize::QVGA, "QVGA", 320, 240},
    {FrameSize::CIF, "CIF", 400, 296},     {FrameSize::VGA, "VGA", 640, 480},
    {FrameSize::SVGA, "SVGA", 800, 600},   {FrameSize::XGA, "XGA", 1024, 768},
    {FrameSize::SXGA, "SXGA", 1280, 1024}, {FrameSize::UXGA, "UXGA", 1600, 1200},
};
constexpr uint8_t kVersion = 1;

}  // namespace

const FrameSizeFacts& facts_of(FrameSize size) { return kFacts[static_cast<size_t>(size)]; }

const FrameSizeFacts* find_frame_size(const char* name) {
  for (const FrameSizeFacts& facts : kFacts) {
    if (strcmp(facts.name, name) == 0) return &facts;
  }
  return nullptr;
}

bool PictureSettings::operator==(const PictureSettings& other) const {
  return size == other.size && framerate == other.framerate && quality == other.quality &&
         brightness == other.brightness && contrast == other.contrast &&
         saturation == other.saturation;
}

bool set_number(PictureSettings* settings, const char* name, int64_t value) {
  const auto is_within = [value](int64_t low, int64_t high) {
    return low <= value && value <= high;
  };
  if (strcmp(name, "framerate") == 0) {
    if (!is_within(1, 30)) return false;
    settings->framerate = static_cast<uint8_t>(value);
    return true;
  }
  if (strcmp(name, "quality") == 0) {
    if (!is_within(4, 63)) return false;
    settings->quality = static_cast<uint8_t>(value);
    return true;
  }
  int8_t* tone = strcmp(name, "brightness") == 0   ? &settings->brightness
                 : strcmp(name, "contrast") == 0   ? &settings->contrast
                 : strcmp(name, "saturation") == 0 ? &settings->saturation
                                                   : nullptr;
  if (tone == nullptr || !is_within(-2, 2)) return false;
  *tone = static_cast<int8_t>(value);
  return true;
}

void pack(const PictureSettings& settings, uint8_t* into) {
  into[0] = kVersion;
  into[1] = static_cast<uint8_t>(settings.size);
  into[2] = settings.framerate;
  into[3] = settings.quality;
  into[4] = static_cast<uint8_t>(settings.brightness);
  into[5] = static_cast<uint8_t>(settings.contrast);
  into[6] = static_cast<uint8_t>(settings.saturation);
}

bool unpack(const uint8_t* from, size_t size, PictureSettings* into) {
  if (size != kPackedPictureSettings || from[0] != kVersion || from[1] >= kFrameSizes) return false;
  PictureSettings read;
  read.size = static_cast<FrameSize>(from[1]);
  const bool is_good = set_number(&read, "framerate", from[2]) &&
                       set_number(&read, "quality", from[3]) &&
                       set_number(&read, "brightness", static_cast<int8_t>(from[4])) &&
                       set_number(&read, "contrast", static_cast<int8_t>(from[5])) &&
                       set_number(&read, "saturation", static_cast<int8_t>(from[6]));
  if (is_good) *into = read;
  return is_good;
}

}  // namespace roost
