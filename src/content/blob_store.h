// Blobs by digest: the one place where layer, manifest and config bytes lie. Written once under a
// digest that was verified while the bytes streamed by, never changed, read by offset.
//
//   KILN_ASSIGN_OR_RETURN(auto writer, store.ingest());
//   KILN_RETURN_IF_ERROR(writer->write(bytes));
//   KILN_ASSIGN_OR_RETURN(BlobInfo info, writer->commit({.digest = expected, .size = n}));
//   KILN_ASSIGN_OR_RETURN(auto reader, store.open(info.digest));
//
// The port exists because blobs also lie in memory (tests) and at clients (session content).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/digest.h"
#include "base/status.h"
#include "base/stream.h"
#include "content/descriptor.h"

namespace kiln::content {

struct BlobInfo {
  Digest digest;
  std::int64_t size = 0;
  Time created{};
  StringMap labels;
};

// Reads forward from where it was opened; read_at reads anywhere. read: one thread; read_at: any.
class BlobReader : public ByteSource {
 public:
  virtual std::int64_t size() const = 0;
  // Fills the front of `buffer` from `offset`; 0 only at or after the end.
  virtual Result<std::size_t> read_at(std::int64_t offset, std::span<char> buffer) = 0;
};

struct CommitOptions {
  Digest digest;           // expected; empty takes whatever was written
  std::int64_t size = -1;  // expected; negative takes whatever was written
  StringMap labels;
};

// An ingest under way; dropped without trace by the destructor unless committed. One thread.
class BlobWriter : public ByteSink {
 public:
  virtual std::int64_t written() const = 0;
  // Makes the blob visible, atomically. Gives the existing one when the store had it already.
  // FailedPrecondition (fault: peer) when digest or size differ from the expected. Once.
  virtual Result<BlobInfo> commit(const CommitOptions& options) = 0;
};

// Any thread. An implementer guarantees: a visible blob is whole and has the digest it is named by;
// concurrent ingests of one digest both succeed; a reader opened before remove() reads to the end.
class BlobStore {
 public:
  virtual ~BlobStore() = default;
  virtual Result<std::optional<BlobInfo>> info(const Digest& digest) = 0;
  // NotFound when absent; OutOfRange when offset is after the end.
  virtual Result<std::unique_ptr<BlobReader>> open(const Digest& digest, std::int64_t offset = 0) = 0;
  // `algorithm` of the digest to compute: "sha256" unless an expected digest says otherwise.
  virtual Result<std::unique_ptr<BlobWriter>> ingest(std::string_view algorithm = "sha256") = 0;
  // Removing an absent blob is fine.
  virtual Status remove(const Digest& digest) = 0;
  // Calls back for each blob, in no order, until it gives an error (which is passed on).
  virtual Status walk(const std::function<Status(const BlobInfo&)>& visit) = 0;
  // Merges labels; an empty value deletes the label. NotFound when the blob is absent.
  virtual Status set_labels(const Digest& digest, const StringMap& labels) = 0;
};

// Writes `bytes` as one blob; gives its descriptor (media type as given).
Result<Descriptor> write_blob(BlobStore& store, std::string_view bytes, std::string_view media_type);
// A whole small blob (a manifest, a config). ResourceExhausted above `bytes_max`.
Result<std::string> read_blob(BlobStore& store, const Digest& digest, std::size_t bytes_max = 32 << 20);

}  // namespace kiln::content
