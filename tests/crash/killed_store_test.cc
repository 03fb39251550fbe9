// The store, its blobs and its database, killed at every call that changes the disk. A child process
// works and is ended by SIGKILL at its n-th such call, for n = 1, 2, …, until it gets through; another
// then opens what is left and checks: the stores open, a blob has the digest it is named by, what was
// reported as done is there and whole, what was not is gone or usable, and work goes on.
//
// The calls are counted by standing in front of libc here, in the test's own program: the product has
// no hook. SQLite's writes are counted, too.
#include <dlfcn.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "base/text.h"
#include "content/blob_store_file.h"
#include "host/fs.h"
#include "store/trees.h"

namespace {

std::atomic<long> calls_left{-1};  // negative: no kill

void point() {
  if (calls_left.load() >= 0 && calls_left.fetch_sub(1) == 0) ::kill(::getpid(), SIGKILL);
}

template <typename Function>
Function real(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {
int rename(const char* from, const char* to) noexcept {
  static auto next = real<int (*)(const char*, const char*)>("rename");
  point();
  return next(from, to);
}
int unlink(const char* path) noexcept {
  static auto next = real<int (*)(const char*)>("unlink");
  point();
  return next(path);
}
int unlinkat(int dir, const char* path, int flags) noexcept {
  static auto next = real<int (*)(int, const char*, int)>("unlinkat");
  point();
  return next(dir, path, flags);
}
int mkdir(const char* path, mode_t mode) noexcept {
  static auto next = real<int (*)(const char*, mode_t)>("mkdir");
  point();
  return next(path, mode);
}
int fsync(int fd) {
  static auto next = real<int (*)(int)>("fsync");
  point();
  return next(fd);
}
int fdatasync(int fd) {
  static auto next = real<int (*)(int)>("fdatasync");
  point();
  return next(fd);
}
ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t at) {
  static auto next = real<ssize_t (*)(int, const void*, size_t, off64_t)>("pwrite64");
  point();
  return next(fd, bytes, size, at);
}
ssize_t write(int fd, const void* bytes, size_t size) {
  static auto next = real<ssize_t (*)(int, const void*, size_t)>("write");
  if (fd > 2) point();
  return next(fd, bytes, size);
}
}

namespace kiln::store {
namespace {

[[noreturn]] void fail(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  ::_exit(1);
}
void must(const Status& status, const char* what) {
  if (!status.ok()) fail(fmt::format("{}: {}", what, message_of(status)));
}
template <typename T>
T must(Result<T> result, const char* what) {
  must(result.status(), what);
  return *std::move(result);
}

struct Stores {
  Pool pool;
  std::unique_ptr<content::FileBlobStore> blobs;
  std::unique_ptr<Trees> trees;

  explicit Stores(const std::string& root) {
    blobs = must(content::FileBlobStore::open(root + "/content"), "open the blobs");
    TreesOptions options;
    options.root = root + "/trees";
    options.blobs = blobs.get();
    options.pool = &pool;
    options.snapshotter = "native";
    trees = must(Trees::open(std::move(options)), "open the trees");
  }
  TreeRef make(TreeRef parent, const std::string& name) {
    MutableRef tree = must(trees->make_mutable(std::move(parent), {.description = name}), "begin a tree");
    {
      OpenTree open = must(tree->open(), "open a tree");
      host::Fd file = must(host::open_in_root(open.root.get(), name, O_WRONLY | O_CREAT, 0644), "make a file");
      must(host::write_all(file.get(), name), "write a file");
    }
    return must(tree->commit(), "commit a tree");
  }
};

// What the child says is done, a line a thing, written with one call each.
class Journal {
 public:
  explicit Journal(const std::string& path)
      : file_(must(host::open_file(path, O_WRONLY | O_CREAT | O_APPEND, 0600), "journal")) {}
  void done(const std::string& kind, const std::string& what) {
    must(host::write_all(file_.get(), fmt::format("{} {}\n", kind, what)), "journal");
  }

