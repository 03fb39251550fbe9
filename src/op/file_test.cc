// File steps against BuildKit: their keys for the same bytes, and what each action does to a tree.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/text.h"
#include "content/blob_store_file.h"
#include "graph/definition.h"
#include "host/fs.h"
#include "op/file_key.h"
#include "op/file_mode.h"
#include "op/op_factory.h"
#include "op/tree_output.h"

namespace kiln::op {
namespace {

std::string unhex(std::string_view hex) {
  std::string out;
  auto value = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) out += static_cast<char>(value(hex[i]) * 16 + value(hex[i + 1]));
  return out;
}

// An op's bytes, what BuildKit takes for its key, and the selectors of its inputs ("" for none).
struct Known {
  const char* bytes;
  const char* digest;
  std::vector<std::string> selectors;
};

TEST(FileKey, IsWhatBuildKitComputesForTheSameBytes) {
  const Known kKnown[] = {
      {"0a490a477368613235363a653362306334343239386663316331343961666266346338393936666239323432376165343165"
       "343634396239333463613439353939316237383532623835352225122310ffffffffffffffffff0132160a042f61707010ed"
       "03180128ffffffffffffffffff01",
       "sha256:7ea5325d7cca0cfc78567c2d7347cc6dac674e45bef5edb2a83f5b7cf188ff3a",
       {""}},
      {"0a490a477368613235363a653362306334343239386663316331343961666266346338393936666239323432376165343165"
       "343634396239333463613439353939316237383532623835350a4b0a477368613235363a6533623063343432393866633163"
       "3134396166626634633839393666623932343237616534316534363439623933346361343935393931623738353262383535"
       "100122471245100122410a092f7372632f2a2e676f12052f6f75742f1a0d0a070a050a036170701202100020ffffffffffff"
       "ffffff012801300140014801500158ffffffffffffffffff01",
       "sha256:a15eb8a5ee0e342cf0d8353684e9001df42285b03853df4e50ad2deda294c8a1",
       {"", "sha256:44f7ee765e47576a866d3c3b730203b56a804822284cf7c24f6b06c5785bd515"}},
      {"0a490a477368613235363a653362306334343239386663316331343961666266346338393936666239323432376165343165"
       "343634396239333463613439353939316237383532623835350a4b0a477368613235363a6533623063343432393866633163"
       "3134396166626634633839393666623932343237616534316534363439623933346361343935393931623738353262383535"
       "10010a4b0a477368613235363a65336230633434323938666331633134396166626634633839393666623932343237616534"
       "316534363439623933346361343935393931623738353262383535100222ae01125308ffffffffffffffffff01100118ffff"
       "ffffffffffffff0122390a052f612f622f12012f1a040a02100520a403380158959aef3a62042a2e6d646a03783c7970017a"
       "0b753d7277582c676f3d72588201022f61122f0803100218ffffffffffffffffff01221e0a022f7a12022f7a20ffffffffff"
       "ffffffff0158ffffffffffffffffff0112260804100222200a042f7a2f7912022f7a20ffffffffffffffffff0158ffffffff"
       "ffffffffff01",
       "sha256:8e3b4991566fef7d7251112589deb1500edde354d8862fd42549c22ab5048e9f",
       {"", "sha256:6c591c78154323b3b7f6de1b14ad3656ed04ece5ad8e78c37c05c32cab9111b1",
        "sha256:e9bab73516a530e43b1083cf8fbd15bb0748760e9a311ffdca6c2d41549a9ad9"}},
      {"0a490a477368613235363a653362306334343239386663316331343961666266346338393936666239323432376165343165"
       "34363439623933346361343935393931623738353262383535229601124708ffffffffffffffffff0110ffffffffffffffff"
       "ff0118ffffffffffffffffff012a240a022f661080031a076865006c6c6fff220712050a030a016728ffffffffffffffffff"
       "011231080110ffffffffffffffffff0118ffffffffffffffffff0142170a022f6612022f6c1a020a0020ffffffffffffffff"
       "ff011218080210ffffffffffffffffff013a090a032f662a10011801",
       "sha256:2ec49f99ef69ed45821b064a8786eee1eda9954d7fe56c9ef985b7c3a7705ded",
       {"sha256:ed448de483a77a745f150b021c026ae468a0d3374c0b5fe4cb40b94e9b5e4ca5"}},
  };
  for (const Known& known : kKnown) {
    Result<graph::Op> op = graph::decode_op(unhex(known.bytes));
    ASSERT_TRUE(op.ok()) << op.status();
    const auto& file = std::get<graph::FileOp>(op->kind);
    EXPECT_EQ(Digest::of(file_key_json(file, op->inputs.size())).str(), known.digest);
    auto views = file_input_views(file, op->inputs.size());
    ASSERT_TRUE(views.ok()) << views.status();
    for (std::size_t i = 0; i < views->size(); ++i) {
      EXPECT_EQ(input_rule((*views)[i]).selector, known.selectors[i]);
      EXPECT_EQ(input_rule((*views)[i]).content_keyed, !known.selectors[i].empty());
    }
  }
}

std::string key_of(graph::OpKind kind, std::size_t inputs) {
  auto vertex = std::make_shared<graph::Vertex>();
  vertex->op.kind = std::move(kind);
  vertex->inputs.resize(inputs);
  solve::RunContext context{.stop = {}, .reporter = event::null_reporter(), .vertex = {}, .sessions = {}};
  return (*(*make_op(vertex, {}))->cache_map(0, context)).digest;
}

TEST(FileKey, MergesAndDifferencesToo) {
  EXPECT_EQ(key_of(graph::MergeOp{{0, 1}}, 2),
            "sha256:436287a2dc2ce494f564331be9ea3a9f27ebec398567877043da2f618f33d6c8");
  EXPECT_EQ(key_of(graph::DiffOp{0, -1}, 1), "sha256:6e0de09dd8f26a37f3bad55c0d772fc424005c39b3eeebcd5573955979e3edea");
}

TEST(FileKey, SelectorsBelowAnotherAreNotHashedTwice) {
  std::vector<FileSelector> selectors = {
      {"/a/b", {}}, {"/a", {}}, {"/a", {.follow_links = true}}, {"/x*", {.wildcard = true}}};
  std::vector<std::string> paths;
  for (const FileSelector& s : distinct_selectors(selectors)) paths.push_back(s.path);
  EXPECT_EQ(paths, (std::vector<std::string>{"/a", "/a", "/x*"}));
  EXPECT_EQ(distinct_selectors({})[0].path, "/");
}

TEST(FileMode, ReadsWhatChmodReads) {
  auto applied = [](std::string_view text, std::uint32_t mode) {
    auto change = ModeChange::parse(text);
    return change.ok() ? change->apply(mode) : 0u;
  };
  EXPECT_EQ(applied("755", S_IFREG | 0600), 0755u);
  EXPECT_EQ(applied("u=rwX,go=rX", S_IFREG | 0600), 0644u);
  EXPECT_EQ(applied("u=rwX,go=rX", S_IFDIR | 0700), 0755u);
  EXPECT_EQ(applied("a+x", S_IFREG | 0644), 0755u);
  EXPECT_EQ(applied("go-w,u+s", S_IFREG | 0777), 04755u);
  EXPECT_EQ(applied("+t", S_IFDIR | 0777), 01777u);
  EXPECT_EQ(applied("g=u,o=", S_IFREG | 0750), 0770u);
  EXPECT_EQ(applied("u=rw,g+r,o-rwx", S_IFREG | 0707), 0640u);
  for (const char* bad : {"", "u", "u!x", "9", "07777777", "u=r,", "z+x"})
    EXPECT_FALSE(ModeChange::parse(bad).ok()) << bad;
}

class FileOpTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    auto dir = host::TempDir::make("kiln-file-test-");
    ASSERT_TRUE(dir.ok());
    dir_ = std::move(*dir);
    auto blobs = content::FileBlobStore::open(dir_.path() + "/content");
    ASSERT_TRUE(blobs.ok());
    blobs_ = std::move(*blobs);
    store::TreesOptions options;
    options.root = dir_.path() + "/store";
    options.blobs = blobs_.get();
    options.pool = &pool_;
    auto trees = store::Trees::open(options);
    ASSERT_TRUE(trees.ok()) << trees.status();
    trees_ = std::move(*trees);
  }

  // Runs actions, each on the one before; copies come from the second input.
  using Action = decltype(graph::FileAction::action);
  Result<store::TreeRef> run(std::vector<store::TreeRef> inputs, std::vector<Action> actions) {
    graph::FileOp op;
    const auto count = static_cast<std::int64_t>(inputs.size());
    for (std::size_t i = 0; i < actions.size(); ++i) {
      graph::FileAction action;
      action.input =
          i == 0 ? (inputs.empty() || !inputs[0] ? graph::kNoInput : 0) : count + static_cast<std::int64_t>(i) - 1;
      if (std::holds_alternative<graph::CopyAction>(actions[i]))
        action.secondary_input = count > 1 ? 1 : graph::kNoInput;
      action.output = i + 1 == actions.size() ? 0 : graph::kSkipOutput;
      action.action = std::move(actions[i]);
      op.actions.push_back(std::move(action));
    }
    return run_op(std::move(op), std::move(inputs));
  }
  Result<store::TreeRef> run_op(graph::FileOp op, std::vector<store::TreeRef> inputs) {
    auto vertex = std::make_shared<graph::Vertex>();
    vertex->op.kind = std::move(op);
    vertex->inputs.resize(inputs.size());
    OpPorts ports;
    ports.trees = trees_.get();
    ports.pool = &pool_;
    KILN_ASSIGN_OR_RETURN(auto made, make_file_op(vertex, ports));
    std::vector<solve::OutputRef> outputs;
    for (store::TreeRef& tree : inputs) outputs.push_back(make_output(std::move(tree)));
    solve::RunContext context{.stop = {}, .reporter = event::null_reporter(), .vertex = {}, .sessions = {}};
    KILN_ASSIGN_OR_RETURN(std::vector<solve::OutputRef> results, made->run(outputs, context));
    return tree_of(results.at(0));
  }
  // The tree after the actions, or a failed test.
  store::TreeRef must(Result<store::TreeRef> tree) {
    EXPECT_TRUE(tree.ok()) << tree.status();
    return tree.ok() ? *tree : nullptr;
  }
  // "path mode uid:gid content" of everything in a tree.
  std::vector<std::string> list(const store::TreeRef& tree) {
    std::vector<std::string> lines;
    auto open = trees_->open(tree);
    if (open.ok()) list_dir(open->root.get(), "", lines);
    return lines;
  }
  void list_dir(int root, const std::string& path, std::vector<std::string>& lines) {
    auto dir = host::open_at(root, path.empty() ? "." : path, O_RDONLY | O_DIRECTORY);
    auto names = host::list_dir(dir->get());
    for (const std::string& name : *names) {
      std::string at = path.empty() ? name : path + "/" + name;
      struct stat info;
      ::fstatat(root, at.c_str(), &info, AT_SYMLINK_NOFOLLOW);
      std::string text;
      if (S_ISREG(info.st_mode)) text = *host::read_to_end(host::open_at(root, at, O_RDONLY)->get(), 1 << 20);
      if (S_ISLNK(info.st_mode)) text = "->" + *host::read_link_at(root, at);
      if (S_ISDIR(info.st_mode)) text = "/";
      lines.push_back(fmt::format("{} {:o} {}:{} {}", at, info.st_mode & 07777, info.st_uid, info.st_gid, text));
      if (S_ISDIR(info.st_mode)) list_dir(root, at, lines);
    }
  }
  struct stat stat_of(const store::TreeRef& tree, const std::string& path) {
    auto open = trees_->open(tree);
    auto info = host::stat_in_root(open->root.get(), path, host::FollowLast::kNo);
    EXPECT_TRUE(info.ok() && *info) << path;
    return info.ok() && *info ? **info : (struct stat){};
  }
  static graph::MkfileAction file(std::string path, std::string text = "x", int mode = 0644) {
    return {.path = std::move(path), .mode = mode, .data = std::move(text)};
  }
  static graph::MkdirAction folder(std::string path, bool parents = true, int mode = 0755) {
    return {.path = std::move(path), .mode = mode, .make_parents = parents};
  }
  static graph::CopyAction copy(std::string from, std::string to) {
    graph::CopyAction action;
    action.src = std::move(from);
    action.dest = std::move(to);
    action.create_dest_path = true;
    action.dir_copy_contents = true;
    action.follow_symlink = true;
    action.allow_wildcard = true;
    return action;
  }
  static std::string error_of(const Result<store::TreeRef>& tree) {
    return tree.ok() ? "(fine)" : std::string(message_of(tree.status()));
  }
  using Lines = std::vector<std::string>;

  host::TempDir dir_;
  Pool pool_;
  std::unique_ptr<content::FileBlobStore> blobs_;
  std::unique_ptr<store::Trees> trees_;
};

