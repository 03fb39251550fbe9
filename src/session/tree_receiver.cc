#include "session/internal/tree_receiver.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <unordered_map>
#include <unordered_set>

#include "base/gopath.h"
#include "session/internal/file_intake.h"
#include "session/internal/packet.h"
#include "session/internal/tree_writer.h"

namespace kiln::session::internal {
namespace {

constexpr std::size_t kRequestsMax = 1024;
constexpr std::size_t kRequestsAtOnce = 256;
constexpr std::string_view kMetadataFile = ".fsutil-metadata";

struct OpenFile {
  std::size_t entry = 0;
  FileStat stat;  // once there is a descriptor
  TreeWriter::NewFile out;
  std::unique_ptr<ContentHasher> hasher;
};

class PlainHasher final : public ContentHasher {
 public:
  void update(std::string_view bytes) override { hasher_.update(bytes); }
  Digest finish() override { return hasher_.finish(); }

 private:
  Hasher hasher_;
};

class TreeReceiver {
 public:
  TreeReceiver(PacketPipe& pipe, const SyncTarget& target, const ReceiveOptions& options, std::stop_token stop)
      : pipe_(pipe), target_(target), options_(options), stop_(std::move(stop)) {}

  Result<SyncOutcome> run() {
    Status status = receive();
    if (!status.ok()) {
      if (target_.index && outcome_.changed) target_.index->clear();
      if (!broken_) pipe_.write(error_packet(message_of(status)), MessagePipe::Flush::kNow);
      return status;
    }
    if (!options_.metadata_only) outcome_.change = change();
    if (target_.index) *target_.index = std::move(entries_);
    if (target_.progress) target_.progress(outcome_.bytes);
    return std::move(outcome_);
  }

 private:
  // What the directory holds already, in order.
  Status load_old() {
    if (target_.merge) return ok();
    if (target_.index) {
      old_ = target_.index;
      return ok();
    }
    KILN_ASSIGN_OR_RETURN(std::shared_ptr<DirTree> tree, DirTree::at(target_.dir));
    auto keep = [this](FileStat& stat) {
      listed_.append(stat, {});
      return ok();
    };
    KILN_RETURN_IF_ERROR(tree->walk(keep, stop_));
    old_ = &listed_;
    return ok();
  }

  Status receive() {
    KILN_ASSIGN_OR_RETURN(writer_, TreeWriter::open(target_.dir));
    KILN_RETURN_IF_ERROR(load_old());
    Packet packet;
    while (!(stats_done_ && requested_.empty() && wanted_.empty())) {
      KILN_RETURN_IF_ERROR(read(packet));
      KILN_RETURN_IF_ERROR(handle(packet));
      // Requests go in bunches, too: one for each entry would be a message for each.
      if (!pipe_.more_at_hand() || wanted_.size() >= kRequestsAtOnce) KILN_RETURN_IF_ERROR(send_requests());
    }
    KILN_RETURN_IF_ERROR(finish_tree());
    if (!pipe_.write(fin_packet(), MessagePipe::Flush::kNow)) return lost();
    while (packet.type != PacketType::kFin) {
      KILN_RETURN_IF_ERROR(read(packet));
      if (packet.type == PacketType::kError) return sender_error(packet);
    }
    pipe_.drain();
    return ok();
  }

  TreeChange change() {
    TreeChange out;
    for (std::size_t entry = 0; entry < written_.size(); ++entry) {
      if (written_[entry]) out.written.push_back(entry);
    }
    out.removed = std::move(removed_);
    return out;
  }

  Status lost() {
    broken_ = true;
    if (stop_.stop_requested()) return cancelled();
    return peer_error(Code::kUnavailable, "the connection broke during the transfer of files");
  }

  Status sender_error(const Packet& packet) {
    return peer_error(Code::kUnknown, fmt::format("error from sender: {}", packet.data_text()));
  }

  Status read(Packet& packet) {
    if (stop_.stop_requested()) return cancelled();
    KILN_ASSIGN_OR_RETURN(bool got, pipe_.read(packet));
    if (!got) return lost();
    if (pipe_.peer_batches() && !pipe_.batching()) pipe_.set_batching();
    outcome_.bytes = pipe_.bytes_read();
    if (++packets_ % 32 == 0) tell_progress(outcome_.bytes);
    return ok();
  }

  void tell_progress(std::int64_t bytes) {
    if (!target_.progress) return;
    auto now = std::chrono::steady_clock::now();
    if (now - told_ <= std::chrono::milliseconds(100)) return;
    told_ = now;
    target_.progress(bytes);
  }

