// io_uring by direct system calls; the rules at the top of CLinux.h apply here too.
//
// One thread at a time queues and submits, one thread at a time, the same or another, reaps
// completions. `id` is returned with the completion, also of an operation that failed. Memory used
// by an operation must stay valid until its completion has been reaped; the array of slices only
// until the operation has been submitted.
#ifndef CLINUX_RING_H
#define CLINUX_RING_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct clinux_ring;

/// The completion of an operation.
struct clinux_ring_completion {
  uint64_t id;
  /// Number of bytes, 0, or -errno.
  int32_t result;
};

/// Creates a ring for at least `entries` operations at a time, which can do nothing but what is below. -ENOSYS if the kernel does not
/// support io_uring or a feature needed here; -EPERM if the process may not use it.
int clinux_ring_create(unsigned entries, struct clinux_ring **ring);
/// Where the parts of a ring are in its mappings, for another program that takes the descriptor over.
struct clinux_ring_layout {
  uint32_t numbers[10];
};
struct clinux_ring_layout clinux_ring_layout_of(const struct clinux_ring *ring);
/// Continues with a ring of the program before this one, with nothing under way; takes the descriptor over.
int clinux_ring_resume(int descriptor, struct clinux_ring_layout layout, struct clinux_ring **ring);
/// Does not wait for operations in flight: the caller must have reaped their completions.
void clinux_ring_destroy(struct clinux_ring *ring);
/// The ring's descriptor: readable while there are completions.
int clinux_ring_descriptor(const struct clinux_ring *ring);
/// Maximum number of operations that can be queued before a submit.
unsigned clinux_ring_capacity(const struct clinux_ring *ring);
/// Registers an eventfd to be signalled on each completion, instead of the one before; -1 unregisters it.
int clinux_ring_notify(struct clinux_ring *ring, int eventfd);

// Each queues one operation and returns 0, or -EAGAIN if the queue is full. `slices` is an array of
// struct iovec. `offset` must not be negative as a signed number.

int clinux_ring_readv(struct clinux_ring *ring, uint64_t id, int descriptor, const void *slices,
                      unsigned count, uint64_t offset);
/// `durable` sets RWF_DSYNC: the operation completes once the data is on stable storage.
int clinux_ring_writev(struct clinux_ring *ring, uint64_t id, int descriptor, const void *slices,
                       unsigned count, uint64_t offset, int durable);
/// fsync, or fdatasync with `data_only`.
int clinux_ring_sync(struct clinux_ring *ring, uint64_t id, int descriptor, int data_only);
/// fallocate that keeps the size and zeroes a range: with `zero` the blocks stay allocated,
/// otherwise they are deallocated.
int clinux_ring_clear(struct clinux_ring *ring, uint64_t id, int descriptor, uint64_t offset,
                      uint64_t length, int zero);
int clinux_ring_nop(struct clinux_ring *ring, uint64_t id);

/// Submits the queued operations and waits until there are `least` completions, or for a signal.
/// Returns the number submitted; operations that the kernel did not accept stay queued (-EAGAIN if
/// it accepted none).
int clinux_ring_submit(struct clinux_ring *ring, unsigned least);
/// Number of operations queued but not submitted.
unsigned clinux_ring_queued(const struct clinux_ring *ring);
/// Removes up to `most` operations that have not been submitted, the last ones first. Returns their
/// number.
unsigned clinux_ring_withdraw(struct clinux_ring *ring, uint64_t *ids, unsigned most);
/// Waits until there is a completion, or for a signal; callable from any thread with the ring's
/// descriptor.
int clinux_ring_wait(int descriptor);
/// Reaps up to `most` available completions; never waits.
unsigned clinux_ring_take(struct clinux_ring *ring, struct clinux_ring_completion *completions,
                          unsigned most);

#ifdef __cplusplus
}
#endif
#endif
