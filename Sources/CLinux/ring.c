#define _GNU_SOURCE
#include "CLinuxRing.h"
#include "ring_operations.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct clinux_ring {
  int descriptor;
  unsigned entries;
  struct clinux_ring_layout layout;
  /// End of the entries filled but not yet visible to the kernel.
  unsigned filled;
  void *rings;
  size_t rings_size;
  struct io_uring_sqe *operations;
  size_t operations_size;
  // In the mapping shared with the kernel:
  unsigned *submit_head, *submit_tail, *submit_mask, *submit_array;
  unsigned *complete_head, *complete_tail, *complete_mask;
  struct io_uring_cqe *completions;
};

static int setup(unsigned entries, struct io_uring_params *params) {
  const long result = syscall(SYS_io_uring_setup, entries, params);
  return result < 0 ? -errno : (int)result;
}

static int enter(int descriptor, unsigned submit, unsigned least, unsigned flags) {
  const long result =
      syscall(SYS_io_uring_enter, descriptor, submit, least, flags, NULL, (size_t)0);
  return result < 0 ? -errno : (int)result;
}

static size_t larger(size_t one, size_t other) { return one > other ? one : other; }

static struct clinux_ring_layout layout_of(const struct io_uring_params *params) {
  return (struct clinux_ring_layout){{
      params->sq_entries, params->cq_entries, params->sq_off.head, params->sq_off.tail,
      params->sq_off.ring_mask, params->sq_off.array, params->cq_off.head, params->cq_off.tail,
      params->cq_off.ring_mask, params->cq_off.cqes,
  }};
}

static struct io_uring_params parameters_of(const struct clinux_ring_layout *layout) {
  const uint32_t *numbers = layout->numbers;
  return (struct io_uring_params){
      .sq_entries = numbers[0],
      .cq_entries = numbers[1],
      .sq_off = {.head = numbers[2], .tail = numbers[3], .ring_mask = numbers[4], .array = numbers[5]},
      .cq_off = {.head = numbers[6], .tail = numbers[7], .ring_mask = numbers[8], .cqes = numbers[9]},
  };
}

static int map_rings(struct clinux_ring *ring, const struct io_uring_params *params) {
  const int protection = PROT_READ | PROT_WRITE, kind = MAP_SHARED | MAP_POPULATE;
  ring->rings_size =
      larger(params->sq_off.array + params->sq_entries * sizeof(unsigned),
             params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe));
  ring->rings =
      mmap(NULL, ring->rings_size, protection, kind, ring->descriptor, IORING_OFF_SQ_RING);
  if (ring->rings == MAP_FAILED) return -errno;
  ring->operations_size = params->sq_entries * sizeof(struct io_uring_sqe);
  void *operations =
      mmap(NULL, ring->operations_size, protection, kind, ring->descriptor, IORING_OFF_SQES);
  if (operations == MAP_FAILED) return -errno;
  ring->operations = operations;
  char *base = ring->rings;
  ring->submit_head = (unsigned *)(base + params->sq_off.head);
  ring->submit_tail = (unsigned *)(base + params->sq_off.tail);
  ring->submit_mask = (unsigned *)(base + params->sq_off.ring_mask);
  ring->submit_array = (unsigned *)(base + params->sq_off.array);
  ring->complete_head = (unsigned *)(base + params->cq_off.head);
  ring->complete_tail = (unsigned *)(base + params->cq_off.tail);
  ring->complete_mask = (unsigned *)(base + params->cq_off.ring_mask);
  ring->completions = (struct io_uring_cqe *)(base + params->cq_off.cqes);
  ring->filled = *ring->submit_tail;
  return 0;
}

