#include "content/blob_provider.h"

#include <fmt/format.h>

#include "host/file_bytes.h"

namespace kiln::content {
namespace {

class StoppableSource final : public ByteSource, public host::FileSource {
 public:
  StoppableSource(std::unique_ptr<ByteSource> from, std::stop_token stop) : from_(std::move(from)), stop_(stop) {}
  Result<std::size_t> read(std::span<char> buffer) override {
    if (stop_.stop_requested()) return cancelled();
    return from_->read(buffer);
  }
  int file() const override {
    const auto* from = dynamic_cast<const host::FileSource*>(from_.get());
    return from != nullptr ? from->file() : -1;
  }

 private:
  std::unique_ptr<ByteSource> from_;
  std::stop_token stop_;
};

}  // namespace

Result<std::unique_ptr<ByteSource>> StoreProvider::open(const Descriptor& blob, std::int64_t offset,
                                                        std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(auto reader, store_.open(blob.digest, offset));
  return std::unique_ptr<ByteSource>(new StoppableSource(std::move(reader), stop));
}

Result<std::unique_ptr<ByteSource>> ChainProvider::open(const Descriptor& blob, std::int64_t offset,
                                                        std::stop_token stop) {
  for (BlobProvider* provider : providers_) {
    auto source = provider->open(blob, offset, stop);
    if (source.ok() || !is_not_found(source.status())) return source;
  }
  return environment_error(Code::kNotFound, fmt::format("blob {} not found", blob.digest.str()));
}

Result<std::string> read_blob(BlobProvider& provider, const Descriptor& blob, std::stop_token stop,
                              std::size_t bytes_max) {
  if (!blob.data.empty() && Digest::of(blob.data) == blob.digest) return blob.data;
  KILN_ASSIGN_OR_RETURN(auto source, provider.open(blob, 0, stop));
  auto text = read_all(*source, bytes_max);
  if (!text.ok()) return annotate(text.status(), fmt::format("read blob {}", blob.digest.str()));
  Hasher hasher(blob.digest.empty() ? "sha256" : blob.digest.algorithm());
  hasher.update(*text);
  if (Digest got = hasher.finish(); got != blob.digest) {
    return peer_error(Code::kFailedPrecondition,
                      fmt::format("blob {} arrived with digest {}", blob.digest.str(), got.str()));
  }
  return text;
}

Status fetch_blob(BlobProvider& provider, const Descriptor& blob, BlobStore& store, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(auto have, store.info(blob.digest));
  if (have) return ok();
  KILN_ASSIGN_OR_RETURN(auto source, provider.open(blob, 0, stop));
  KILN_ASSIGN_OR_RETURN(auto writer, store.ingest(blob.digest.algorithm()));
  if (auto moved = copy_stream(*source, *writer); !moved.ok()) {
    return annotate(moved.status(), fmt::format("fetch blob {}", blob.digest.str()));
  }
  return writer->commit({.digest = blob.digest, .size = blob.size}).status();
}

}  // namespace kiln::content
