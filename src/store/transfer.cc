#include "store/internal/transfer.h"

#include <fmt/format.h>

#include <optional>
#include <utility>
#include <vector>

#include "layer/compression.h"
#include "layer/layer_encoder.h"
#include "layer/read_ahead.h"

namespace kiln::store {

namespace {

// Reads through: keeps what passes in the store, tells the progress, remembers the first error.
class KeepingSource final : public ByteSource {
 public:
  KeepingSource(std::unique_ptr<ByteSource> from, std::unique_ptr<content::BlobWriter> writer,
                std::optional<event::Phase>& phase, Status& error, std::stop_token stop)
      : from_(std::move(from)), writer_(std::move(writer)), phase_(phase), error_(error), stop_(stop) {}

  Result<std::size_t> read(std::span<char> buffer) override {
    if (stop_.stop_requested()) return error_ = cancelled();
    Result<std::size_t> n = from_->read(buffer);
    if (!n.ok()) return error_ = n.status();
    if (writer_ && *n > 0) {
      if (Status kept = writer_->write(std::string_view(buffer.data(), *n)); !kept.ok()) return error_ = kept;
    }
    at_ += static_cast<std::int64_t>(*n);
    if (phase_) phase_->advance_to(at_);
    return n;
  }
  content::BlobWriter* writer() { return writer_.get(); }

 private:
  std::unique_ptr<ByteSource> from_;
  std::unique_ptr<content::BlobWriter> writer_;
  std::optional<event::Phase>& phase_;
  Status& error_;
  std::stop_token stop_;
  std::int64_t at_ = 0;
};

// A source that belongs to somebody else.
class BorrowedSource final : public ByteSource {
 public:
  explicit BorrowedSource(ByteSource& from) : from_(from) {}
  Result<std::size_t> read(std::span<char> buffer) override { return from_.read(buffer); }

 private:
  ByteSource& from_;
};

}  // namespace

struct LayerStream::State {
  BlobVariant blob;
  Status error;
  std::optional<event::Phase> download;
  std::optional<event::Phase> extraction;
  std::unique_ptr<KeepingSource> bytes;
  std::unique_ptr<ByteSource> decompressed;
  std::unique_ptr<layer::HashingSource> plain;
};

LayerStream::LayerStream(std::unique_ptr<State> state) : state_(std::move(state)) {}
LayerStream::~LayerStream() = default;

Result<std::unique_ptr<LayerStream>> LayerStream::open(content::BlobStore& store, content::BlobProvider* provider,
                                                       const BlobVariant& blob, event::Reporter& reporter,
                                                       std::stop_token stop) {
  auto state = std::make_unique<State>();
  state->blob = blob;
  const std::string name = blob.blob.digest.str();
  std::unique_ptr<ByteSource> from;
  std::unique_ptr<content::BlobWriter> writer;
  KILN_ASSIGN_OR_RETURN(auto held, store.info(blob.blob.digest));
  if (held) {
    KILN_ASSIGN_OR_RETURN(from, store.open(blob.blob.digest));
  } else if (provider) {
    state->download.emplace(reporter, name, blob.blob.size);
    KILN_ASSIGN_OR_RETURN(from, provider->open(blob.blob, 0, stop));
    KILN_ASSIGN_OR_RETURN(writer, store.ingest(blob.blob.digest.algorithm()));
  } else {
    return make_error(Fault::kEngine, Code::kNotFound, fmt::format("layer {} is not here any more", name));
  }
  state->extraction.emplace(reporter, "extracting " + name);
  state->bytes =
      std::make_unique<KeepingSource>(std::move(from), std::move(writer), state->download, state->error, stop);
  KILN_ASSIGN_OR_RETURN(auto decompressed, layer::decompress(std::make_unique<BorrowedSource>(*state->bytes)));
  // Transfer, its digest and decompression in one thread; what is done with the plain bytes in the caller's.
  state->decompressed = layer::read_ahead(std::move(decompressed));
  state->plain = std::make_unique<layer::HashingSource>(*state->decompressed);
  return std::unique_ptr<LayerStream>(new LayerStream(std::move(state)));
}

ByteSource& LayerStream::plain() { return *state_->plain; }

Status LayerStream::finish() {
  State& s = *state_;
  std::vector<char> rest(kChunkBytes);
  for (ByteSource* source : {static_cast<ByteSource*>(s.plain.get()), static_cast<ByteSource*>(s.bytes.get())}) {
    for (;;) {
      KILN_ASSIGN_OR_RETURN(std::size_t n, source->read(rest));
      if (n == 0) break;
    }
  }
  Digest diff_id = s.plain->finish();
  if (!s.blob.diff_id.empty() && diff_id != s.blob.diff_id && s.blob.diff_id.algorithm() == "sha256") {
    return peer_error(Code::kFailedPrecondition,
                      fmt::format("layer {} holds {} and not {} as the image says", s.blob.blob.digest.str(),
                                  diff_id.str(), s.blob.diff_id.str()));
  }
  if (content::BlobWriter* writer = s.bytes->writer()) {
    KILN_RETURN_IF_ERROR(writer->commit({.digest = s.blob.blob.digest, .size = s.blob.blob.size}).status());
  }
  if (s.download) s.download->done();
  s.extraction->done();
  return ok();
}

Status LayerStream::explain(const Status& status) {
  // The thread that reads ahead may be telling its error right now.
  state_->plain.reset();
  state_->decompressed.reset();
  return state_->error.ok() ? status : state_->error;
}

}  // namespace kiln::store