int clinux_ring_create(unsigned entries, struct clinux_ring **created) {
  // A single mapping for both rings, completions that are never dropped, and slices that need not
  // outlive the submission: all available since Linux 5.5.
  const unsigned needed = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE;
  struct io_uring_params params;
  memset(&params, 0, sizeof params);
  params.flags = IORING_SETUP_R_DISABLED;
  const int descriptor = setup(entries, &params);
  if (descriptor < 0) return descriptor;
  struct clinux_ring *ring = calloc(1, sizeof *ring);
  if (!ring) {
    close(descriptor);
    return -ENOMEM;
  }
  *ring = (struct clinux_ring){.descriptor = descriptor,
                               .entries = params.sq_entries,
                               .layout = layout_of(&params),
                               .rings = MAP_FAILED};
  int result = -ENOSYS;
  if ((params.features & needed) == needed && clinux_ring_knows_operations(descriptor))
    result = map_rings(ring, &params);
  if (result == 0) result = clinux_ring_restrict(descriptor);
  if (result < 0) {
    clinux_ring_destroy(ring);
    return result;
  }
  *created = ring;
  return 0;
}

struct clinux_ring_layout clinux_ring_layout_of(const struct clinux_ring *ring) {
  return ring->layout;
}

int clinux_ring_resume(int descriptor, struct clinux_ring_layout layout,
                       struct clinux_ring **resumed) {
  struct clinux_ring *ring = calloc(1, sizeof *ring);
  if (!ring) {
    close(descriptor);
    return -ENOMEM;
  }
  const struct io_uring_params params = parameters_of(&layout);
  *ring = (struct clinux_ring){.descriptor = descriptor,
                               .entries = params.sq_entries,
                               .layout = layout,
                               .rings = MAP_FAILED};
  const int result = map_rings(ring, &params);
  if (result < 0) {
    clinux_ring_destroy(ring);
    return result;
  }
  *resumed = ring;
  return 0;
}

void clinux_ring_destroy(struct clinux_ring *ring) {
  if (ring->operations) munmap(ring->operations, ring->operations_size);
  if (ring->rings != MAP_FAILED) munmap(ring->rings, ring->rings_size);
  close(ring->descriptor);
  free(ring);
}

int clinux_ring_descriptor(const struct clinux_ring *ring) { return ring->descriptor; }

unsigned clinux_ring_capacity(const struct clinux_ring *ring) { return ring->entries; }

int clinux_ring_notify(struct clinux_ring *ring, int eventfd) {
  const int none = clinux_ring_control(ring->descriptor, IORING_UNREGISTER_EVENTFD, NULL, 0);
  if (eventfd < 0) return none;
  return clinux_ring_control(ring->descriptor, IORING_REGISTER_EVENTFD, &eventfd, 1);
}

/// Returns the next free entry, zeroed; NULL if the queue is full.
static struct io_uring_sqe *next(struct clinux_ring *ring, uint8_t operation, uint64_t id,
                                 int descriptor) {
  const unsigned head = __atomic_load_n(ring->submit_head, __ATOMIC_ACQUIRE);
  if (ring->filled - head >= ring->entries) return NULL;
  const unsigned place = ring->filled & *ring->submit_mask;
  struct io_uring_sqe *entry = &ring->operations[place];
  memset(entry, 0, sizeof *entry);
  entry->opcode = operation;
  entry->fd = descriptor;
  entry->user_data = id;
  ring->submit_array[place] = place;
  ring->filled++;
  return entry;
}

int clinux_ring_readv(struct clinux_ring *ring, uint64_t id, int descriptor, const void *slices,
                      unsigned count, uint64_t offset) {
  struct io_uring_sqe *entry = next(ring, IORING_OP_READV, id, descriptor);
  if (!entry) return -EAGAIN;
  entry->addr = (uintptr_t)slices;
  entry->len = count;
  entry->off = offset;
  return 0;
}

