#define _GNU_SOURCE
#include "Intrusions.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ENTRIES, COMPLETIONS, HEAD, TAIL, MASK, ARRAY, DONE_HEAD, DONE_TAIL, DONE_MASK, DONE };

int intrusion_of_ring(int descriptor, const unsigned *layout, int operation) {
  const size_t size = layout[DONE] + layout[COMPLETIONS] * sizeof(struct io_uring_cqe);
  const size_t entries_size = layout[ENTRIES] * sizeof(struct io_uring_sqe);
  char *ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, IORING_OFF_SQ_RING);
  struct io_uring_sqe *entries =
      mmap(NULL, entries_size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, IORING_OFF_SQES);
  if (ring == MAP_FAILED || entries == MAP_FAILED) return -errno;
  unsigned *tail = (unsigned *)(ring + layout[TAIL]);
  const unsigned place = *tail & *(unsigned *)(ring + layout[MASK]);
  memset(&entries[place], 0, sizeof *entries);
  entries[place].opcode = (uint8_t)operation;
  entries[place].fd = AT_FDCWD;
  entries[place].addr = (uintptr_t) "/etc/shadow";
  ((unsigned *)(ring + layout[ARRAY]))[place] = place;
  __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
  syscall(SYS_io_uring_enter, descriptor, 1, 1, IORING_ENTER_GETEVENTS, NULL, (size_t)0);
  unsigned *head = (unsigned *)(ring + layout[DONE_HEAD]);
  const struct io_uring_cqe *done = (struct io_uring_cqe *)(ring + layout[DONE]);
  const int result = done[*head & *(unsigned *)(ring + layout[DONE_MASK])].res;
  __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
  munmap(ring, size);
  munmap(entries, entries_size);
  return result;
}
