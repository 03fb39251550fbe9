#include "content/blob_store.h"

#include <fmt/format.h>

namespace kiln::content {

Result<Descriptor> write_blob(BlobStore& store, std::string_view bytes, std::string_view media_type) {
  Descriptor d;
  d.media_type = media_type;
  d.digest = Digest::of(bytes);
  d.size = static_cast<std::int64_t>(bytes.size());
  KILN_ASSIGN_OR_RETURN(auto have, store.info(d.digest));
  if (have && have->size == d.size) return d;
  KILN_ASSIGN_OR_RETURN(auto writer, store.ingest());
  KILN_RETURN_IF_ERROR(writer->write(bytes));
  KILN_RETURN_IF_ERROR(writer->commit({.digest = d.digest, .size = d.size}).status());
  return d;
}

Result<std::string> read_blob(BlobStore& store, const Digest& digest, std::size_t bytes_max) {
  KILN_ASSIGN_OR_RETURN(auto reader, store.open(digest));
  auto text = read_all(*reader, bytes_max);
  if (!text.ok()) return annotate(text.status(), fmt::format("read blob {}", digest.str()));
  return text;
}

}  // namespace kiln::content
