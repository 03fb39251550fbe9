// From directory to blob: the layers of a tree as an image carries them.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "layer/compression.h"
#include "layer/diff.h"
#include "layer/layer_encoder.h"
#include "layer/tar_writer.h"
#include "store/internal/state.h"
#include "store/internal/transfer.h"

namespace kiln::store {

namespace {

using layer::Compression;

Compression compression_of(std::string_view media_type) {
  if (media_type.ends_with("gzip")) return Compression::kGzip;
  if (media_type.ends_with("zstd")) return Compression::kZstd;
  return Compression::kUncompressed;
}

std::string_view media_type_of(Compression type) {
  switch (type) {
    case Compression::kUncompressed: return content::kOciLayer;
    case Compression::kZstd: return content::kOciLayerZstd;
    default: return content::kOciLayerGzip;
  }
}

// The blob that suits: by its variant's name, else by its compression, local ones first.
std::optional<BlobVariant> choose(const std::vector<BlobVariant>& blobs, const std::string& variant,
                                  const LayerOptions& options, bool clamped) {
  for (const BlobVariant& v : blobs) {
    if (!variant.empty() && v.variant == variant) return v;
  }
  if (clamped) return std::nullopt;
  const BlobVariant* best = nullptr;
  for (const BlobVariant& v : blobs) {
    if (v.variant.find('@') != std::string::npos) continue;  // other times than the tree's
    bool fits = compression_of(v.blob.media_type) == options.compression.type;
    if (!fits && (options.force_compression || !v.variant.empty())) continue;
    if (!best || (fits && compression_of(best->blob.media_type) != options.compression.type)) best = &v;
  }
  return best ? std::optional(*best) : std::nullopt;
}

// The blob that defines the layer.
std::optional<BlobVariant> defining(const std::vector<BlobVariant>& blobs) {
  for (const BlobVariant& v : blobs) {
    if (v.variant.empty()) return v;
  }
  return std::nullopt;
}

// One of the few layers that are compressed at once: several, because reading a tree of many small files
// leaves processors idle.
class EncodingSlot {
 public:
  static Result<EncodingSlot> take(TreesState& state, std::stop_token stop) {
    constexpr int kAtOnce = 2;
    std::unique_lock lock(state.encoding_mutex);
    if (!state.encoded.wait(lock, stop, [&] { return state.encoding < kAtOnce; })) return cancelled();
    ++state.encoding;
    return EncodingSlot(state);
  }
  ~EncodingSlot() {
    if (!state_) return;
    std::lock_guard lock(state_->encoding_mutex);
    --state_->encoding;
    state_->encoded.notify_one();
  }
  EncodingSlot(EncodingSlot&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  EncodingSlot& operator=(EncodingSlot&&) = delete;

 private:
  explicit EncodingSlot(TreesState& state) : state_(&state) {}
  TreesState* state_;
};

// How many layers are remembered to be made of files.
constexpr std::size_t kEncodedMax = 10'000;

// The bytes of a layer from elsewhere. Whoever reads learns which layer it was that nobody can give, and gets none
// of its end when it is not what it should be.
class LayerBytes final : public ByteSource {
 public:
  LayerBytes(std::unique_ptr<ByteSource> inner, TreeRef unit, const content::Descriptor& blob, std::int64_t offset)
      : inner_(std::move(inner)), unit_(std::move(unit)), blob_(blob), at_(offset) {
    if (offset == 0) hasher_.emplace(blob.digest.algorithm());
  }
  Result<std::size_t> read(std::span<char> buffer) override {
    if (!failed_.ok()) return failed_;
    Result<std::size_t> got = inner_->read(buffer);
    failed_ = got.ok() ? check({buffer.data(), *got}) : got.status();
    if (failed_.ok()) return got;
    return failed_ = TreesState::lost(unit_, failed_);
  }

 private:
  // `bytes` are the next; none at the end.
  Status check(std::string_view bytes) {
    at_ += static_cast<std::int64_t>(bytes.size());
    if (hasher_) hasher_->update(bytes);
    const bool ends = at_ == blob_.size;
    const bool right = ends ? !hasher_ || std::exchange(hasher_, std::nullopt)->finish() == blob_.digest
                            : at_ < blob_.size && !bytes.empty();
    if (right) return ok();
    return peer_error(Code::kFailedPrecondition, fmt::format("layer {} is damaged where it lies", blob_.digest.str()));
  }

