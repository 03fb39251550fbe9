#include "layer/estargz.h"

#include <fmt/format.h>

#include <map>
#include <vector>

#include "layer/internal/gzip_chunk.h"
#include "layer/internal/toc.h"
#include "layer/tar_reader.h"
#include "layer/tar_writer.h"

namespace kiln::layer {
namespace {

using internal::Toc;
using internal::TocEntry;

constexpr std::size_t kBlock = 512;
constexpr std::uint64_t kContentChunkBytes = 4 << 20;
constexpr std::size_t kHeadersBytesMax = 16 << 20;

// A gzip member that is empty but for its extra field, always 51 bytes: where the table begins.
std::string footer(std::uint64_t toc_offset) {
  std::string out("\x1f\x8b\x08\x04\0\0\0\0\0\xff", 10);
  std::string field = fmt::format("{:016x}STARGZ", toc_offset);
  out += static_cast<char>(field.size() + 4);
  out += '\0';
  out += "SG";
  out += static_cast<char>(field.size());
  out += '\0';
  out += field;
  out += std::string("\x01\0\0\xff\xff", 5);
  out.append(8, '\0');
  return out;
}

// Whether the member announced by this header only describes the one after it.
bool describes_next(char type) { return type == 'x' || type == 'X' || type == 'g' || type == 'L' || type == 'K'; }

class EstargzWriter final : public EstargzEncoder {
 public:
  EstargzWriter(std::optional<int> level, ByteSink& sink) : level_(level), sink_(sink) {}

  const Digest& toc_digest() const override { return toc_digest_; }
  const std::string& appended() const override { return appended_; }

