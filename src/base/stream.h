// Bytes on the move. A ByteSource is pulled, a ByteSink is pushed into; neither ever holds a whole
// file. Implementers are used by one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace kiln {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Fills the front of `buffer`; gives the count, 0 only at the end. Blocks. After an error or the
  // end, further calls repeat it.
  virtual Result<std::size_t> read(std::span<char> buffer) = 0;
};

class ByteSink {
 public:
  virtual ~ByteSink() = default;
  // Takes all the bytes or fails. Blocks when the far end is slow.
  virtual Status write(std::string_view bytes) = 0;
};

inline constexpr std::size_t kChunkBytes = 256 * 1024;

// Pumps until the source ends; gives the bytes moved.
Result<std::uint64_t> copy_stream(ByteSource& from, ByteSink& to);
// For things known to be small (manifests, configs): ResourceExhausted above `bytes_max`.
Result<std::string> read_all(ByteSource& from, std::size_t bytes_max);

class StringSource final : public ByteSource {
 public:
  explicit StringSource(std::string text) : text_(std::move(text)) {}
  Result<std::size_t> read(std::span<char> buffer) override;

 private:
  std::string text_;
  std::size_t at_ = 0;
};

class StringSink final : public ByteSink {
 public:
  Status write(std::string_view bytes) override {
    text_.append(bytes);
    return ok();
  }
  std::string& text() { return text_; }

 private:
  std::string text_;
};

}  // namespace kiln