int clinux_ring_writev(struct clinux_ring *ring, uint64_t id, int descriptor, const void *slices,
                       unsigned count, uint64_t offset, int durable) {
  struct io_uring_sqe *entry = next(ring, IORING_OP_WRITEV, id, descriptor);
  if (!entry) return -EAGAIN;
  entry->addr = (uintptr_t)slices;
  entry->len = count;
  entry->off = offset;
  entry->rw_flags = durable ? RWF_DSYNC : 0;
  return 0;
}

int clinux_ring_sync(struct clinux_ring *ring, uint64_t id, int descriptor, int data_only) {
  struct io_uring_sqe *entry = next(ring, IORING_OP_FSYNC, id, descriptor);
  if (!entry) return -EAGAIN;
  entry->fsync_flags = data_only ? IORING_FSYNC_DATASYNC : 0;
  return 0;
}

int clinux_ring_clear(struct clinux_ring *ring, uint64_t id, int descriptor, uint64_t offset,
                      uint64_t length, int zero) {
  struct io_uring_sqe *entry = next(ring, IORING_OP_FALLOCATE, id, descriptor);
  if (!entry) return -EAGAIN;
  entry->off = offset;
  entry->addr = length;  // The interface has the length in the address, and the mode in the length.
  entry->len = FALLOC_FL_KEEP_SIZE | (zero ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE);
  return 0;
}

int clinux_ring_nop(struct clinux_ring *ring, uint64_t id) {
  return next(ring, IORING_OP_NOP, id, -1) ? 0 : -EAGAIN;
}

int clinux_ring_submit(struct clinux_ring *ring, unsigned least) {
  __atomic_store_n(ring->submit_tail, ring->filled, __ATOMIC_RELEASE);
  int taken = 0;
  while (1) {
    const unsigned left = ring->filled - __atomic_load_n(ring->submit_head, __ATOMIC_ACQUIRE);
    if (left == 0 && least == 0) return taken;
    const int result = enter(ring->descriptor, left, least, least ? IORING_ENTER_GETEVENTS : 0);
    // Interrupted by a signal: the kernel returns EINTR only if it accepted nothing in this call.
    if (result == -EINTR) continue;
    if (result < 0) return taken > 0 ? taken : result;
    taken += result;
    // The kernel stops at an entry that it rejects, after completing that one with the error.
    if ((unsigned)result >= left) return taken;
    if (result == 0) return taken > 0 ? taken : -EAGAIN;
  }
}

unsigned clinux_ring_queued(const struct clinux_ring *ring) {
  return ring->filled - __atomic_load_n(ring->submit_head, __ATOMIC_ACQUIRE);
}

unsigned clinux_ring_withdraw(struct clinux_ring *ring, uint64_t *ids, unsigned most) {
  // The kernel reads the queue only inside io_uring_enter; its head is the end of what it has
  // accepted.
  const unsigned head = __atomic_load_n(ring->submit_head, __ATOMIC_ACQUIRE);
  unsigned count = 0;
  for (; ring->filled != head && count < most; count++) {
    ring->filled--;
    ids[count] = ring->operations[ring->filled & *ring->submit_mask].user_data;
  }
  __atomic_store_n(ring->submit_tail, ring->filled, __ATOMIC_RELEASE);
  return count;
}

int clinux_ring_wait(int descriptor) {
  const int result = enter(descriptor, 0, 1, IORING_ENTER_GETEVENTS);
  return result == -EINTR ? 0 : result;
}

unsigned clinux_ring_take(struct clinux_ring *ring, struct clinux_ring_completion *completions,
                          unsigned most) {
  unsigned head = *ring->complete_head;
  const unsigned tail = __atomic_load_n(ring->complete_tail, __ATOMIC_ACQUIRE);
  unsigned count = 0;
  for (; head != tail && count < most; head++, count++) {
    const struct io_uring_cqe *entry = &ring->completions[head & *ring->complete_mask];
    completions[count].id = entry->user_data;
    completions[count].result = entry->res;
  }
  __atomic_store_n(ring->complete_head, head, __ATOMIC_RELEASE);
  return count;
}