  Status write(std::string_view bytes) override {
    while (!bytes.empty()) {
      std::size_t taken = 0;
      switch (state_) {
        case State::kHeaders: {
          KILN_ASSIGN_OR_RETURN(taken, take_header(bytes));
          break;
        }
        case State::kBody: {
          KILN_ASSIGN_OR_RETURN(taken, take_body(bytes));
          break;
        }
        case State::kPadding:
          taken = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), left_));
          member_.append(bytes.substr(0, taken));
          left_ -= taken;
          if (left_ == 0) state_ = State::kHeaders;
          break;
        case State::kAfterEnd:
          taken = bytes.size();
          member_.append(bytes);
          if (member_.size() > kContentChunkBytes) KILN_RETURN_IF_ERROR(close_member());
          break;
      }
      bytes.remove_prefix(taken);
    }
    return ok();
  }

  Status finish() override {
    if (state_ != State::kAfterEnd && !(state_ == State::kHeaders && headers_.empty())) {
      return peer_error(Code::kFailedPrecondition, "tar: ends in the middle of a member");
    }
    KILN_RETURN_IF_ERROR(close_member());
    std::string table = internal::toc_json(toc_);
    toc_digest_ = Digest::of(table);
    std::uint64_t at = written_;
    StringSink tar_bytes;
    TarWriter tar(tar_bytes);
    TarEntry entry;
    entry.name = internal::kTocName;
    entry.size = table.size();
    KILN_RETURN_IF_ERROR(tar.begin(entry));
    KILN_RETURN_IF_ERROR(tar.write(table));
    KILN_RETURN_IF_ERROR(tar.finish());
    appended_ = std::move(tar_bytes.text());
    member_ = appended_;
    KILN_RETURN_IF_ERROR(close_member());
    return put(footer(at));
  }

 private:
  enum class State { kHeaders, kBody, kPadding, kAfterEnd };

  Status put(std::string_view bytes) {
    written_ += bytes.size();
    return sink_.write(bytes);
  }

  // Compresses what was gathered as one member.
  Status close_member() {
    if (member_.empty()) return ok();
    packed_.clear();
    if (!chunker_.append_member(level_.value_or(internal::kGzipDefaultLevel), member_, packed_)) {
      return environment_error(Code::kResourceExhausted, "gzip: out of memory");
    }
    member_.clear();
    return put(packed_);
  }

  // Gathers blocks until the headers of one member are whole.
  Result<std::size_t> take_header(std::string_view bytes) {
    std::size_t want = header_want_ - headers_.size();
    std::size_t n = std::min(want, bytes.size());
    headers_.append(bytes.substr(0, n));
    if (headers_.size() < header_want_) return n;
    std::string_view block = std::string_view(headers_).substr(last_header_, kBlock);
    if (block.find_first_not_of('\0') == std::string_view::npos) {
      member_ += headers_;
      headers_.clear();
      state_ = State::kAfterEnd;
      return n;
    }
    if (describes_next(block[156]) && headers_.size() == last_header_ + kBlock) {
      KILN_ASSIGN_OR_RETURN(std::uint64_t size, described_size(block));
      last_header_ = headers_.size() + (size + kBlock - 1) / kBlock * kBlock;
      header_want_ = last_header_ + kBlock;
      if (header_want_ > kHeadersBytesMax) return peer_error(Code::kFailedPrecondition, "tar: headers are too large");
      return n;
    }
    KILN_RETURN_IF_ERROR(begin_entry());
    return n;
  }

  static Result<std::uint64_t> described_size(std::string_view block) {
    std::uint64_t size = 0;
    for (char c : block.substr(124, 12)) {
      if (c >= '0' && c <= '7') size = size * 8 + static_cast<std::uint64_t>(c - '0');
    }
    if (size > kHeadersBytesMax) return peer_error(Code::kFailedPrecondition, "tar: headers are too large");
    return size;
  }

  Status begin_entry() {
    StringSource source(headers_);
    TarReader reader(source, kBlock);
    KILN_ASSIGN_OR_RETURN(const TarEntry* entry, reader.next());
    if (!entry) return peer_error(Code::kFailedPrecondition, "tar: malformed header");
    if (internal::is_toc_name(entry->name)) {
      return peer_error(Code::kFailedPrecondition, "existing TOC JSON is not allowed; decompress layer before append");
    }
    toc_.entries.push_back(internal::toc_entry(*entry));
    file_ = toc_.entries.size() - 1;
    chunk_ = file_;
    member_ += headers_;
    headers_.clear();
    header_want_ = kBlock;
    last_header_ = 0;
    if (entry->type != EntryType::kFile) return ok();
    left_ = body_size_ = entry->size;
    content_ = Hasher();
    if (left_ == 0) {
      toc_.entries[file_].digest = content_.finish().str();
      return ok();
    }
    state_ = State::kBody;
    return begin_chunk();
  }

  Status begin_chunk() {
    KILN_RETURN_IF_ERROR(close_member());
    if (left_ != body_size_) {
      TocEntry more;
      more.name = toc_.entries[file_].name;
      more.type = "chunk";
      toc_.entries.push_back(std::move(more));
      chunk_ = toc_.entries.size() - 1;
    }
    TocEntry& chunk = toc_.entries[chunk_];
    chunk.offset = written_;
    chunk.chunk_offset = body_size_ - left_;
    chunk_left_ = std::min(left_, kContentChunkBytes);
    if (left_ >= kContentChunkBytes) chunk.chunk_size = kContentChunkBytes;
    chunk_content_ = Hasher();
    return ok();
  }

  Result<std::size_t> take_body(std::string_view bytes) {
    std::size_t n = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), chunk_left_));
    std::string_view piece = bytes.substr(0, n);
    member_.append(piece);
    bool only_chunk = body_size_ <= kContentChunkBytes;
    if (!only_chunk) content_.update(piece);
    chunk_content_.update(piece);
    left_ -= n;
    chunk_left_ -= n;
    if (chunk_left_ > 0) return n;
    std::string digest = chunk_content_.finish().str();
    toc_.entries[chunk_].chunk_digest = digest;
    if (left_ > 0) {
      KILN_RETURN_IF_ERROR(begin_chunk());
      return n;
    }
    toc_.entries[file_].digest = only_chunk ? digest : content_.finish().str();
    left_ = (kBlock - body_size_ % kBlock) % kBlock;
    state_ = left_ > 0 ? State::kPadding : State::kHeaders;
    return n;
  }

  std::optional<int> level_;
  ByteSink& sink_;
  internal::GzipChunker chunker_;
  State state_ = State::kHeaders;
  std::string headers_;               // of the member that begins
  std::size_t header_want_ = kBlock;  // how much of them is asked for
  std::size_t last_header_ = 0;       // where the header block looked at begins
  std::uint64_t left_ = 0;            // of the body, or of its padding
  std::uint64_t body_size_ = 0;
  std::uint64_t chunk_left_ = 0;
  Hasher content_, chunk_content_;
  std::string member_, packed_;
  std::uint64_t written_ = 0;
  Toc toc_;
  std::size_t file_ = 0, chunk_ = 0;  // indexes of the file's and the chunk's entries
  Digest toc_digest_;
  std::string appended_;
};

}  // namespace

std::unique_ptr<EstargzEncoder> make_estargz_encoder(std::optional<int> level, ByteSink& sink) {
  return std::make_unique<EstargzWriter>(level, sink);
}

}  // namespace kiln::layer
