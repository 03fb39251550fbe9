#include "export/exporter.h"

#include <fmt/format.h>

#include "export/internal/exporters.h"

namespace kiln::exporter {

Result<std::unique_ptr<Exporter>> make_exporter(const std::string& type, const Attrs& attrs, const ExportPorts& ports) {
  if (type == "image") return internal::make_image_exporter(attrs, ports);
  if (type == "oci") return internal::make_archive_exporter(internal::ArchiveFlavour::kOci, attrs, ports);
  if (type == "docker") return internal::make_archive_exporter(internal::ArchiveFlavour::kDocker, attrs, ports);
  if (type == "local") return internal::make_local_exporter(attrs, ports);
  if (type == "tar") return internal::make_tar_exporter(attrs, ports);
  return user_error(Code::kNotFound, fmt::format("exporter \"{}\" could not be found", type));
}

}  // namespace kiln::exporter
