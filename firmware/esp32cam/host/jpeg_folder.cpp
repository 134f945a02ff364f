#include "jpeg_folder.h"

#include <algorithm>
#include <chrono>
#include <filesystem>

namespace roost::host {

namespace files = std::filesystem;

JpegFolder::JpegFolder(Console& console, Storage& state, std::string folder,
                       const std::string& taken)
    : console_(console), state_(state), folder_(std::move(folder)) {
  if (!taken.empty()) taken_ = fopen(taken.c_str(), "ae");
  if (state_.load("place.bin", &next_, sizeof next_) != sizeof next_) next_ = 0;
}

JpegFolder::~JpegFolder() {
  if (taken_ != nullptr) fclose(taken_);
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
  if (taken_ != nullptr) {
    // Not the camera's own clock: this is what its recordings are compared with.
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto now_ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
    fprintf(taken_, "%u %lld\n", next_, static_cast<long long>(now_ms));
  }
  ++next_;
  *into = {picture_.data(), picture_.size(), nullptr};
  return true;
}

}  // namespace roost::host