  Status handle(const Packet& packet) {
    switch (packet.type) {
      case PacketType::kStat:
        if (stats_done_) return out_of_order("");
        if (!packet.has_stat) return end_of_stats();
        return on_stat(packet);
      case PacketType::kData: return on_data(packet);
      case PacketType::kError: return sender_error(packet);
      case PacketType::kFin: return peer_error(Code::kInvalidArgument, "the sender ended before it was asked to");
      case PacketType::kRequest: break;
    }
    return peer_error(Code::kInvalidArgument, "the sender asked for a file");
  }

  void note_change() {
    if (!outcome_.changed && target_.before_change) target_.before_change();
    outcome_.changed = true;
  }

  std::unique_ptr<ContentHasher> make_hasher(const FileStat& stat) const {
    return target_.hasher ? target_.hasher(stat) : std::make_unique<PlainHasher>();
  }

  // --- stats ---

  Status out_of_order(const std::string& path) const {
    return peer_error(Code::kInvalidArgument, fmt::format("changes out of order: \"{}\" \"{}\"", path, last_path_));
  }

  // Clean, relative, after the last one, below a directory that was told.
  Status check_order(const FileStat& stat) {
    const std::string& path = stat.path;
    if (path.empty() || path == "." || path != clean_path(path) || path[0] == '/' || path == ".." ||
        path.starts_with("../")) {
      return peer_error(Code::kInvalidArgument, fmt::format("invalid path '{}'", path));
    }
    if (compare_paths(last_path_, path) >= 0) return out_of_order(path);
    std::size_t slash = path.rfind('/');
    std::string_view parent = slash == std::string::npos ? std::string_view() : std::string_view(path).substr(0, slash);
    while (!told_dirs_.empty() && told_dirs_.back() != parent) told_dirs_.pop_back();
    if (told_dirs_.empty() && !parent.empty()) return out_of_order(path);
    if (stat.is_dir()) told_dirs_.push_back(path);
    last_path_ = path;
    return ok();
  }

  Status on_stat(const Packet& packet) {
    std::uint32_t id = next_id_++;
    FileStat stat;
    KILN_RETURN_IF_ERROR(parse_stat(packet.stat_bytes, stat));
    if (options_.metadata_only && stat.path == kMetadataFile) return ok();
    KILN_RETURN_IF_ERROR(check_order(stat));
    if (!options_.metadata_only) return keep(std::move(stat), id);
    auto size = static_cast<std::uint32_t>(packet.stat_bytes.size());
    for (int shift = 0; shift < 32; shift += 8) metadata_.push_back(static_cast<char>(size >> shift));
    metadata_ += packet.stat_bytes;
    // Directories wait until something in them is wanted.
    while (!waiting_dirs_.empty() && !path_within(waiting_dirs_.back().path, stat.path)) waiting_dirs_.pop_back();
    bool wanted = options_.metadata_only(stat.path);
    if (!wanted) {
      if (stat.is_dir()) waiting_dirs_.push_back(std::move(stat));
      return ok();
    }
    for (FileStat& dir : waiting_dirs_) KILN_RETURN_IF_ERROR(keep(std::move(dir), 0));
    waiting_dirs_.clear();
    return keep(std::move(stat), id);
  }

  Status remove_old_before(const std::string* path) {
    for (; old_at_ < old_->size(); ++old_at_) {
      std::string_view here = old_->path(old_at_);
      if (path && compare_paths(here, *path) >= 0) break;
      bool below_removed = !removed_dir_.empty() && here.starts_with(removed_dir_);
      if (below_removed || (options_.metadata_only && here == kMetadataFile)) continue;
      FileStat old = old_->stat(old_at_);
      removed_dir_ = old.is_dir() ? old.path + "/" : "";
      note_change();
      KILN_RETURN_IF_ERROR(writer_->remove(old.path, stop_));
      touch_parent(old.path);
      removed_.push_back(std::move(old.path));
    }
    return ok();
  }

  bool same(const FileStat& was, const FileStat& now) const {
    if (options_.differ == Differ::kNone) return false;
    if (!now.is_dir() && (was.size != now.size || was.modified_ns != now.modified_ns)) return false;
    if (now.is_hard_link()) {
      auto first = entries_.find(now.link);
      if (!first || written_[*first]) return false;
    }
    return was.mode == now.mode && was.uid == now.uid && was.gid == now.gid && was.link == now.link &&
           was.device_major == now.device_major && was.device_minor == now.device_minor && was.xattrs == now.xattrs;
  }

  // The directory's time changes with its entries; it is set again at the end.
  void touch_parent(std::string_view path) {
    std::size_t slash = path.rfind('/');
    if (slash == std::string_view::npos) return;
    if (auto entry = entries_.find(path.substr(0, slash))) unfinished_dirs_.insert(*entry);
  }

