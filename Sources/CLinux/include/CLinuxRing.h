// io_uring by system calls of our own; the rules at the top of CLinux.h hold here too.
//
// One thread at a time queues and submits, one thread at a time, the same or another, takes completions.
// `id` comes back with the completion, also of an operation that failed. Memory named in an operation must stay until its completion was taken; the array of
// slices itself only until the operation was submitted.
#ifndef CLINUX_RING_H
#define CLINUX_RING_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct clinux_ring;

/// What became of an operation.
struct clinux_ring_completion {
  uint64_t id;
  /// Bytes, 0, or -errno.
  int32_t result;
};

/// A ring for at least `entries` operations at a time. -ENOSYS when the kernel has none, or one without
/// what is needed here; -EPERM when the process may not have one.
int clinux_ring_create(unsigned entries, struct clinux_ring **ring);
/// Does not wait for operations under way: whoever calls this must have taken their completions.
void clinux_ring_destroy(struct clinux_ring *ring);
/// The ring's descriptor: readable when there are completions.
int clinux_ring_descriptor(const struct clinux_ring *ring);
/// How many operations can be queued before the next submit.
unsigned clinux_ring_capacity(const struct clinux_ring *ring);
/// Has an eventfd signalled with each completion, or none any more (-1).
int clinux_ring_notify(struct clinux_ring *ring, int eventfd);

// Each queues one operation: 0, or -EAGAIN when the queue is full. `slices` is an array of struct iovec.
// A negative `offset` does not occur.

int clinux_ring_readv(struct clinux_ring *ring, uint64_t id, int descriptor, const void *slices,
                      unsigned count, uint64_t offset);
/// `durable` asks for RWF_DSYNC: complete when the data is on the disk.
int clinux_ring_writev(struct clinux_ring *ring, uint64_t id, int descriptor, const void *slices,
                       unsigned count, uint64_t offset, int durable);
/// fsync, or fdatasync with `data_only`.
int clinux_ring_sync(struct clinux_ring *ring, uint64_t id, int descriptor, int data_only);
/// fallocate that keeps the size and leaves zeros: with `zero` the blocks stay allocated, otherwise they
/// are given back.
int clinux_ring_clear(struct clinux_ring *ring, uint64_t id, int descriptor, uint64_t offset,
                      uint64_t length, int zero);
int clinux_ring_nop(struct clinux_ring *ring, uint64_t id);

/// Hands what was queued to the kernel, and waits until `least` completions are there or a signal came.
/// Returns how many were handed over; what the kernel did not take stays queued (-EAGAIN when it took
/// nothing).
int clinux_ring_submit(struct clinux_ring *ring, unsigned least);
/// How many operations were queued and not handed over.
unsigned clinux_ring_queued(const struct clinux_ring *ring);
/// Takes back up to `most` operations that the kernel does not have yet, the last ones first. Returns how many.
unsigned clinux_ring_withdraw(struct clinux_ring *ring, uint64_t *ids, unsigned most);
/// Waits until there is a completion to take, or a signal came; any thread, given the ring's descriptor.
int clinux_ring_wait(int descriptor);
/// Takes up to `most` completions that are there; never waits.
unsigned clinux_ring_take(struct clinux_ring *ring, struct clinux_ring_completion *completions,
                          unsigned most);

#ifdef __cplusplus
}
#endif
#endif
