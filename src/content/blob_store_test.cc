// Both blob stores keep the contract; the one of files leaves nothing of an abandoned ingest.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "content/blob_provider.h"
#include "content/blob_store_file.h"
#include "testing/blob_store_memory.h"
#include "testing/contract/blob_contract.h"

namespace kiln::testing {
namespace {

struct Folder {
  Folder() {
    char name[] = "/tmp/kiln-blobs-XXXXXX";
    path = mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path;
};

std::shared_ptr<content::BlobStore> file_store() {
  auto folder = std::make_shared<Folder>();
  std::shared_ptr<content::FileBlobStore> store = *content::FileBlobStore::open(folder->path);
  return {store.get(), [store, folder](content::BlobStore*) {}};
}

INSTANTIATE_TEST_SUITE_P(File, BlobContract, ::testing::Values(BlobStoreFactory(file_store)));
INSTANTIATE_TEST_SUITE_P(Memory, BlobContract,
                         ::testing::Values(BlobStoreFactory([] { return std::make_shared<MemoryBlobStore>(); })));

TEST(FileBlobStore, AnAbandonedIngestLeavesNoFile) {
  Folder folder;
  auto store = *content::FileBlobStore::open(folder.path);
  { ASSERT_TRUE((*store->ingest())->write("lost").ok()); }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path + "/ingest"));
}

TEST(FileBlobStore, ProcessesThatShareAFolderLeaveEachOthersIngestsAlone) {
  Folder folder;
  using Owner = content::FileBlobStore::Owner;
  auto store = *content::FileBlobStore::open(folder.path, Owner::kOneOfMany);
  auto writer = *store->ingest();
  ASSERT_TRUE(writer->write("slow").ok());
  const std::string old = folder.path + "/ingest/old";
  std::ofstream(old) << "left";
  std::filesystem::last_write_time(old, std::filesystem::file_time_type::clock::now() - std::chrono::hours(25));
  auto other = *content::FileBlobStore::open(folder.path, Owner::kOneOfMany);
  EXPECT_FALSE(std::filesystem::exists(old));
  EXPECT_TRUE(writer->commit({}).ok());
  EXPECT_TRUE(*other->info(Digest::of("slow")));
}

TEST(BlobProvider, ChainFallsThroughAndFetchVerifies) {
  MemoryBlobStore near, far, target;
  content::StoreProvider n(near), f(far);
  content::ChainProvider both({&n, &f});
  auto d = *content::write_blob(far, "far bytes", "text/plain");
  EXPECT_EQ(*content::read_blob(both, d, {}), "far bytes");
  EXPECT_TRUE(content::fetch_blob(both, d, target, {}).ok());
  EXPECT_TRUE(target.info(d.digest)->has_value());
  content::Descriptor lie = d;
  lie.size = 3;
  MemoryBlobStore empty;
  EXPECT_FALSE(content::fetch_blob(both, lie, empty, {}).ok());
  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(is_cancelled(content::fetch_blob(both, d, empty, stop.get_token())));
}

}  // namespace
}  // namespace kiln::testing
