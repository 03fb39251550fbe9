// The exporters "oci" and "docker": an image as an OCI layout, streamed to the client as a tar file
// or written into the client's own content store (EX-035, EX-036).
//
// Formats: OCI image-spec image-layout.md; docker-archive's manifest.json for `docker load`.
#include <fmt/format.h>

#include <set>

#include "base/reference.h"
#include "base/text.h"
#include "content/json_text.h"
#include "export/internal/blob_holds.h"
#include "export/internal/exporters.h"
#include "export/internal/image_writer.h"
#include "export/internal/layout_tar.h"
#include "session/client_content.h"
#include "session/export_target.h"

namespace kiln::exporter::internal {
namespace {

constexpr const char* kCreated = "org.opencontainers.image.created";

bool already_there(const Status& status) { return status.code() == Code::kAlreadyExists; }

class FinishedArchive final : public PendingExport {
 public:
  FinishedArchive(store::Trees& trees, WrittenImage image, Attrs response)
      : image_(std::move(image)), response_(std::move(response)), holds_(trees, image_.written) {}
  Status finish(ExportContext&) override { return ok(); }
  bool has_left() const override { return true; }
  const WrittenImage& image() const { return image_; }
  const Attrs& response() const override { return response_; }
  std::optional<content::Descriptor> descriptor() const override { return image_.root; }

 private:
  WrittenImage image_;
  Attrs response_;
  BlobHolds holds_;
};

std::string seconds_rfc3339(Time time) {
  return format_rfc3339(std::chrono::time_point_cast<std::chrono::seconds>(time));
}

class ArchiveExporter final : public Exporter {
 public:
  ArchiveExporter(ArchiveFlavour flavour, bool tar, ImageOptions options, Attrs extra, const ExportPorts& ports)
      : flavour_(flavour), tar_(tar), options_(std::move(options)), extra_(std::move(extra)), ports_(ports) {}

  std::string type() const override { return docker() ? "docker" : "oci"; }
  std::string vertex_name() const override { return fmt::format("exporting to {} image format", type()); }
  store::LayerOptions layer_options() const override { return options_.layer_options(); }

  Result<std::unique_ptr<PendingExport>> run(const BuildResult& given, ExportContext& context) override {
    if (docker() && given.is_map()) {
      return user_error(Code::kInvalidArgument, "docker exporter does not currently support exporting manifest lists");
    }
    BuildResult result = given;
    for (const auto& [key, value] : extra_) result.metadata[key] = value;
    KILN_ASSIGN_OR_RETURN(ImageOptions options, settled_options(options_, result, context, !docker()));
    // A layer that cannot be had is found out before the client gets the first byte.
    options.fetch_layers = true;
    KILN_ASSIGN_OR_RETURN(auto names, normalized_names(settled_name(options.name, result)));
    ImageWriter writer(ports_, options, context);
    KILN_ASSIGN_OR_RETURN(WrittenImage image, writer.write(result, join(names, ",")));
    KILN_ASSIGN_OR_RETURN(auto epoch, epoch_for(options.epoch, result.metadata, ""));
    image.root.annotations.try_emplace(kCreated, seconds_rfc3339(epoch.value_or(system_clock().now())));
    Attrs response = image_response(image, join(names, ","));
    // Holds what was written from now on: when sending fails, it goes again.
    auto finished = std::make_unique<FinishedArchive>(*ports_.trees, std::move(image), std::move(response));
    const WrittenImage& sent = finished->image();
    KILN_RETURN_IF_ERROR(tar_ ? send_tar(sent, names, finished->response(), context) : send_blobs(sent, context));
    return std::unique_ptr<PendingExport>(std::move(finished));
  }

 private:
  bool docker() const { return flavour_ == ArchiveFlavour::kDocker; }

  Status send_tar(const WrittenImage& image, const std::vector<std::string>& names, const Attrs& response,
                  ExportContext& context) {
    session::ExportTarget target(context.sessions, context.session_id);
    auto sink = target.open_file(context.index, response, context.stop);
    if (already_there(sink.status())) return ok();
    KILN_RETURN_IF_ERROR(sink.status());
    event::Phase phase(context.reporter, "sending tarball");
    LayoutTar layout{image.root, names, docker()};
    Status status = write_layout_tar(layout, *image.blobs, **sink, context.stop);
    if (status.ok()) status = (*sink)->close();
    return already_there(status) ? ok() : status;
  }

  Status send_blobs(const WrittenImage& image, ExportContext& context) {
    session::ClientContent store(context.sessions, context.session_id, "export");
    KILN_ASSIGN_OR_RETURN(auto blobs, reachable_blobs(image.root, *image.blobs, context.stop));
    // Children first: a client may refuse a manifest whose parts it has not got.
    for (auto it = blobs.rbegin(); it != blobs.rend(); ++it) {
      KILN_ASSIGN_OR_RETURN(auto writer, store.ingest(fmt::format("export-{}", it->digest.str()), *it, context.stop));
      KILN_ASSIGN_OR_RETURN(auto source, image.blobs->open(*it, 0, context.stop));
      KILN_RETURN_IF_ERROR(copy_stream(*source, *writer).status());
      auto done = writer->commit({.digest = it->digest, .size = it->size});
      if (!done.ok() && !already_there(done.status())) return done.status();
    }
    return ok();
  }

  ArchiveFlavour flavour_;
  bool tar_;
  ImageOptions options_;
  Attrs extra_;
  ExportPorts ports_;
};

}  // namespace

Result<std::unique_ptr<Exporter>> make_archive_exporter(ArchiveFlavour flavour, Attrs attrs, const ExportPorts& ports) {
  KILN_ASSIGN_OR_RETURN(ImageOptions options, ImageOptions::take(attrs));
  bool tar = true;
  if (auto node = attrs.extract("tar"); !node.empty()) {
    KILN_ASSIGN_OR_RETURN(tar, flag_attr("tar", node.mapped()));
  }
  return std::unique_ptr<Exporter>(new ArchiveExporter(flavour, tar, std::move(options), std::move(attrs), ports));
}

}  // namespace kiln::exporter::internal
