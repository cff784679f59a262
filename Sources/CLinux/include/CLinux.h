// What Swift on Linux cannot call: calls that the Glibc module hides, macros, and C idioms.
// Every function returns a result >= 0, or -errno. EINTR is repeated here and nowhere else,
// except where a comment says otherwise.
//
// This header must not define _GNU_SOURCE nor include a system header beyond these two: the Glibc
// module would then see a second definition of fd_set (clean debug builds fail).
#ifndef CLINUX_H
#define CLINUX_H

#include <stddef.h>
#include <stdint.h>

#if __has_include("CLinuxProgram.h")
#include "CLinuxProgram.h"
#endif
#if __has_include("CLinuxTerminal.h")
#include "CLinuxTerminal.h"
#endif
#if __has_include("CLinuxRing.h")
#include "CLinuxRing.h"
#endif
#if __has_include("CLinuxStorage.h")
#include "CLinuxStorage.h"
#endif
#if __has_include("CLinuxFiles.h")
#include "CLinuxFiles.h"
#endif

#ifdef __cplusplus
extern "C" {
#endif

// MARK: Messages with descriptors

/// A piece of memory to send from or receive into; laid out like struct iovec.
struct clinux_slice {
  void *base;
  size_t length;
};

/// What one recvmsg brought.
struct clinux_received {
  /// Bytes, 0 at end of file, or -errno.
  long count;
  /// Descriptors stored, all of them close-on-exec.
  int descriptors;
  /// Whether the kernel had to drop control data (MSG_CTRUNC).
  int truncated;
};

/// Most descriptors the kernel carries with one message (SCM_MAX_FD).
#define CLINUX_MAX_DESCRIPTORS 253

/// sendmsg with SCM_RIGHTS. `wait` = 0 adds MSG_DONTWAIT. Never raises SIGPIPE.
long clinux_send(int socket, const struct clinux_slice *slices, int slice_count,
                 const int *descriptors, int descriptor_count, int wait);

/// recvmsg with room for CLINUX_MAX_DESCRIPTORS numbers in `descriptors`; -EINTR when a signal came while it
/// waited: only the caller knows how long it still wants to wait.
struct clinux_received clinux_receive(int socket, const struct clinux_slice *slices,
                                      int slice_count, int *descriptors, int wait);

/// Copies what is at the front of the socket's queue and leaves it there, with its descriptors; does not wait.
/// Bytes, 0 at end of file, or -errno.
long clinux_peek(int socket, void *bytes, size_t size);

// MARK: Sockets

/// A listening UNIX stream socket bound to `path`, created with exactly `mode`.
int clinux_listen(const char *path, unsigned mode, int backlog);
/// A UNIX stream socket connected to `path`; -EAGAIN when the queue of its listener stays full for as
/// long, -EINTR when a signal came first.
int clinux_connect(const char *path, int64_t nanoseconds);
/// accept4 with SOCK_CLOEXEC; the accepted socket blocks.
int clinux_accept(int listener);
/// A pair of connected UNIX stream sockets, close-on-exec.
int clinux_socket_pair(int ends[2]);
/// Longest time that a blocking receive waits before it returns -EAGAIN.
int clinux_set_receive_timeout(int socket, int64_t nanoseconds);
/// shutdown in both directions.
int clinux_shutdown(int socket);
/// Longest path a socket address holds, without the final NUL.
int clinux_socket_path_limit(void);
/// Takes a lock on the folder of `path` that other servers take too, and returns the descriptor that
/// holds it; -errno when it cannot be had within a tenth of a second.
int clinux_lock_folder_of(const char *path);
/// What is at `path` itself (links are not followed).
struct clinux_identity {
  uint64_t device, inode;
  int is_socket;
};
int clinux_identify(const char *path, struct clinux_identity *identity);
int clinux_unlink(const char *path);
/// 1 when the descriptor is a listening UNIX stream socket, 0 when not.
int clinux_is_listening(int socket);

// MARK: Waiting

#define CLINUX_READABLE 1
#define CLINUX_WRITABLE 2
#define CLINUX_HANGUP 4

struct clinux_interest {
  int descriptor;
  /// CLINUX_READABLE | CLINUX_WRITABLE; hang-up is always reported.
  short wanted;
  short happened;
};

/// ppoll. `nanoseconds` < 0 waits for ever. Returns how many are ready; EINTR returns as 0 ready.
int clinux_poll(struct clinux_interest *interests, int count, int64_t nanoseconds);

/// An epoll instance for one descriptor, one event at a time (EPOLLONESHOT).
int clinux_oneshot_create(void);
/// Adds the descriptor, once; nothing is watched for until it is armed.
int clinux_oneshot_watch(int oneshot, int descriptor);
/// Takes a descriptor out of the set.
int clinux_oneshot_forget(int oneshot, int descriptor);
/// Arms for CLINUX_READABLE and CLINUX_WRITABLE; 0 disarms. Looks at readiness again.
int clinux_oneshot_arm(int oneshot, int descriptor, int wanted);
/// Waits for the event or for `wake` to be readable. Returns CLINUX_READABLE | CLINUX_WRITABLE,
/// CLINUX_HANGUP when woken, 0 when CLOCK_MONOTONIC reached `deadline` nanoseconds.
int clinux_oneshot_wait(int oneshot, int wake, uint64_t deadline);

// MARK: Descriptors

int clinux_close(int descriptor);
int clinux_duplicate(int descriptor);
/// 1 when closing the descriptor cannot wait: memory files and eventfds. Files of a file system that somebody
/// serves, and sockets that linger or have such files in their queue, can keep `close` for ever.
int clinux_closes_at_once(int descriptor);
/// 1 for a stream socket in which nothing waits to be read, so that no descriptor is closed with it.
int clinux_is_empty_stream(int descriptor);
/// 1 when the file is memory of this kernel (memfd, tmpfs, hugetlbfs), whose pages nobody has to deliver.
/// Asks no file system.
int clinux_is_memory_file(int descriptor);
/// 1 when the descriptor is closed on exec, 0 when not.
int clinux_is_close_on_exec(int descriptor);
int clinux_set_close_on_exec(int descriptor);
/// An epoll instance that reports edges: each time a descriptor becomes ready, or is signalled again.
int clinux_edges(void);
/// Watches a descriptor; `tag` is at most INT64_MAX.
int clinux_edges_add(int edges, int descriptor, uint64_t tag);
/// Waits for an edge and returns its tag.
int64_t clinux_edges_wait(int edges);
int clinux_set_nonblocking(int descriptor, int on);
/// Anonymous memory file of `size` bytes, sealed against shrinking and growing, close-on-exec.
int clinux_memory_file(const char *name, uint64_t size);
/// Size of the file behind a descriptor that can be mapped (regular file, memfd), or -errno.
int64_t clinux_mappable_size(int descriptor);
/// mmap of a file, shared. The address goes to `*address`.
int clinux_map(int descriptor, uint64_t offset, uint64_t size, int readable, int writable,
               void **address);
int clinux_unmap(void *address, uint64_t size);
/// As clinux_mappable_size, with the multiple of which a mapping of this file consists: the page size, or
/// the huge one.
int64_t clinux_measure(int descriptor, int64_t *granularity);
/// Cuts a file short, which is what a hostile client does under our mapping.
int clinux_truncate(int descriptor, uint64_t size);
/// A memory file without seals.
int clinux_unsealed_memory_file(const char *name, uint64_t size);
/// A timer on the monotonic clock, and when it becomes readable; 0 switches it off.
int clinux_timer(void);
int clinux_timer_set(int descriptor, uint64_t instant);
/// epoll: one descriptor that is readable when one of those added is.
int clinux_epoll(void);
int clinux_epoll_add(int epoll, int descriptor);
int clinux_epoll_remove(int epoll, int descriptor);
/// Sets what a descriptor is polled for, any of CLINUX_READABLE and CLINUX_WRITABLE; with nothing it tells
/// of a hang-up, once.
int clinux_epoll_watch(int epoll, int descriptor, int wanted);
/// Entries of /proc/self/fd, without the one that counting needs.
int clinux_open_descriptors(void);
/// Mappings of this process whose name starts with `prefix` (/proc/self/maps).
int clinux_count_mappings(const char *prefix);

// MARK: Counters (eventfd)

/// A new counter, close-on-exec and non-blocking.
int clinux_eventfd(void);
/// Adds one to a counter that a peer may share; a counter that is full already says all there is to say.
/// Never waits where clinux_signals_without_waiting says so.
int clinux_eventfd_signal(int counter);
/// Adds one to a counter that nobody else has; costs less.
int clinux_eventfd_signal_own(int counter);
/// Adds any number, if that does not seem to wait.
int clinux_eventfd_add(int counter, uint64_t value);
/// Takes the counter's value, 0 when there is none; never waits.
int64_t clinux_eventfd_take(int counter);
/// 1 when the kernel signals for us; 0 when it lets this process have no asynchronous operations, and a peer
/// that is fast enough can make clinux_eventfd_signal wait.
int clinux_signals_without_waiting(void);
/// 1 when the descriptor is an eventfd for certain.
int clinux_is_eventfd(int descriptor);
/// 1 when two descriptors are of different eventfds for certain, 0 also when the kernel does not say.
int clinux_are_different_eventfds(int one, int other);

// MARK: Memory that another process can take away

/// Installs the handler of SIGBUS that the functions below rely on, once; a fault that is not theirs
/// goes to the handler that was there before. Without it such a fault ends the process.
void clinux_guard_install(void);
/// To be called on a thread before its accesses: one that has SIGBUS blocked would end the process with the
/// first fault, whatever handler there is. Costs a look at a thread-local number.
void clinux_guard_enter_thread(void);

// Each returns 0, or -EFAULT when the file behind the mapping has become too short. Loads and stores
// of a number are one instruction; the atomic ones want natural alignment.
int clinux_guarded_copy(void *to, const void *from, size_t count);
int clinux_guarded_load8(const void *from, uint8_t *value);
int clinux_guarded_load16(const void *from, uint16_t *value);
int clinux_guarded_load32(const void *from, uint32_t *value);
int clinux_guarded_load64(const void *from, uint64_t *value);
int clinux_guarded_store8(void *to, uint8_t value);
int clinux_guarded_store16(void *to, uint16_t value);
int clinux_guarded_store32(void *to, uint32_t value);
int clinux_guarded_store64(void *to, uint64_t value);
/// The new value goes in, the old one comes out.
int clinux_guarded_exchange8(void *at, uint8_t *value);
int clinux_guarded_exchange16(void *at, uint16_t *value);
int clinux_guarded_exchange32(void *at, uint32_t *value);
int clinux_guarded_exchange64(void *at, uint64_t *value);
/// What was there comes out; it was replaced if that is what was expected.
int clinux_guarded_compare_exchange8(void *at, uint8_t *expected, uint8_t desired);
int clinux_guarded_compare_exchange16(void *at, uint16_t *expected, uint16_t desired);
int clinux_guarded_compare_exchange32(void *at, uint32_t *expected, uint32_t desired);
int clinux_guarded_compare_exchange64(void *at, uint64_t *expected, uint64_t desired);
/// The bits go in, what was there comes out.
int clinux_guarded_fetch_or8(void *at, uint8_t *bits);
int clinux_guarded_fetch_or16(void *at, uint16_t *bits);
int clinux_guarded_fetch_or32(void *at, uint32_t *bits);
int clinux_guarded_fetch_or64(void *at, uint64_t *bits);

// The same for a number of `size` bytes, which is 1, 2, 4 or 8; for any other size -EINVAL.

#define CLINUX_BY_SIZE(of_width)        \
  switch (size) {                       \
    case 1: of_width(8)                 \
    case 2: of_width(16)                \
    case 4: of_width(32)                \
    case 8: of_width(64)                \
    default: return -22; /* -EINVAL */  \
  }

static inline int clinux_guarded_load(const void *from, size_t size, uint64_t *value) {
#define CLINUX_WIDTH(bits) {                                          \
    uint##bits##_t number = 0;                                        \
    const int result = clinux_guarded_load##bits(from, &number);      \
    *value = number;                                                  \
    return result;                                                    \
  }
  CLINUX_BY_SIZE(CLINUX_WIDTH)
#undef CLINUX_WIDTH
}

