#include "jpeg_folder.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

namespace roost::host {

namespace files = std::filesystem;

JpegFolder::JpegFolder(Console& console, Storage& state, std::string folder)
    : console_(console), state_(state), folder_(std::move(folder)) {
  if (state_.load("place.bin", &next_, sizeof next_) != sizeof next_) next_ = 0;
}

bool JpegFolder::apply(const PictureSettings& settings) {
  const std::string sized = folder_ + "/" + facts_of(settings.size).name;
  std::error_code error;
  const std::string folder = files::is_directory(sized, error) ? sized : folder_;
  names_.clear();
  for (const auto& entry : files::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".jpg") names_.push_back(entry.path());
  }
  std::sort(names_.begin(), names_.end());
  say(console_, "camera: %s quality %d brightness %d contrast %d saturation %d",
      facts_of(settings.size).name, settings.quality, settings.brightness, settings.contrast,
      settings.saturation);
  return !names_.empty();
}

void JpegFolder::keep_place() { state_.save("place.bin", &next_, sizeof next_); }

bool JpegFolder::take(Picture* into) {
  if (names_.empty()) return false;
  FILE* file = fopen(names_[next_ % names_.size()].c_str(), "rb");
  if (file == nullptr) return false;
  picture_.resize(1 << 20);
  picture_.resize(fread(picture_.data(), 1, picture_.size(), file));
  fclose(file);
  ++next_;
  *into = {picture_.data(), picture_.size(), nullptr};
  return true;
}

}  // namespace roost::host