  Status keep(FileStat stat, std::uint32_t id) {
    if (!dropped_dir_.empty() && stat.path.starts_with(dropped_dir_)) return ok();
    stat.mode &= ~kModeSocket;
    if (target_.map && !target_.map(stat)) {
      dropped_dir_ = stat.is_dir() ? stat.path + "/" : "";
      return ok();
    }
    if (stat.is_hard_link()) {
      auto first = entries_.find(stat.link);
      FileStat target = first ? entries_.stat(*first) : FileStat();
      if (!first || !target.is_file() || target.is_hard_link()) {
        return peer_error(Code::kInvalidArgument,
                          fmt::format("invalid link {} to unknown path: \"{}\"", stat.path, stat.link));
      }
    }
    KILN_RETURN_IF_ERROR(remove_old_before(&stat.path));
    bool there = old_at_ < old_->size() && old_->path(old_at_) == stat.path;
    FileStat old;
    if (there) old = old_->stat(old_at_++);
    if (there && same(old, stat)) {
      removed_dir_.clear();
      entries_.append(*old_, old_at_ - 1);
      written_.push_back(false);
      return ok();
    }
    bool was_dir = there && old.is_dir(), was_other = there && !was_dir;
    if (target_.merge) {
      TreeWriter::Kind kind = writer_->look(stat.path);
      was_dir = kind == TreeWriter::Kind::kDir;
      was_other = kind == TreeWriter::Kind::kOther;
    }
    note_change();
    touch_parent(stat.path);
    removed_dir_ = was_dir && !stat.is_dir() ? stat.path + "/" : "";
    if (there && was_dir != stat.is_dir()) removed_.push_back(stat.path);
    entries_.append(stat, {});
    written_.push_back(true);
    return write_entry(stat, was_dir, was_other, id);
  }

  Status write_entry(const FileStat& stat, bool was_dir, bool was_other, std::uint32_t id) {
    std::size_t entry = entries_.size() - 1;
    bool replace = stat.is_dir() ? was_other : was_dir || (was_other && !stat.is_file());
    if (replace) KILN_RETURN_IF_ERROR(writer_->remove(stat.path, stop_));
    if (stat.is_dir()) {
      unfinished_dirs_.insert(entry);
      return was_dir ? ok() : writer_->make_dir(stat.path);
    }
    if (stat.is_symlink()) return writer_->make_symlink(stat);
    if (stat.mode & (kModeDevice | kModeFifo)) return writer_->make_special(stat);
    if (!stat.is_file()) {
      return peer_error(Code::kInvalidArgument, fmt::format("'{}' is of a kind that cannot be sent", stat.path));
    }
    if (stat.is_hard_link()) {
      links_.push_back(entry);
    } else {
      wanted_.push_back({id, entry});
    }
    return ok();
  }

  Status end_of_stats() {
    stats_done_ = true;
    return remove_old_before(nullptr);
  }

  // --- contents ---

  Status send_requests() {
    while (!wanted_.empty() && requested_.size() < kRequestsMax) {
      auto [id, entry] = wanted_.front();
      wanted_.pop_front();
      OpenFile file;
      file.entry = entry;
      requested_.emplace(id, std::move(file));
      bool more = !wanted_.empty() && requested_.size() < kRequestsMax;
      if (!pipe_.write(request_packet(id), more ? MessagePipe::Flush::kLater : MessagePipe::Flush::kNow)) return lost();
    }
    return ok();
  }

  Status on_data(const Packet& packet) {
    auto it = requested_.find(packet.id);
    if (it == requested_.end()) {
      return peer_error(Code::kInvalidArgument, fmt::format("invalid file request {}", packet.id));
    }
    OpenFile& file = it->second;
    if (!file.out.fd.valid()) {
      file.stat = entries_.stat(file.entry);
      KILN_ASSIGN_OR_RETURN(file.out, writer_->create_file(file.stat));
      if (target_.index) file.hasher = make_hasher(file.stat);
    }
    if (packet.file.valid()) {
      KILN_RETURN_IF_ERROR(take_file(packet.file.get(), file));
    } else {
      for (std::string_view piece : packet.data) {
        if (file.hasher) file.hasher->update(piece);
        KILN_RETURN_IF_ERROR(written(host::write_all(file.out.fd.get(), piece), file.stat.path));
      }
      if (packet.data_size > 0) return ok();
    }
    KILN_RETURN_IF_ERROR(writer_->finish_file(file.out, file.stat));
    if (file.hasher) entries_.set_digest(file.entry, file.hasher->finish());
    ++outcome_.files_written;
    requested_.erase(it);
    return ok();
  }

