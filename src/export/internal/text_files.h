// Small files that exist only in memory, as a tree that a client can be sent.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "session/file_tree.h"

namespace kiln::exporter::internal {

// Filled first, then read by any thread. Files lie at the top or below folders that other trees have.
class TextFiles final : public session::FileTree {
 public:
  // False when the path is taken. The size is filled in.
  bool add(session::FileStat stat, std::string text);
  Status walk(const std::function<Status(session::FileStat&)>& visit, std::stop_token stop) override;
  Result<host::Fd> open(const std::string& path) override;
  Result<std::shared_ptr<session::FileTree>> filtered(const session::TreeFilter&) override {
    return std::shared_ptr<session::FileTree>();
  }

 private:
  struct Order {
    bool operator()(const std::string& a, const std::string& b) const { return session::compare_paths(a, b) < 0; }
  };
  std::map<std::string, std::pair<session::FileStat, std::string>, Order> files_;
};

}  // namespace kiln::exporter::internal
