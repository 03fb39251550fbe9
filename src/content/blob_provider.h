// Something that can open a blob it may not hold: the local store, a registry, a client's content,
// or one after the other. Whoever needs bytes by descriptor (unpack, push, export) takes this port
// and does not know where they come from.
//
//   StoreProvider local(store); ChainProvider both({&local, &registry});
//   KILN_ASSIGN_OR_RETURN(auto source, both.open(descriptor, 0, stop));
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/stream.h"
#include "content/blob_store.h"
#include "content/descriptor.h"

namespace kiln::content {

// Any thread. An implementer gives NotFound when the blob is not there, and Cancelled promptly.
// Bytes are not verified: whoever keeps them does (an ingest, or read_blob below).
class BlobProvider {
 public:
  virtual ~BlobProvider() = default;
  // Opens from `offset`; the stop token also ends reads of the source. Blocking.
  virtual Result<std::unique_ptr<ByteSource>> open(const Descriptor& blob, std::int64_t offset,
                                                   std::stop_token stop) = 0;
};

class StoreProvider final : public BlobProvider {
 public:
  explicit StoreProvider(BlobStore& store) : store_(store) {}  // outlives this
  Result<std::unique_ptr<ByteSource>> open(const Descriptor& blob, std::int64_t offset, std::stop_token stop) override;

 private:
  BlobStore& store_;
};

// The first that does not answer NotFound.
class ChainProvider final : public BlobProvider {
 public:
  explicit ChainProvider(std::vector<BlobProvider*> providers) : providers_(std::move(providers)) {}
  Result<std::unique_ptr<ByteSource>> open(const Descriptor& blob, std::int64_t offset, std::stop_token stop) override;

 private:
  std::vector<BlobProvider*> providers_;
};

// A small blob, whole, its digest verified (inline `data` of the descriptor is used when it is there).
Result<std::string> read_blob(BlobProvider& provider, const Descriptor& blob, std::stop_token stop,
                              std::size_t bytes_max = 32 << 20);
// Streams the blob into the store unless it is there already; verified against the descriptor.
Status fetch_blob(BlobProvider& provider, const Descriptor& blob, BlobStore& store, std::stop_token stop);

}  // namespace kiln::content