TEST_F(FileOpTest, SmallActionsWorkOneAfterTheOther) {
  auto owned = file("/a/b/own", "o", 04755);
  owned.owner = graph::Chown{graph::UserRef(std::uint32_t{7}), std::nullopt};
  owned.timestamp = 1'000'000'000;
  auto tree = must(run({}, {folder("/a/b"), file("/a/b/f", "text", 0600), owned, graph::SymlinkAction{"f", "/a/b/l"},
                            file("/gone"), graph::RmAction{"/gone"}}));
  EXPECT_EQ(list(tree),
            (Lines{"a 755 0:0 /", "a/b 755 0:0 /", "a/b/f 600 0:0 text", "a/b/l 777 0:0 ->f", "a/b/own 755 7:7 o"}));
  EXPECT_EQ(stat_of(tree, "a/b/own").st_mtim.tv_sec, 1);
  // On top of it, through an overlay.
  auto top = must(run({tree}, {file("/a/b/l", "through the link"), folder("/a/b"),
                               graph::RmAction{.path = "/a/b/o*", .allow_wildcard = true}}));
  EXPECT_EQ(list(top), (Lines{"a 755 0:0 /", "a/b 755 0:0 /", "a/b/f 600 0:0 through the link", "a/b/l 777 0:0 ->f"}));
}

