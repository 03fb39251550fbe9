// The makers behind make_exporter, one file each.
#pragma once

#include <memory>

#include "export/exporter.h"
#include "export/internal/image_options.h"

namespace kiln::exporter::internal {

enum class ArchiveFlavour { kOci, kDocker };

Result<std::unique_ptr<Exporter>> make_image_exporter(Attrs attrs, const ExportPorts& ports);
Result<std::unique_ptr<Exporter>> make_archive_exporter(ArchiveFlavour flavour, Attrs attrs, const ExportPorts& ports);
Result<std::unique_ptr<Exporter>> make_local_exporter(Attrs attrs, const ExportPorts& ports);
Result<std::unique_ptr<Exporter>> make_tar_exporter(Attrs attrs, const ExportPorts& ports);

// Options with the result's annotations merged in and the media types settled.
Result<ImageOptions> settled_options(const ImageOptions& given, const BuildResult& result, const ExportContext& context,
                                     bool always_oci);

}  // namespace kiln::exporter::internal
