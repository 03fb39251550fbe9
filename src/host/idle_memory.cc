#include "host/idle_memory.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "base/text.h"
#include "host/fs.h"

namespace kiln::host {
namespace {

bool is_traced() {
  Result<std::string> status = read_file("/proc/self/status", 8192);
  if (!status.ok()) return true;
  for (std::string_view line : split(*status, '\n')) {
    if (line.starts_with("TracerPid:")) return trim(line.substr(10)) != "0";
  }
  return true;
}

// Segments that may be written have pages of their own, relocated ones too; only the others can be read anew.
int unmap_readonly(dl_phdr_info* object, std::size_t, void*) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const auto& segment = object->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0 || segment.p_filesz == 0) continue;
    const std::uintptr_t begin = (object->dlpi_addr + segment.p_vaddr) / page * page;
    const std::uintptr_t end = (object->dlpi_addr + segment.p_vaddr + segment.p_filesz + page - 1) / page * page;
    (void)::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
  return 0;
}

}  // namespace

void give_back_memory() {
  ::malloc_trim(0);
  if (!is_traced()) ::dl_iterate_phdr(unmap_readonly, nullptr);
}

}  // namespace kiln::host
