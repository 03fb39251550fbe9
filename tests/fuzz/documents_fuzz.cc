// What registries send as JSON: descriptors, manifests, indexes, image configurations.
#include "content/descriptor.h"
#include "content/image_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)kiln::content::parse_descriptor(text);
  (void)kiln::content::parse_manifest(text);
  (void)kiln::content::parse_index(text);
  (void)kiln::content::parse_image_config(text);
  (void)kiln::content::ConfigDocument::parse(text);
  return 0;
}