  const std::unique_ptr<ByteSource> inner_;
  const TreeRef unit_;
  const content::Descriptor blob_;
  std::int64_t at_;
  std::optional<Hasher> hasher_;  // none when the beginning was left out, or all is checked
  Status failed_;
};

class LayerProvider final : public content::BlobProvider {
 public:
  LayerProvider(content::BlobStore& store, const LayerBlob& layer)
      : local_(store), remote_(layer.provider), unit_(layer.tree) {}
  Result<std::unique_ptr<ByteSource>> open(const content::Descriptor& blob, std::int64_t offset,
                                           std::stop_token stop) override {
    auto source = local_.open(blob, offset, stop);
    if (source.ok() || !is_not_found(source.status())) return source;
    if (remote_) source = remote_->open(blob, offset, stop);
    if (!unit_) return source;
    if (!source.ok()) return TreesState::lost(unit_, source.status());
    return std::make_unique<LayerBytes>(*std::move(source), unit_, blob, offset);
  }

 private:
  content::StoreProvider local_;
  const std::shared_ptr<content::BlobProvider> remote_;
  const TreeRef unit_;
};

}  // namespace

Status TreesState::lost(const TreeRef& unit, Status status) {
  if (!status.ok() && !is_cancelled(status)) set_detail(status, kLostTreeDetail, unit->id());
  return status;
}

Status TreesState::add_blob(const TreeRef& unit, const BlobVariant& made) {
  KILN_RETURN_IF_ERROR(records->put_blob(unit->id(), made));
  {
    Tree::Body& b = body(unit);
    std::lock_guard lock(b.mutex);
    std::erase_if(b.blobs,
                  [&](const BlobVariant& v) { return v.blob.digest == made.blob.digest && v.variant == made.variant; });
    b.blobs.push_back(made);
    if (made.variant.empty()) b.diff_id = made.diff_id;
  }
  // Somebody may have removed the same blob, unnamed until now, a moment ago.
  KILN_ASSIGN_OR_RETURN(auto there, options.blobs->info(made.blob.digest));
  if (!there) return make_error(Fault::kEngine, Code::kAborted, "a layer was removed while it was recorded");
  return ok();
}

Result<BlobVariant> TreesState::encode(const TreeRef& unit, const LayerOptions& wanted, const std::string& variant,
                                       std::stop_token stop) {
  const TreeRef& lower = unit->kind() == TreeKind::kLayer ? unit->parent() : unit->inputs()[0];
  KILN_ASSIGN_OR_RETURN(EncodingSlot slot, EncodingSlot::take(*this, stop));
  KILN_ASSIGN_OR_RETURN(auto writer, options.blobs->ingest());
  KILN_ASSIGN_OR_RETURN(auto encoder, layer::LayerEncoder::make(wanted.compression, *writer));
  layer::TarWriter tar(*encoder);
  layer::DiffOptions diff;
  if (wanted.clamp_mtime) {
    std::int64_t ns = wanted.clamp_mtime->time_since_epoch().count();
    diff.clamp_mtime = layer::FileTime{ns / 1'000'000'000, static_cast<std::int32_t>(ns % 1'000'000'000)};
  }
  std::string snapshot;
  {
    std::lock_guard lock(body(unit).mutex);
    snapshot = body(unit).snapshot;
  }
  if (snapshotter->material() == snapshot::Material::kDifference) {
    KILN_ASSIGN_OR_RETURN(snapshot::Chain chain, materialize(lower, stop));
    std::vector<std::string> lowers;
    for (auto id = chain.rbegin(); id != chain.rend(); ++id) {
      if (!id->empty()) lowers.push_back(snapshotter->directory(*id));
    }
    KILN_RETURN_IF_ERROR(
        layer::write_overlay_upper(snapshotter->directory(snapshot), lowers, tar, diff, stop).status());
  } else {
    KILN_ASSIGN_OR_RETURN(OpenTree below, open(lower, stop));
    KILN_ASSIGN_OR_RETURN(OpenTree above, open(unit->kind() == TreeKind::kLayer ? unit : unit->inputs()[1], stop));
    KILN_RETURN_IF_ERROR(layer::write_difference(lower ? below.path() : "", above.path(), tar, diff, stop).status());
  }
  KILN_RETURN_IF_ERROR(tar.finish());
  KILN_ASSIGN_OR_RETURN(layer::EncodedLayer encoded, encoder->finish());
  KILN_ASSIGN_OR_RETURN(content::BlobInfo info, writer->commit({}));
  BlobVariant made;
  made.blob.media_type = media_type_of(wanted.compression.type);
  made.blob.digest = info.digest;
  made.blob.size = info.size;
  made.diff_id = encoded.diff_id;
  made.blob.annotations.insert(encoded.annotations.begin(), encoded.annotations.end());
  made.variant = variant;
  made.local = true;
  if (!wanted.clamp_mtime) {
    std::lock_guard lock(mutex);
    if (encoded_here.size() >= kEncodedMax) encoded_here.clear();
    encoded_here.insert(unit->id());
  }
  return made;
}

Result<BlobVariant> TreesState::convert(const TreeRef& unit, const BlobVariant& from, const LayerOptions& wanted,
                                        const std::string& variant, std::stop_token stop) {
  std::shared_ptr<content::BlobProvider> provider;
  {
    std::lock_guard lock(body(unit).mutex);
    provider = body(unit).provider;
  }
  Result<std::unique_ptr<LayerStream>> opened =
      LayerStream::open(*options.blobs, provider.get(), from, event::null_reporter(), stop);
  if (!opened.ok()) return lost(unit, opened.status());
  const std::unique_ptr<LayerStream> stream = *std::move(opened);
  KILN_ASSIGN_OR_RETURN(EncodingSlot slot, EncodingSlot::take(*this, stop));
  KILN_ASSIGN_OR_RETURN(auto writer, options.blobs->ingest());
  KILN_ASSIGN_OR_RETURN(auto encoder, layer::LayerEncoder::make(wanted.compression, *writer));
  Result<std::uint64_t> copied = copy_stream(stream->plain(), *encoder);
  if (!copied.ok()) return lost(unit, stream->explain(copied.status()));
  KILN_RETURN_IF_ERROR(lost(unit, stream->finish()));
  KILN_ASSIGN_OR_RETURN(layer::EncodedLayer encoded, encoder->finish());
  KILN_ASSIGN_OR_RETURN(content::BlobInfo info, writer->commit({}));
  BlobVariant made;
  made.blob.media_type = media_type_of(wanted.compression.type);
  if (content::is_foreign_layer_type(from.blob.media_type)) made.blob.urls = from.blob.urls;
  made.blob.digest = info.digest;
  made.blob.size = info.size;
  made.diff_id = encoded.diff_id;
  made.blob.annotations.insert(encoded.annotations.begin(), encoded.annotations.end());
  made.variant = variant;
  made.local = true;
  return made;
}

// The layer in another compression: from the files when its tar was made of them, which is less work than
// to decompress it.
Result<BlobVariant> TreesState::in_another_way(const TreeRef& unit, const BlobVariant& from, const LayerOptions& wanted,
                                               const std::string& variant, std::stop_token stop) {
  bool from_files;
  {
    std::lock_guard lock(mutex);
    from_files = encoded_here.contains(unit->id());
  }
  if (from_files && wanted.compression.type != Compression::kEstargz &&
      !content::is_foreign_layer_type(from.blob.media_type)) {
    Result<BlobVariant> made = encode(unit, wanted, variant, stop);
    if (made.ok() ? made->diff_id == from.diff_id : is_cancelled(made.status())) return made;
  }
  return convert(unit, from, wanted, variant, stop);
}

Status TreesState::fetch_blob(const TreeRef& unit, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(BusyBody busy, BusyBody::take(unit, stop));
  Tree::Body& b = body(unit);
  std::optional<BlobVariant> blob;
  std::shared_ptr<content::BlobProvider> provider;
  std::shared_ptr<event::Reporter> reporter;
  {
    std::lock_guard lock(b.mutex);
    blob = defining(b.blobs);
    provider = b.provider;
    reporter = b.reporter;
  }
  if (!blob || blob->local || !provider) return ok();
  event::Phase phase(reporter ? *reporter : event::null_reporter(), blob->blob.digest.str(), blob->blob.size);
  KILN_RETURN_IF_ERROR(lost(unit, content::fetch_blob(*provider, blob->blob, *options.blobs, stop)));
  blob->local = true;
  return add_blob(unit, *blob);
}

Result<LayerBlob> TreesState::layer_of(const TreeRef& unit, const LayerOptions& wanted, std::stop_token stop) {
  Tree::Body& b = body(unit);
  bool clamped = false, has_blobs = false;
  std::optional<BlobVariant> chosen;
  auto look = [&] {
    std::lock_guard lock(b.mutex);
    clamped = wanted.clamp_mtime &&
              std::find(wanted.clamp_except.begin(), wanted.clamp_except.end(), b.diff_id) == wanted.clamp_except.end();
    has_blobs = !b.blobs.empty();
    std::string variant(layer::to_string(wanted.compression.type));
    if (clamped) variant += fmt::format("@{}", wanted.clamp_mtime->time_since_epoch().count());
    chosen = choose(b.blobs, variant, wanted, clamped);
    return variant;
  };
  std::string variant = look();
  if (!chosen) {
    if (!has_blobs || clamped) KILN_RETURN_IF_ERROR(ensure_snapshot(unit, stop));
    KILN_ASSIGN_OR_RETURN(BusyBody busy, BusyBody::take(unit, stop));
    variant = look();
    if (!chosen) {
      std::optional<BlobVariant> from;
      {
        std::lock_guard lock(b.mutex);
        from = defining(b.blobs);
        if (b.blobs.empty() && !clamped) variant.clear();
      }
      Result<BlobVariant> made =
          from && !clamped ? in_another_way(unit, *from, wanted, variant, stop) : encode(unit, wanted, variant, stop);
      if (!made.ok()) return is_cancelled(made.status()) ? made.status() : annotate(made.status(), "make a layer");
      KILN_RETURN_IF_ERROR(add_blob(unit, *made));
      chosen = std::move(*made);
    }
  }
  if (!chosen->local && wanted.fetch) {
    KILN_RETURN_IF_ERROR(fetch_blob(unit, stop));
    chosen->local = true;
  }
  LayerBlob layer;
  layer.blob = std::move(chosen->blob);
  layer.diff_id = chosen->diff_id;
  layer.description = unit->description();
  layer.created = unit->created();
  layer.tree = unit;
  if (!chosen->local) {
    std::lock_guard lock(b.mutex);
    layer.provider = b.provider;
  }
  return layer;
}

void TreesState::note_chain(const TreeRef& unit) {
  if (unit->kind() != TreeKind::kLayer) return;
  Digest below, below_blob;
  if (unit->parent()) {
    if (unit->parent()->kind() != TreeKind::kLayer) return;
    std::lock_guard lock(body(unit->parent()).mutex);
    below = body(unit->parent()).chain_id;
    below_blob = body(unit->parent()).blob_chain_id;
    if (below.empty()) return;
  }
  Tree::Body& b = body(unit);
  std::lock_guard lock(b.mutex);
  std::optional<BlobVariant> blob = defining(b.blobs);
  if (!b.chain_id.empty() || !blob) return;
  b.diff_id = blob->diff_id;
  b.chain_id = chain_id(below, blob->diff_id);
  b.blob_chain_id = chain_id(below_blob, chain_id(blob->blob.digest, blob->diff_id));
  (void)records->set_chain(unit->id(), b.diff_id, b.chain_id, b.blob_chain_id);
}

void TreesState::drop_blobs(const std::vector<std::string>& digests) {
  for (const std::string& text : digests) {
    const Digest digest = Digest::trusted(text);
    std::lock_guard naming(from_blob_mutex);
    Result<bool> named = records->names_blob(digest);  // by somebody who found it a moment ago
    if (named.ok() && !*named) (void)options.blobs->remove(digest);
  }
}

Result<std::vector<LayerBlob>> Trees::layers(const TreeRef& tree, const LayerOptions& options, std::stop_token stop,
                                             event::Reporter* reporter) {
  std::vector<TreeRef> units = TreesState::units_of(tree);
  std::vector<LayerBlob> layers(units.size());
  std::vector<std::function<Status(std::stop_token)>> jobs;
  for (std::size_t i = 0; i < units.size(); ++i) {
    jobs.push_back([&, i](std::stop_token inner) -> Status {
      KILN_ASSIGN_OR_RETURN(layers[i], state_->layer_of(units[i], options, inner));
      if (options.told) options.told(layers[i]);
      return ok();
    });
  }
  (void)reporter;
  KILN_RETURN_IF_ERROR(run_together(state_->options.pool, std::move(jobs), stop));
  for (const TreeRef& unit : units) state_->note_chain(unit);
  return layers;
}

Result<std::optional<std::vector<LayerBlob>>> Trees::existing_layers(const TreeRef& tree) {
  std::vector<LayerBlob> layers;
  for (const TreeRef& unit : TreesState::units_of(tree)) {
    Tree::Body& b = TreesState::body(unit);
    std::lock_guard lock(b.mutex);
    std::optional<BlobVariant> blob = defining(b.blobs);
    if (!blob) return std::optional<std::vector<LayerBlob>>();
    LayerBlob layer{blob->blob, blob->diff_id, unit->description(), unit->created(), unit, nullptr};
    if (!blob->local) layer.provider = b.provider;
    layers.push_back(std::move(layer));
  }
  return std::optional(std::move(layers));
}

std::shared_ptr<content::BlobProvider> Trees::provider_for(const LayerBlob& layer) {
  return std::make_shared<LayerProvider>(*state_->options.blobs, layer);
}

}  // namespace kiln::store
