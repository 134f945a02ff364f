#include "update.h"

#include <cstring>

#include "version.h"

namespace roost {
namespace {

constexpr uint32_t kPollMs = 5;
constexpr int kPiecesAStep = 8;  // then the watchdog is fed and the serial line read

}  // namespace

const char* Update::objection_to(const UpdateOrder& order) const {
  if (trial_.is_on()) return "the last update is still on trial";
  if (!settings_.has_update_key) return "this camera has no update key";
  if (!is_newer(order.version, own_version())) return "it is not newer than what runs";
  if (order.size <= kImageHeadBytes) return "it is too short for an image";
  if (order.size - kImageHeadBytes > hardware_.slots.capacity()) return "it does not fit the slot";
  return nullptr;
}

void Update::begin(const UpdateOrder& order) {
  cancel();
  order_ = order;
  part_ = Part::request;
  is_over_ = false;
  began_ms_ = hardware_.clock.now_ms();
  left_ = order.size;
  head_size_ = 0;
  hash_ = Sha256();
}

void Update::cancel() {
  if (is_slot_open_) hardware_.slots.abort();
  is_slot_open_ = false;
  part_ = Part::idle;
}

bool Update::step(const Endpoint& at, UpdateReport* report) {
  const char* failure = part_ == Part::request ? request(at) : read_some();
  if (failure == nullptr && !is_over_) return true;
  recorder_.close();
  if (failure != nullptr) {
    say(hardware_.console, "update to %s: %s", order_.version, failure);
    cancel();
    report->set("failed", order_.version, failure);
  } else {
    say(hardware_.console, "update to %s: in its slot", order_.version);
    part_ = Part::idle;
    report->set("installed", order_.version, "it starts now");
  }
  return false;
}

const char* Update::request(const Endpoint& at) {
  const Outcome outcome =
      recorder_.fetch(at, settings_.trusted_pem, settings_.key, order_.path, order_.size);
  heard_ms_ = hardware_.clock.now_ms();
  part_ = Part::head;
  switch (outcome) {
    case Outcome::ok: return nullptr;
    case Outcome::unreachable: return "the download did not begin in time";
    case Outcome::untrusted: return "the download's certificate is not the recorder's";
    case Outcome::not_understood: return "the download's head makes no sense or has another length";
    default: return "the recorder refuses the download";
  }
}

const char* Update::read_some() {
  for (int i = 0; i < kPiecesAStep; ++i) {
    const uint64_t now_ms = hardware_.clock.now_ms();
    if (now_ms - began_ms_ >= pace_.download_ms) return "the download takes too long";
    const size_t wanted = left_ < sizeof piece_ ? left_ : sizeof piece_;
    const int size = recorder_.read_body(piece_, wanted);
    if (size < 0) return "the download was cut";
    if (size == 0) {
      if (now_ms - heard_ms_ >= pace_.stall_ms) return "the download stands still";
      hardware_.clock.pause_ms(kPollMs);
      return nullptr;
    }
    heard_ms_ = now_ms;
    left_ -= static_cast<size_t>(size);
    const char* failure = take(piece_, static_cast<size_t>(size));
    if (failure == nullptr && left_ == 0) failure = install();
    if (failure != nullptr || is_over_) return failure;
  }
  return nullptr;
}

const char* Update::take(const uint8_t* bytes, size_t size) {
  if (part_ == Part::head) {
    const size_t missing = sizeof head_ - head_size_;
    const size_t taken = size < missing ? size : missing;
    memcpy(head_ + head_size_, bytes, taken);
    head_size_ += taken;
    bytes += taken;
    size -= taken;
    if (head_size_ < sizeof head_) return nullptr;
    if (const char* failure = check_head()) return failure;
    if (!hardware_.slots.begin(image_.image_bytes)) return "the slot cannot be written";
    is_slot_open_ = true;
    part_ = Part::image;
  }
  if (size == 0) return nullptr;
  hash_.add(bytes, size);
  return hardware_.slots.write(bytes, size) ? nullptr : "the slot is full or worn out";
}

const char* Update::check_head() {
  if (!read_image_head(head_, &image_)) return "it is no image of this firmware";
  uint8_t digest[Sha256::kBytes];
  Sha256::of(head_, kSignedBytes, digest);
  if (!hardware_.crypto.is_signed(settings_.update_key, sizeof settings_.update_key, digest,
                                  image_.signature, image_.signature_bytes)) {
    return "its signature is not by this camera's update key";
  }
  if (strcmp(image_.board, hardware_.slots.board()) != 0) return "it is for another board";
  if (strcmp(image_.version, order_.version) != 0) return "it is another version than announced";
  if (!is_newer(image_.version, own_version())) return "it is not newer than what runs";
  if (image_.image_bytes != order_.size - kImageHeadBytes) return "its size is not what it says";
  return nullptr;
}

const char* Update::install() {
  if (part_ != Part::image) return "it is too short for an image";
  uint8_t digest[Sha256::kBytes];
  hash_.finish(digest);
  if (memcmp(digest, image_.sha256, sizeof digest) != 0) return "it came damaged";
  // First the note: a new program that runs and does not know that it is on trial would stay.
  if (!trial_.announce(order_.version)) return "the flash is full";
  is_slot_open_ = false;
  if (!hardware_.slots.activate()) {
    trial_.forget();
    return "the slot does not take it for a program";
  }
  is_over_ = true;
  return nullptr;
}

}  // namespace roost
