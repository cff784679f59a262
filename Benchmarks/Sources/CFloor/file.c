#define _GNU_SOURCE
#include "CFloor.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

int floor_move(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return sched_setaffinity(0, sizeof set, &set);
}

/// xorshift64: a call of it is nothing beside one of the system.
static uint64_t next_number(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

double floor_file(const char *path, size_t block, int writes, int is_random, uint64_t nanoseconds) {
  const int fd = open(path, (writes ? O_RDWR : O_RDONLY) | O_CLOEXEC);
  struct stat status;
  if (fd < 0 || fstat(fd, &status) != 0 || (size_t)status.st_size < block) return -1;
  const uint64_t blocks = (uint64_t)status.st_size / block;
  char *buffer = aligned_alloc(4096, block);
  memset(buffer, 'x', block);
  const struct iovec piece = {buffer, block};
  uint64_t random = 88172645463325252u, place = 0, done = 0;
  const uint64_t start = floor_now();
  uint64_t now = start;
  while (now - start < nanoseconds) {
    for (int turn = 0; turn < 64; turn++, done++) {
      place = is_random ? next_number(&random) % blocks : (place + 1) % blocks;
      const off_t offset = (off_t)(place * block);
      const ssize_t moved =
          writes ? pwritev2(fd, &piece, 1, offset, 0) : preadv2(fd, &piece, 1, offset, 0);
      if (moved != (ssize_t)block) {
        done = 0;
        goto end;
      }
    }
    now = floor_now();
  }
end:
  free(buffer);
  close(fd);
  return done == 0 ? -1 : (double)done * 1e9 / (double)(now - start);
}
