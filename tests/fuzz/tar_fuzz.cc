// Layers: compression is told from the first bytes, then every member's header and body is read.
#include <array>

#include "layer/compression.h"
#include "layer/tar_reader.h"

namespace {

constexpr std::size_t kBytesMax = 64 << 20;  // a bomb is somebody else's concern

void read_members(kiln::ByteSource& source) {
  kiln::layer::TarReader reader(source, 4096);
  std::array<char, 4096> buffer;
  std::size_t bytes = 0;
  while (true) {
    auto entry = reader.next();
    if (!entry.ok() || *entry == nullptr) return;
    while (true) {
      auto got = reader.read(buffer);
      if (!got.ok()) return;
      if (*got == 0) break;
      if ((bytes += *got) > kBytesMax) return;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  kiln::StringSource plain(text);
  read_members(plain);
  if (auto packed = kiln::layer::decompress(std::make_unique<kiln::StringSource>(text)); packed.ok()) {
    read_members(**packed);
  }
  return 0;
}