 private:
  host::Fd file_;
};

void work(const std::string& root) {
  Journal journal(root + "/journal");
  Stores stores(root);
  stores.trees->settle();
  TreeRef base = stores.make(nullptr, "base");
  journal.done("tree", base->id());
  TreeRef top = stores.make(base, "top");
  journal.done("tree", top->id());
  auto layers = must(stores.trees->layers(top, {}, {}), "make layers");
  for (const auto& layer : layers) journal.done("blob", layer.blob.digest.str());
  auto config = must(content::write_blob(*stores.blobs, "a config", "text/plain"), "write a blob");
  must(stores.trees->hold_blob(top, config.digest), "hold a blob");
  journal.done("blob", config.digest.str());
  MutableRef kept = must(stores.trees->make_mutable(nullptr, {.description = "kept"}), "begin a kept tree");
  must(kept->keep("the key"), "keep a tree");
  kept.reset();
  journal.done("kept", "the key");
  TreeRef doomed = stores.make(top, "doomed");
  doomed.reset();
  top.reset();
  PruneOptions options;
  options.all = true;
  options.filters = {"description==doomed"};
  must(stores.trees->prune({options}, {}).status(), "prune");
  journal.done("end", "of work");
}

void check_blobs(content::FileBlobStore& blobs) {
  must(blobs.walk([&](const content::BlobInfo& info) -> Status {
    std::string bytes = must(content::read_blob(blobs, info.digest), "read a blob");
    if (Digest::of(bytes) != info.digest) fail("a blob is not what it is named: " + info.digest.str());
    return ok();
  }),
       "walk the blobs");
}

void check(const std::string& root) {
  Stores stores(root);
  stores.trees->settle();
  for (const std::string& file : must(host::list_dir(root + "/trees"), "list")) {
    if (file.find("corrupt") != std::string::npos) fail("the database was corrupt");
  }
  check_blobs(*stores.blobs);
  const std::string journal = host::read_file(root + "/journal", 1 << 20).value_or("");
  for (std::string_view line : split(journal, '\n')) {
    auto [kind, what] = split_once(line, ' ');
    if (kind == "tree") {
      auto tree = must(stores.trees->find(what), "find a tree");
      if (!tree) fail(fmt::format("tree {} was committed and is gone", what));
      OpenTree open = must(stores.trees->open(*tree), "open a committed tree");
      const std::string& name = (*tree)->description();
      host::Fd file = must(host::open_in_root(open.root.get(), name, O_RDONLY), "open its file");
      if (must(host::read_to_end(file.get(), 100), "read its file") != name) fail("a committed tree is not whole");
    } else if (kind == "blob") {
      if (!must(stores.blobs->info(must(Digest::parse(what), "parse")), "find a blob"))
        fail(fmt::format("blob {} is gone", what));
    } else if (kind == "kept") {
      if (!must(stores.trees->take(what), "take a kept tree")) fail("the kept tree is gone");
    }
  }
  must(stores.trees->du({}, {}).status(), "du");
  TreeRef again = stores.make(nullptr, "again");
  again.reset();
  PruneOptions everything;
  everything.all = true;
  must(stores.trees->prune({everything}, {}).status(), "prune everything");
  if (!must(stores.trees->du({}, {}), "du").empty()) fail("something cannot be pruned");
  int blobs = 0;
  must(stores.blobs->walk([&](const content::BlobInfo&) { return ++blobs, ok(); }), "walk");
  // Those written in the last moments stay until the next start: somebody may be about to name them.
  if (blobs > 3) fail(fmt::format("{} blobs are left that nobody names", blobs));
}

// Runs `work` in a process of its own; gives its wait status.
int in_child(const std::function<void()>& work) {
  pid_t child = ::fork();
  if (child == 0) {
    work();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

int main_of_test() {
  auto dir = host::TempDir::make("kiln-crash-");
  if (!dir.ok()) return 1;
  long killed = 0;
  // Every point in the beginning, where stores are made; later ones in steps that meet all in time.
  for (long n = 0;; n += n < 60 ? 1 : 3) {
    const std::string root = fmt::format("{}/{}", dir->path(), n);
    (void)host::make_dir(root, 0700);
    int worked = in_child([&] {
      calls_left = n;
      work(root);
    });
    const bool through = WIFEXITED(worked) && WEXITSTATUS(worked) == 0;
    if (!through && !(WIFSIGNALED(worked) && WTERMSIG(worked) == SIGKILL)) {
      std::fprintf(stderr, "the work failed by itself before call %ld\n", n);
      return 1;
    }
    int checked = in_child([&] { check(root); });
    if (!WIFEXITED(checked) || WEXITSTATUS(checked) != 0) {
      std::fprintf(stderr, "killed at call %ld: the check fails\n", n);
      return 1;
    }
    (void)host::remove_all(root);
    if (through) break;
    ++killed;
  }
  std::printf("killed at %ld points, nothing lost\n", killed);
  return killed > 50 ? 0 : 1;
}

}  // namespace
}  // namespace kiln::store

int main() { return kiln::store::main_of_test(); }
