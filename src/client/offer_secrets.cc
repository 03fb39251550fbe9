#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>

#include "base/value.h"
#include "client/offers.h"
#include "host/fd.h"

namespace kiln::client {
namespace {

constexpr std::size_t kSecretMax = 500 * 1024;

class FlagSecrets final : public session::SecretSource {
 public:
  FlagSecrets(std::map<std::string, SecretEntry> entries, EnvironmentLookup environment)
      : entries_(std::move(entries)), environment_(std::move(environment)) {}

  Result<std::optional<std::string>> secret(const std::string& id) override {
    auto at = entries_.find(id);
    if (at == entries_.end()) return std::optional<std::string>();
    if (!at->second.env.empty()) return environment_(at->second.env);
    KILN_ASSIGN_OR_RETURN(std::string value, host::read_file(at->second.file, kSecretMax));
    return std::optional<std::string>(std::move(value));
  }

 private:
  std::map<std::string, SecretEntry> entries_;
  EnvironmentLookup environment_;
};

class FdExportSink final : public session::ExportSink {
 public:
  FdExportSink(host::Fd owned, int fd) : owned_(std::move(owned)), fd_(fd) {}
  Status write(std::string_view bytes) override { return host::write_all(fd_, bytes); }
  Status close() override {
    if (!owned_.valid()) return ok();
    if (::close(owned_.release()) != 0) return errno_error(errno, "close the output file");
    return ok();
  }

 private:
  host::Fd owned_;
  int fd_;
};

}  // namespace

Result<std::shared_ptr<session::SecretSource>> make_secrets(const std::vector<SecretEntry>& entries,
                                                            const EnvironmentLookup& environment) {
  std::map<std::string, SecretEntry> by_id;
  for (const SecretEntry& entry : entries) {
    if (!entry.file.empty()) {
      struct stat stat {};
      if (::stat(entry.file.c_str(), &stat) != 0)
        return annotate(errno_error(errno, fmt::format("stat '{}'", entry.file)),
                        fmt::format("secret {}", quote(entry.id)));
      if (static_cast<std::size_t>(stat.st_size) > kSecretMax) {
        return user_error(Code::kInvalidArgument, fmt::format("secret {} too big. max size 500KiB", entry.id));
      }
    }
    by_id[entry.id] = entry;
  }
  return std::make_shared<FlagSecrets>(std::move(by_id), environment);
}

Result<std::unique_ptr<session::ExportSink>> open_file_sink(const std::string& path) {
  KILN_ASSIGN_OR_RETURN(host::Fd file, host::open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0666));
  int fd = file.get();
  return std::make_unique<FdExportSink>(std::move(file), fd);
}

Result<std::unique_ptr<session::ExportSink>> open_stdout_sink() {
  return std::make_unique<FdExportSink>(host::Fd(), STDOUT_FILENO);
}

}  // namespace kiln::client
