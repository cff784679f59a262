#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/// Returns a descriptor that reads as empty and accepts no bytes, for systems without /dev/null.
static int open_nothing(void) {
  const int null = open("/dev/null", O_RDWR);
  if (null >= 0) return null;
  int ends[2];
  if (pipe(ends) < 0) return -1;
  close(ends[1]);
  return ends[0];
}

void clinux_open_standard_descriptors(void) {
  for (int number = 0; number <= 2; number++) {
    if (fcntl(number, F_GETFD) >= 0) continue;
    // open returns the lowest free number, which is this one.
    const int opened = open_nothing();
    if (opened < 0 || opened == number) continue;
    dup2(opened, number);
    close(opened);
  }
}

int64_t clinux_raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
  if (limit.rlim_cur < limit.rlim_max) {
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0) limit.rlim_cur = before;
  }
  return limit.rlim_cur > INT64_MAX ? INT64_MAX : (int64_t)limit.rlim_cur;
}

int64_t clinux_address_space_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_AS, &limit) < 0) return -errno;
  return limit.rlim_cur > INT64_MAX ? INT64_MAX : (int64_t)limit.rlim_cur;
}

static int64_t first_number_in(const char *path, int64_t otherwise) {
  FILE *file = fopen(path, "re");
  if (file == NULL) return otherwise;
  long long number = 0;
  const int read = fscanf(file, "%lld", &number);
  fclose(file);
  return read == 1 ? number : otherwise;
}

int64_t clinux_address_space_used(void) {
  const int64_t pages = first_number_in("/proc/self/statm", -ENOENT);
  return pages < 0 ? pages : pages * sysconf(_SC_PAGESIZE);
}

int64_t clinux_mapping_limit(void) {
  enum { USUAL = 65530 };
  return first_number_in("/proc/sys/vm/max_map_count", USUAL);
}

int64_t clinux_process_inode(int process) {
  enum { PIDFS = 0x50494446 };
  const int number = (int)syscall(SYS_pidfd_open, process, 0);
  if (number < 0) return -errno;
  struct statfs system;
  struct stat info;
  const int is_unique = fstatfs(number, &system) == 0 && system.f_type == PIDFS &&
                        fstat(number, &info) == 0 && info.st_ino < (1ull << 62);
  close(number);
  return is_unique ? (int64_t)info.st_ino : -ENOSYS;
}

int64_t clinux_process_beginning(int process) {
  char path[32], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", process);
  FILE *file = fopen(path, "re");
  if (file == NULL) return -errno;
  text[fread(text, 1, sizeof text - 1, file)] = 0;
  fclose(file);
  // The name of the program, in parentheses, may have any character.
  const char *rest = strrchr(text, ')');
  unsigned long long began;
  enum { FIELDS = 19 };
  for (int field = 0; field <= FIELDS && rest != NULL; field++) rest = strchr(rest + 1, ' ');
  return rest != NULL && sscanf(rest, "%llu", &began) == 1 && began <= INT64_MAX ? (int64_t)began
                                                                                : -ENOENT;
}

void *clinux_allocate(size_t size) { return malloc(size > 0 ? size : 1); }