static inline int clinux_guarded_store(void *to, size_t size, uint64_t value) {
#define CLINUX_WIDTH(bits) return clinux_guarded_store##bits(to, (uint##bits##_t)value);
  CLINUX_BY_SIZE(CLINUX_WIDTH)
#undef CLINUX_WIDTH
}

static inline int clinux_guarded_exchange(void *at, size_t size, uint64_t *value) {
#define CLINUX_WIDTH(bits) {                                          \
    uint##bits##_t number = (uint##bits##_t)*value;                   \
    const int result = clinux_guarded_exchange##bits(at, &number);    \
    *value = number;                                                  \
    return result;                                                    \
  }
  CLINUX_BY_SIZE(CLINUX_WIDTH)
#undef CLINUX_WIDTH
}

static inline int clinux_guarded_compare_exchange(void *at, size_t size, uint64_t *expected,
                                                  uint64_t desired) {
#define CLINUX_WIDTH(bits) {                                          \
    uint##bits##_t number = (uint##bits##_t)*expected;                \
    const int result =                                                \
        clinux_guarded_compare_exchange##bits(at, &number, (uint##bits##_t)desired); \
    *expected = number;                                               \
    return result;                                                    \
  }
  CLINUX_BY_SIZE(CLINUX_WIDTH)