TEST_F(FileOpTest, ErrorsAreInGosWords) {
  auto base = must(run({}, {file("/f"), folder("/d/e")}));
  EXPECT_EQ(error_of(run({base}, {folder("/x/y", false)})), "mkdir /x/y: no such file or directory");
  EXPECT_EQ(error_of(run({base}, {folder("/f/y")})), "mkdir /f: not a directory");
  EXPECT_EQ(error_of(run({base}, {file("/d")})), "open /d: is a directory");
  EXPECT_EQ(error_of(run({base}, {file("/no/f")})), "open /no/f: no such file or directory");
  EXPECT_EQ(error_of(run({base}, {graph::RmAction{"/no"}})), "stat /no: no such file or directory");
  EXPECT_EQ(error_of(run({base}, {graph::RmAction{"/"}})), "rmPath: invalid empty path");
  EXPECT_EQ(error_of(run({base, base}, {copy("/no*", "/x")})), "/no* not found");
  EXPECT_EQ(error_of(run({base, base}, {copy("/no", "/x")})), "lstat /no: no such file or directory");
  EXPECT_EQ(error_of(run({base, base}, {copy("/d", "/f")})), "cannot copy to non-directory: /f");
  auto to_dir = copy("/f", "/d/e/x");
  to_dir.create_dest_path = false;
  EXPECT_EQ(error_of(run({base, base}, {to_dir})), "(fine)");
  to_dir.dest = "/no/x";
  EXPECT_EQ(error_of(run({base, base}, {to_dir})), "failed to stat /no/x: lstat /no: no such file or directory");
  EXPECT_EQ(error_of(run({base}, {graph::RmAction{.path = "/no", .allow_not_found = true}})), "(fine)");
}

