#include "layer/layer_encoder.h"

#include "layer/estargz.h"

namespace kiln::layer {
namespace {

class CountingSink final : public ByteSink {
 public:
  explicit CountingSink(ByteSink& to) : to_(to) {}
  Status write(std::string_view bytes) override {
    bytes_ += bytes.size();
    return to_.write(bytes);
  }
  std::uint64_t bytes() const { return bytes_; }

 private:
  ByteSink& to_;
  std::uint64_t bytes_ = 0;
};

}  // namespace

struct LayerEncoder::State {
  explicit State(ByteSink& sink) : counted(sink) {}
  CountingSink counted;
  std::unique_ptr<Encoder> encoder;
  const EstargzEncoder* estargz = nullptr;  // the same, when it is one
  Hasher hasher;
  std::uint64_t plain_size = 0;
};

LayerEncoder::LayerEncoder(std::unique_ptr<State> state) : state_(std::move(state)) {}
LayerEncoder::~LayerEncoder() = default;

Result<std::unique_ptr<LayerEncoder>> LayerEncoder::make(const CompressionOptions& options, ByteSink& sink) {
  auto state = std::make_unique<State>(sink);
  KILN_ASSIGN_OR_RETURN(state->encoder, make_encoder(options, state->counted));
  if (options.type == Compression::kEstargz) state->estargz = static_cast<const EstargzEncoder*>(state->encoder.get());
  return std::unique_ptr<LayerEncoder>(new LayerEncoder(std::move(state)));
}

Status LayerEncoder::write(std::string_view bytes) {
  state_->hasher.update(bytes);
  state_->plain_size += bytes.size();
  return state_->encoder->write(bytes);
}

Result<EncodedLayer> LayerEncoder::finish() {
  KILN_RETURN_IF_ERROR(state_->encoder->finish());
  EncodedLayer layer;
  if (state_->estargz) {
    state_->hasher.update(state_->estargz->appended());
    state_->plain_size += state_->estargz->appended().size();
    layer.annotations[kTocDigestAnnotation] = state_->estargz->toc_digest().str();
    layer.annotations[kPlainSizeAnnotation] = std::to_string(state_->plain_size);
  }
  layer.diff_id = state_->hasher.finish();
  layer.plain_size = state_->plain_size;
  layer.encoded_size = state_->counted.bytes();
  return layer;
}

Result<std::size_t> HashingSource::read(std::span<char> buffer) {
  KILN_ASSIGN_OR_RETURN(std::size_t n, from_.read(buffer));
  hasher_.update({buffer.data(), n});
  bytes_ += n;
  return n;
}

}  // namespace kiln::layer