#undef CLINUX_WIDTH
}

static inline int clinux_guarded_fetch_or(void *at, size_t size, uint64_t *bits_in_and_out) {
#define CLINUX_WIDTH(bits) {                                          \
    uint##bits##_t number = (uint##bits##_t)*bits_in_and_out;         \
    const int result = clinux_guarded_fetch_or##bits(at, &number);    \
    *bits_in_and_out = number;                                        \
    return result;                                                    \
  }
  CLINUX_BY_SIZE(CLINUX_WIDTH)
#undef CLINUX_WIDTH
}
#undef CLINUX_BY_SIZE

// MARK: Threads

typedef void (*clinux_thread_body)(void *context);
/// Starts a detached thread with all signals blocked; `name` has at most 15 characters.
int clinux_thread_start(const char *name, clinux_thread_body body, void *context);
/// Ends the slack that the kernel gives the calling thread's timers (PR_SET_TIMERSLACK).
void clinux_thread_wake_on_time(void);

/// A mutex and a condition variable on the monotonic clock, in one allocation.
struct clinux_monitor;
struct clinux_monitor *clinux_monitor_create(void);
void clinux_monitor_destroy(struct clinux_monitor *monitor);
void clinux_monitor_lock(struct clinux_monitor *monitor);
/// Whether it is locked now; does not wait.
int clinux_monitor_try_lock(struct clinux_monitor *monitor);
void clinux_monitor_unlock(struct clinux_monitor *monitor);
void clinux_monitor_wait(struct clinux_monitor *monitor);
/// 0 when woken, -ETIMEDOUT when CLOCK_MONOTONIC reached `deadline` nanoseconds.
int clinux_monitor_wait_until(struct clinux_monitor *monitor, uint64_t deadline);
void clinux_monitor_wake_all(struct clinux_monitor *monitor);