TEST_F(FileOpTest, AZeroByteCutsNoPath) {
  auto base = must(run({}, {file("/f", "text"), folder("/d")}));
  const std::string zero("/d\0/x", 5);
  for (const Action& action : std::vector<Action>{file(zero), folder(zero), graph::RmAction{zero},
                                                  graph::SymlinkAction{zero, "/l"}, graph::SymlinkAction{"/l", zero}}) {
    auto made = run({base}, {action});
    EXPECT_EQ(made.status().code(), Code::kInvalidArgument);
    EXPECT_NE(error_of(made).find("/d\\x00/x"), std::string::npos) << error_of(made);
  }
  EXPECT_EQ(run({base, base}, {copy(zero, "/x")}).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(run({base, base}, {copy("/f", zero)}).status().code(), Code::kInvalidArgument);
}

TEST_F(FileOpTest, CopyPlacesFilesAndDirectories) {
  auto source = must(run({}, {folder("/src/sub", true, 0700), file("/src/a", "a", 0640), file("/src/sub/b", "b"),
                              file("/top", "t"), graph::SymlinkAction{"/src", "/ln"}}));
  EXPECT_EQ(list(must(run({nullptr, source}, {copy("/top", "/new/")}))), (Lines{"new 755 0:0 /", "new/top 644 0:0 t"}));
  EXPECT_EQ(list(must(run({nullptr, source}, {copy("/top", "/new")}))), (Lines{"new 644 0:0 t"}));
  EXPECT_EQ(list(must(run({nullptr, source}, {copy("/ln", "/x")}))),
            (Lines{"x 755 0:0 /", "x/a 640 0:0 a", "x/sub 700 0:0 /", "x/sub/b 644 0:0 b"}));
  EXPECT_EQ(list(must(run({nullptr, source}, {copy("/src/*", "/x/")}))),
            (Lines{"x 755 0:0 /", "x/a 640 0:0 a", "x/b 644 0:0 b"}));
  auto whole = copy("/src", "/x");
  whole.dir_copy_contents = false;
  auto dir = must(run({}, {folder("/x")}));
  EXPECT_EQ(list(must(run({dir, source}, {whole}))), (Lines{"x 755 0:0 /", "x/src 700 0:0 /", "x/src/a 640 0:0 a",
                                                            "x/src/sub 700 0:0 /", "x/src/sub/b 644 0:0 b"}));
  auto link = copy("/ln", "/x/");
  link.follow_symlink = false;
  EXPECT_EQ(list(must(run({dir, source}, {link}))), (Lines{"x 755 0:0 /", "x/ln 777 0:0 ->/src"}));
}

TEST_F(FileOpTest, CopyHonoursOwnersModesTimesAndPatterns) {
  auto source = must(
      run({}, {folder("/s/d"), file("/s/a.md"), file("/s/d/b.md"), file("/s/d/c.txt"), file("/s/run", "r", 0755)}));
  auto base = must(
      run({}, {folder("/etc"), file("/etc/passwd", "root:x:0:0\nme:x:12:34:\n"), file("/etc/group", "g:x:56:\n")}));
  auto action = copy("/s/", "/out/");
  action.include_patterns = {"**/*.md"};
  action.exclude_patterns = {"a*"};
  action.mode_str = "u=rwX,go=";
  action.timestamp = 5'000'000'000;
  action.owner = graph::Chown{graph::UserRef(graph::NamedUser{"me", 0}), graph::UserRef(graph::NamedUser{"g", 0})};
  auto tree = must(run({base, source}, {action}));
  auto lines = list(tree);
  lines.erase(lines.begin(), lines.begin() + 3);
  EXPECT_EQ(lines, (Lines{"out 755 12:56 /", "out/d 700 12:56 /", "out/d/b.md 600 12:56 x"}));
  for (const char* path : {"out", "out/d", "out/d/b.md"}) EXPECT_EQ(stat_of(tree, path).st_mtim.tv_sec, 5) << path;
  auto octal = copy("/s/run", "/r");
  octal.mode = 04711;
  octal.owner = graph::Chown{graph::UserRef(graph::NamedUser{"nobody-knows", 0}), std::nullopt};
  EXPECT_EQ(list(must(run({base, source}, {octal}))).back(), "r 4711 0:0 r");
  // A folder that comes to be on the way takes no set-id bits.
  octal.dest = "/x/r";
  lines = list(must(run({base, source}, {octal})));
  lines.erase(lines.begin(), lines.end() - 2);
  EXPECT_EQ(lines, (Lines{"x 711 0:0 /", "x/r 4711 0:0 r"}));
}

TEST_F(FileOpTest, CopyReplacesWhatIsInTheWayWhenTold) {
  auto source = must(run({}, {folder("/s/dir"), file("/s/dir/f"), file("/s/file", "new")}));
  auto base = must(run({}, {folder("/t/file/deep"), graph::SymlinkAction{"/etc", "/t/dir"}}));
  auto action = copy("/s/", "/t/");
  EXPECT_EQ(error_of(run({base, source}, {action})), "cannot copy to non-directory: /t/dir");
  action.always_replace_existing_dest_paths = true;
  EXPECT_EQ(list(must(run({base, source}, {action}))),
            (Lines{"t 755 0:0 /", "t/dir 755 0:0 /", "t/dir/f 644 0:0 x", "t/file 644 0:0 new"}));
}

TEST_F(FileOpTest, LinksNeverLeadOutOfTheTree) {
  ASSERT_TRUE(host::write_file(dir_.path() + "/secret", "outside").ok());
  std::string up = "../../../../../../../.." + dir_.path();
  auto source = must(run({}, {graph::SymlinkAction{up, "/up"}, graph::SymlinkAction{dir_.path() + "/secret", "/abs"}}));
  EXPECT_FALSE(run({nullptr, source}, {copy("/up/secret", "/stolen")}).ok());
  EXPECT_FALSE(run({nullptr, source}, {copy("/abs", "/stolen")}).ok());
  auto written = run({source}, {file("/up/planted")});
  EXPECT_FALSE(host::exists(dir_.path() + "/planted"));
  (void)run({source}, {graph::RmAction{"/up/secret"}});
  EXPECT_TRUE(host::exists(dir_.path() + "/secret"));
}

TEST_F(FileOpTest, HardLinksAndAttributesSurviveACopy) {
  auto work = trees_->make_mutable(nullptr, {});
  {
    auto open = (*work)->open();
    std::string root = open->path();
    ASSERT_TRUE(host::write_file(root + "/one", "1").ok());
    ASSERT_EQ(::link((root + "/one").c_str(), (root + "/two").c_str()), 0);
    ASSERT_EQ(::mkfifo((root + "/pipe").c_str(), 0600), 0);
    if (!host::set_xattr(root + "/one", "user.k", "v").ok()) GTEST_SKIP() << "no user attributes";
  }
  auto source = *(*work)->commit();
  auto tree = must(run({nullptr, source}, {copy("/", "/x/")}));
  EXPECT_EQ(stat_of(tree, "x/one").st_ino, stat_of(tree, "x/two").st_ino);
  EXPECT_TRUE(S_ISFIFO(stat_of(tree, "x/pipe").st_mode));
  auto open = trees_->open(tree);
  EXPECT_EQ(host::xattr_of(open->path() + "/x/two", "user.k"), "v");
}

TEST_F(FileOpTest, ArchivesAreUnpackedWhateverTheirCompression) {
  ASSERT_TRUE(host::make_dirs(dir_.path() + "/in/d").ok());
  ASSERT_TRUE(host::write_file(dir_.path() + "/in/d/f", "packed").ok());
  auto work = trees_->make_mutable(nullptr, {});
  {
    auto open = (*work)->open();
    for (const char* how : {"cf plain", "czf gz", "cjf bz2", "cJf xz"}) {
      auto [flags, name] = split_once(how, ' ');
      std::string command = fmt::format("tar {} {}/{} -C {}/in d 2>/dev/null", flags, open->path(), name, dir_.path());
      command = replace_all(command, "/proc/self/", fmt::format("/proc/{}/", ::getpid()));
      if (::system(command.c_str()) != 0) (void)host::remove_all(fmt::format("{}/{}", open->path(), name));
    }
    ASSERT_TRUE(host::write_file(open->path() + "/text", "no archive at all, but some text").ok());
  }
  auto source = *(*work)->commit();
  for (const std::string& line : list(source)) {
    std::string name(split_once(line, ' ').first);
    auto action = copy("/" + name, "/x/");
    action.attempt_unpack = true;
    action.owner = graph::Chown{graph::UserRef(std::uint32_t{9}), std::nullopt};
    Lines want = name == "text" ? Lines{"x 755 9:9 /", "x/text 644 9:9 no archive at all, but some text"}
                                : Lines{"x 755 9:9 /", "x/d 755 9:9 /", "x/d/f 644 9:9 packed"};
    EXPECT_EQ(list(must(run({nullptr, source}, {action}))), want) << name;
  }
}

TEST_F(FileOpTest, ActionsMayForkAndBeUsedTwice) {
  // 0: mkfile /a; 1: mkfile /b on it; 2: copy of 1's /a onto 0 again. Outputs: 2 and 1.
  graph::FileOp op;
  op.actions.resize(3);
  op.actions[0] = {-1, -1, -1, file("/a")};
  op.actions[1] = {0, -1, 1, file("/b")};
  auto again = copy("/b", "/c");
  op.actions[2] = {0, 1, 0, again};
  auto tree = must(run_op(op, {}));
  EXPECT_EQ(list(tree), (Lines{"a 644 0:0 x", "c 644 0:0 x"}));
  op.actions[0].input = 2;
  EXPECT_EQ(error_of(run_op(op, {})), "loop from index 2");
  op.actions[0].input = 9;
  EXPECT_FALSE(run_op(op, {}).ok());
}

}  // namespace
}  // namespace kiln::op
