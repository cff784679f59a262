#define _GNU_SOURCE
#include "HostileFiles.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/syscall.h>
#include <unistd.h>

size_t hostile_allocated_bytes(void) {
  const struct mallinfo2 all = mallinfo2();
  return all.uordblks + all.hblkhd;
}

long hostile_dirty_pages(const char *path) {
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return -errno;
  // cachestat, Linux 6.5: from the start to the end of the file.
  const struct { uint64_t start, length; } range = {0, 0};
  struct { uint64_t cached, dirty, being_written, evicted, recently_evicted; } pages;
  const long result = syscall(451, file, &range, &pages, 0);
  const int code = errno;
  close(file);
  return result < 0 ? -code : (long)(pages.dirty + pages.being_written);
}