  static Status written(const Status& status, const std::string& path) {
    if (status.ok()) return status;
    return environment_error(Code::kResourceExhausted,
                             fmt::format("write '{}' of the context: {}", path,
                                         errno_of(status) == ENOSPC ? "no space left on device" : message_of(status)));
  }

  // Contents that came as an open file.
  Status take_file(int from, OpenFile& file) {
    std::int64_t before = pipe_.bytes_read();
    auto moved = [&](std::int64_t bytes) { tell_progress(before + bytes); };
    KILN_ASSIGN_OR_RETURN(std::int64_t bytes, take_contents(from, file.out.fd.get(), file.hasher.get(), moved, stop_));
    pipe_.add_bytes_read(bytes);
    outcome_.bytes = pipe_.bytes_read();
    return ok();
  }

  // --- the end ---

  Status finish_tree() {
    for (std::size_t entry : links_) {
      FileStat stat = entries_.stat(entry);
      KILN_RETURN_IF_ERROR(writer_->remove(stat.path, stop_));
      KILN_RETURN_IF_ERROR(writer_->make_link(stat));
      if (auto first = entries_.find(stat.link)) entries_.set_digest(entry, entries_.digest(*first));
    }
    // Inner directories first; setting an outer one's mode may close the way to them.
    std::vector<std::size_t> dirs(unfinished_dirs_.begin(), unfinished_dirs_.end());
    std::sort(dirs.rbegin(), dirs.rend());
    for (std::size_t entry : dirs) KILN_RETURN_IF_ERROR(writer_->finish_dir(entries_.stat(entry)));
    return options_.metadata_only ? write_metadata() : ok();
  }

  Status write_metadata() {
    FileStat stat;
    stat.path = kMetadataFile;
    stat.mode = 0644;
    stat.size = static_cast<std::int64_t>(metadata_.size());
    std::unique_ptr<ContentHasher> hasher = make_hasher(stat);
    hasher->update(metadata_);
    Digest digest = hasher->finish();
    auto was = old_->find(kMetadataFile);
    if (!was || old_->digest(*was) != digest) {
      note_change();
      KILN_RETURN_IF_ERROR(writer_->remove(stat.path, stop_));
      KILN_ASSIGN_OR_RETURN(TreeWriter::NewFile file, writer_->create_file(stat));
      KILN_RETURN_IF_ERROR(host::write_all(file.fd.get(), metadata_));
      KILN_RETURN_IF_ERROR(writer_->finish_file(file, stat));
    }
    // Into its place in the order.
    TreeIndex all;
    for (std::size_t entry = 0; entry < entries_.size(); ++entry) {
      if (!stat.path.empty() && compare_paths(stat.path, entries_.path(entry)) < 0) {
        all.append(stat, digest);
        stat.path.clear();
      }
      all.append(entries_, entry);
    }
    if (!stat.path.empty()) all.append(stat, digest);
    entries_ = std::move(all);
    return ok();
  }

  PacketPipe& pipe_;
  const SyncTarget& target_;
  const ReceiveOptions& options_;
  std::stop_token stop_;
  std::unique_ptr<TreeWriter> writer_;
  bool broken_ = false;  // the other end cannot be told

  TreeIndex listed_;
  const TreeIndex* old_ = &listed_;
  std::size_t old_at_ = 0;
  std::string removed_dir_;  // "dir/": gone with everything below

  std::uint32_t next_id_ = 0;
  bool stats_done_ = false;
  std::string last_path_;
  std::vector<std::string> told_dirs_;  // from the root to where the stats stand
  std::vector<FileStat> waiting_dirs_;  // metadata only: told, not yet needed
  std::string dropped_dir_;             // "dir/": left out by the map
  std::string metadata_;

  TreeIndex entries_;          // the new index
  std::vector<bool> written_;  // by entry: made anew by this sync
  std::vector<std::string> removed_;
  std::unordered_set<std::size_t> unfinished_dirs_;
  std::vector<std::size_t> links_;
  std::deque<std::pair<std::uint32_t, std::size_t>> wanted_;  // id, entry
  std::unordered_map<std::uint32_t, OpenFile> requested_;

  SyncOutcome outcome_;
  std::uint64_t packets_ = 0;
  std::chrono::steady_clock::time_point told_{};
};

}  // namespace

Result<SyncOutcome> receive_tree(PacketPipe& pipe, const SyncTarget& target, const ReceiveOptions& options,
                                 std::stop_token stop) {
  return TreeReceiver(pipe, target, options, std::move(stop)).run();
}

}  // namespace kiln::session::internal