/// Waits while `*word` is `expected`, until woken or until CLOCK_MONOTONIC reaches `deadline`
/// nanoseconds (UINT64_MAX: for ever). 0 or -ETIMEDOUT; may also return early for no reason.
int clinux_futex_wait(const uint32_t *word, uint32_t expected, uint64_t deadline);
void clinux_futex_wake_one(const uint32_t *word);
uint32_t clinux_word_load(const uint32_t *word);
void clinux_word_store(uint32_t *word, uint32_t value);
/// The calling thread, a number that is not reused while it lives.
uint64_t clinux_thread_id(void);
/// getpid.
int clinux_process_id(void);

/// CLOCK_MONOTONIC in nanoseconds.
uint64_t clinux_now(void);

// MARK: The process

/// Opens /dev/null for each of the descriptors 0, 1 and 2 that is closed: else the next file that is opened
/// gets the number, and what is meant for standard error is written into it.
void clinux_open_standard_descriptors(void);
/// Raises the soft limit of open files to the hard one, and returns what it is then.
int64_t clinux_raise_descriptor_limit(void);
/// How many bytes of address space the process may have (RLIMIT_AS), INT64_MAX when there is no limit.
int64_t clinux_address_space_limit(void);
/// How many bytes of address space the process has; -errno without /proc.
int64_t clinux_address_space_used(void);
/// How many mappings the kernel lets a process have (vm.max_map_count).
int64_t clinux_mapping_limit(void);
/// malloc with an alignment of 16; NULL when there is no memory, which Swift's own allocation cannot say.
/// For clinux_free.
void *clinux_allocate(size_t size);

// MARK: Signals

/// Blocks SIGINT and SIGTERM in the calling thread and those it starts; SIGPIPE is ignored.
void clinux_block_termination_signals(void);
/// Waits for SIGINT or SIGTERM and returns its number.
int clinux_wait_for_termination(void);

#ifdef __cplusplus
}
#endif
#endif
