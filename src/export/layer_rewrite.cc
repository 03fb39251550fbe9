#include "export/internal/layer_rewrite.h"

#include <fmt/format.h>

#include "layer/layer_encoder.h"
#include "layer/read_ahead.h"
#include "layer/tar_reader.h"
#include "layer/tar_writer.h"

namespace kiln::exporter::internal {
namespace {

std::int64_t seconds_of(Time time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

std::string label_of(Time epoch, const layer::CompressionOptions& compression) {
  return fmt::format("kiln/rewritten.{}.{}.{}", seconds_of(epoch), layer::to_string(compression.type),
                     compression.level ? std::to_string(*compression.level) : "default");
}

Status copy_clamped(ByteSource& plain, ByteSink& out, layer::FileTime latest, std::stop_token stop) {
  layer::TarReader reader(plain);
  layer::TarWriter writer(out);
  while (true) {
    if (stop.stop_requested()) return cancelled();
    KILN_ASSIGN_OR_RETURN(const layer::TarEntry* entry, reader.next());
    if (!entry) break;
    layer::TarEntry clamped = *entry;
    if (clamped.mtime > latest) clamped.mtime = latest;
    KILN_RETURN_IF_ERROR(writer.begin(clamped));
    while (true) {
      KILN_ASSIGN_OR_RETURN(std::string_view piece, reader.read_piece());
      if (piece.empty()) break;
      if (stop.stop_requested()) return cancelled();
      KILN_RETURN_IF_ERROR(writer.write(piece));
    }
  }
  return writer.finish();
}

store::LayerBlob described(const store::LayerBlob& like, const content::BlobInfo& blob, const Digest& diff_id,
                           layer::Compression compression) {
  store::LayerBlob out = like;
  out.blob = {};
  out.blob.media_type = layer_media_type(compression);
  out.blob.digest = blob.digest;
  out.blob.size = blob.size;
  out.diff_id = diff_id;
  out.provider = nullptr;
  return out;
}

}  // namespace

std::string_view layer_media_type(layer::Compression compression) {
  switch (compression) {
    case layer::Compression::kUncompressed: return content::kOciLayer;
    case layer::Compression::kZstd: return content::kOciLayerZstd;
    default: return content::kOciLayerGzip;
  }
}

Result<store::LayerBlob> rewrite_layer(const store::LayerBlob& layer, content::BlobProvider& from,
                                       content::BlobStore& blobs, Time epoch,
                                       const layer::CompressionOptions& compression, std::stop_token stop) {
  std::string label = label_of(epoch, compression);
  KILN_ASSIGN_OR_RETURN(auto original, blobs.info(layer.blob.digest));
  if (original && original->labels.contains(label)) {
    auto digest = Digest::parse(original->labels[label]);
    KILN_ASSIGN_OR_RETURN(auto made, blobs.info(digest.value_or(Digest())));
    auto diff_id = made ? Digest::parse(made->labels[std::string(content::kUncompressedAnnotation)]) : digest;
    if (made && diff_id.ok()) return described(layer, *made, *diff_id, compression.type);
  }
  KILN_ASSIGN_OR_RETURN(auto packed, from.open(layer.blob, 0, stop));
  KILN_ASSIGN_OR_RETURN(auto opened, layer::decompress(std::move(packed)));
  auto plain = layer::read_ahead(std::move(opened));
  KILN_ASSIGN_OR_RETURN(auto writer, blobs.ingest());
  KILN_ASSIGN_OR_RETURN(auto encoder, layer::LayerEncoder::make(compression, *writer));
  KILN_RETURN_IF_ERROR(copy_clamped(*plain, *encoder, {seconds_of(epoch), 0}, stop));
  KILN_ASSIGN_OR_RETURN(auto encoded, encoder->finish());
  content::StringMap labels = {{std::string(content::kUncompressedAnnotation), encoded.diff_id.str()}};
  KILN_ASSIGN_OR_RETURN(auto blob, writer->commit({.labels = labels}));
  if (original) KILN_RETURN_IF_ERROR(blobs.set_labels(layer.blob.digest, {{label, blob.digest.str()}}));
  return described(layer, blob, encoded.diff_id, compression.type);
}

}  // namespace kiln::exporter::internal
