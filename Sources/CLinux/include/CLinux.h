// What Swift cannot call on Linux: functions that the Glibc module hides, macros, and C idioms.
// Every function returns a result >= 0, or -errno. Calls interrupted by a signal (EINTR) are
// repeated here and nowhere else, unless a comment says otherwise.
//
// This header must not define _GNU_SOURCE or include system headers other than these two: the Glibc
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
#include "CLinuxUpgrade.h"
#endif
#if __has_include("CLinuxSandbox.h")
#include "CLinuxSandbox.h"
#endif
#if __has_include("CLinuxChildren.h")
#include "CLinuxChildren.h"
#endif
#if __has_include("CLinuxTrace.h")
#include "CLinuxTrace.h"
#endif

#ifdef __cplusplus
extern "C" {
#endif

// MARK: Messages with descriptors

/// A memory area to send from or receive into; same layout as struct iovec.
struct clinux_slice {
  void *base;
  size_t length;
};

/// The result of one recvmsg.
struct clinux_received {
  /// Number of bytes, 0 at end of file, or -errno.
  long count;
  /// Number of descriptors stored, all of them close-on-exec.
  int descriptors;
  /// Whether the kernel dropped control data (MSG_CTRUNC).
  int truncated;
};

/// Maximum number of descriptors per message in the kernel (SCM_MAX_FD).
#define CLINUX_MAX_DESCRIPTORS 253

/// sendmsg with SCM_RIGHTS. `wait` = 0 adds MSG_DONTWAIT. Never raises SIGPIPE.
long clinux_send(int socket, const struct clinux_slice *slices, int slice_count,
                 const int *descriptors, int descriptor_count, int wait);

/// recvmsg with room for CLINUX_MAX_DESCRIPTORS numbers in `descriptors`. Returns -EINTR if
/// interrupted by a signal: only the caller knows how long it still wants to wait.
struct clinux_received clinux_receive(int socket, const struct clinux_slice *slices,
                                      int slice_count, int *descriptors, int wait);

/// Copies bytes from the front of the socket's queue without removing them or their descriptors;
/// does not block. Returns the number of bytes, 0 at end of file, or -errno.
long clinux_peek(int socket, void *bytes, size_t size);

// MARK: Sockets

/// Creates a listening UNIX stream socket bound to `path`, with exactly the permissions `mode`.
int clinux_listen(const char *path, unsigned mode, int backlog);
/// Returns a UNIX stream socket connected to `path`; -EAGAIN if the backlog of the listener stays
/// full for `nanoseconds`, -EINTR if interrupted by a signal.
int clinux_connect(const char *path, int64_t nanoseconds);
/// accept4 with SOCK_CLOEXEC; the accepted socket is blocking.
int clinux_accept(int listener);
/// Creates a pair of connected UNIX stream sockets, close-on-exec.
int clinux_socket_pair(int ends[2]);
/// Sets how long a blocking receive waits before it returns -EAGAIN (SO_RCVTIMEO).
int clinux_set_receive_timeout(int socket, int64_t nanoseconds);
/// Sets how much may wait in the socket for the peer (SO_SNDBUF), of which the kernel makes twice as much.
int clinux_set_send_buffer(int socket, int bytes);
/// shutdown in both directions (SHUT_RDWR).
int clinux_shutdown(int socket);
/// Maximum length of a socket path in bytes, without the terminating NUL.
int clinux_socket_path_limit(void);
/// Takes a lock (flock) on the directory of `path` that other servers also take, and returns the
/// descriptor that holds it; -EWOULDBLOCK if it is not free within a tenth of a second.
int clinux_lock_folder_of(const char *path);
/// The file at `path` itself (symbolic links are not followed).
struct clinux_identity {
  uint64_t device, inode;
  int is_socket;
};
int clinux_identify(const char *path, struct clinux_identity *identity);
int clinux_unlink(const char *path);
/// 1 if the descriptor is a listening UNIX stream socket, otherwise 0.
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

/// ppoll. `nanoseconds` < 0 waits forever. Returns the number of ready descriptors, 0 on EINTR.
int clinux_poll(struct clinux_interest *interests, int count, int64_t nanoseconds);

/// Creates an epoll instance for one descriptor, with one event at a time (EPOLLONESHOT).
int clinux_oneshot_create(void);
/// Adds the descriptor, once; no event is reported until it is armed.
int clinux_oneshot_watch(int oneshot, int descriptor);
/// Removes a descriptor.
int clinux_oneshot_forget(int oneshot, int descriptor);
/// Arms the descriptor for CLINUX_READABLE and CLINUX_WRITABLE; 0 disarms. Checks for readiness
/// again.
int clinux_oneshot_arm(int oneshot, int descriptor, int wanted);
/// Waits for the event or for `wake` to be readable. Returns CLINUX_READABLE | CLINUX_WRITABLE,
/// CLINUX_HANGUP if `wake` is readable, 0 if CLOCK_MONOTONIC reached `deadline` (in nanoseconds).
int clinux_oneshot_wait(int oneshot, int wake, uint64_t deadline);

// MARK: Descriptors

int clinux_close(int descriptor);
/// Closes a descriptor, and interrupts the wait if that waits: a socket with SO_LINGER in the queue of a UNIX socket
/// makes its end wait as long as its sender likes. Uses SIGRTMIN of the calling thread.
int clinux_close_soon(int descriptor);
int clinux_duplicate(int descriptor);
/// 1 if closing the descriptor cannot block: memory files and eventfds. `close` can block forever
/// on files of a file system served by somebody else, and on sockets with SO_LINGER or with such
/// files in their queue.
int clinux_closes_at_once(int descriptor);
/// 1 for a stream socket without unread data, so that no descriptor is closed together with it.
int clinux_is_empty_stream(int descriptor);
/// Asks for huge pages in a mapping (madvise); 0 or -errno.
int clinux_advise_huge_pages(void *address, uint64_t size);
/// 1 if the file is in this kernel's memory (memfd, tmpfs, hugetlbfs), so that its pages are always
/// available. Does not call into a file system.
int clinux_is_memory_file(int descriptor);
/// 1 if the descriptor is close-on-exec, otherwise 0.
int clinux_is_close_on_exec(int descriptor);
int clinux_set_close_on_exec(int descriptor);
/// Creates an edge-triggered epoll instance: an event is reported each time a descriptor becomes
/// ready or is signalled again.
int clinux_edges(void);
/// Adds a descriptor; `tag` is at most INT64_MAX.
int clinux_edges_add(int edges, int descriptor, uint64_t tag);
/// Waits for an event and returns its tag.
int64_t clinux_edges_wait(int edges);
int clinux_set_nonblocking(int descriptor, int on);
/// Creates an anonymous memory file of `size` bytes, sealed against shrinking and growing,
/// close-on-exec.
int clinux_memory_file(const char *name, uint64_t size);
/// Size in bytes of a file that can be mapped (regular file, memfd), or -errno.
int64_t clinux_mappable_size(int descriptor);
/// mmap of a file with MAP_SHARED; stores the address in `*address`.
int clinux_map(int descriptor, uint64_t offset, uint64_t size, int readable, int writable,
               void **address);
int clinux_unmap(void *address, uint64_t size);
/// As clinux_mappable_size; also returns the granularity of mappings of this file: the page size,
/// or the huge page size of hugetlbfs.
int64_t clinux_measure(int descriptor, int64_t *granularity);
/// Truncates a file, as a hostile client may do to a file that we have mapped.
int clinux_truncate(int descriptor, uint64_t size);
/// Creates a memory file without seals.
int clinux_unsealed_memory_file(const char *name, uint64_t size);
/// Creates a timerfd on the monotonic clock; clinux_timer_set sets the time in nanoseconds when it
/// becomes readable, 0 disarms it.
int clinux_timer(void);
int clinux_timer_set(int descriptor, uint64_t instant);
/// Creates an epoll descriptor that is readable while one of the added descriptors is.
int clinux_epoll(void);
int clinux_epoll_add(int epoll, int descriptor);
int clinux_epoll_remove(int epoll, int descriptor);
/// Sets the events a descriptor is polled for, any of CLINUX_READABLE and CLINUX_WRITABLE; with
/// neither, only a hang-up is reported, once.
int clinux_epoll_watch(int epoll, int descriptor, int wanted);
/// Number of entries of /proc/self/fd, without the one needed for counting.
int clinux_open_descriptors(void);
/// Number of mappings of this process whose path starts with `prefix` (/proc/self/maps).
int clinux_count_mappings(const char *prefix);

// MARK: eventfd

/// Creates an eventfd with a count of 0, close-on-exec and non-blocking.
int clinux_eventfd(void);
/// Adds one to an eventfd that a peer may share; does nothing if the counter is full, which is as
/// good a signal. Never blocks if clinux_signals_without_waiting returns 1.
int clinux_eventfd_signal(int counter);
/// Adds one to an eventfd that is not shared; cheaper.
int clinux_eventfd_signal_own(int counter);
/// Adds any value, unless poll says that this would block.
int clinux_eventfd_add(int counter, uint64_t value);
/// Reads and resets the count, 0 if there is none; never blocks.
int64_t clinux_eventfd_take(int counter);
/// 1 if the kernel signals for us (asynchronous I/O); 0 if this process may not use asynchronous
/// I/O, so that a peer that is fast enough can make clinux_eventfd_signal block.
int clinux_signals_without_waiting(void);
/// 1 if the descriptor certainly is an eventfd.
int clinux_is_eventfd(int descriptor);
/// 1 if two descriptors certainly refer to different eventfds; 0 also if the kernel does not tell.
int clinux_are_different_eventfds(int one, int other);

// MARK: Memory that another process can take away

/// Installs the SIGBUS handler that the functions below rely on, once; a fault outside of them is
/// passed to the previous handler. Without the handler a fault in them ends the process.
void clinux_guard_install(void);
/// Call this on a thread before its accesses: if SIGBUS is blocked, the first fault ends the
/// process in spite of the handler. Costs one check of a thread-local variable.
void clinux_guard_enter_thread(void);

// Each returns 0, or -EFAULT if the file behind the mapping has been truncated. Loads and stores of
// a number are one instruction; the atomic operations require natural alignment.
int clinux_guarded_copy(void *to, const void *from, size_t count);
int clinux_guarded_zero(void *to, size_t count);
/// Copies entries of 16 bytes from aligned memory to aligned memory; another processor sees the first half of each
/// before the second, and the entries in their order.
int clinux_guarded_post(void *to, const void *from, size_t entries);
int clinux_guarded_load8(const void *from, uint8_t *value);
int clinux_guarded_load16(const void *from, uint16_t *value);
int clinux_guarded_load32(const void *from, uint32_t *value);
int clinux_guarded_load64(const void *from, uint64_t *value);
int clinux_guarded_store8(void *to, uint8_t value);
int clinux_guarded_store16(void *to, uint16_t value);
int clinux_guarded_store32(void *to, uint32_t value);
int clinux_guarded_store64(void *to, uint64_t value);
/// Stores the new value from `*value` and returns the previous one there.
int clinux_guarded_exchange8(void *at, uint8_t *value);
int clinux_guarded_exchange16(void *at, uint16_t *value);
int clinux_guarded_exchange32(void *at, uint32_t *value);
int clinux_guarded_exchange64(void *at, uint64_t *value);
/// Returns the previous value in `*expected`; stores `desired` if it was the expected one.
int clinux_guarded_compare_exchange8(void *at, uint8_t *expected, uint8_t desired);
int clinux_guarded_compare_exchange16(void *at, uint16_t *expected, uint16_t desired);
int clinux_guarded_compare_exchange32(void *at, uint32_t *expected, uint32_t desired);
int clinux_guarded_compare_exchange64(void *at, uint64_t *expected, uint64_t desired);
/// Sets the bits of `*bits` and returns the previous value there.
int clinux_guarded_fetch_or8(void *at, uint8_t *bits);
int clinux_guarded_fetch_or16(void *at, uint16_t *bits);
int clinux_guarded_fetch_or32(void *at, uint32_t *bits);
int clinux_guarded_fetch_or64(void *at, uint64_t *bits);

// The same for numbers of `size` bytes (1, 2, 4 or 8); -EINVAL for any other size.

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
/// Starts a detached thread with all signals blocked except faults; `name` has at most 15
/// characters.
int clinux_thread_start(const char *name, clinux_thread_body body, void *context);
/// Reduces the timer slack of the calling thread to a minimum (PR_SET_TIMERSLACK).
void clinux_thread_wake_on_time(void);
/// Names the calling thread; the main one names the process.
void clinux_thread_name(const char *name);
/// The processors that a thread may run on, a bit for each in CLINUX_PROCESSOR_WORDS words; 0 is the calling thread.
#define CLINUX_PROCESSOR_WORDS 128
int clinux_get_affinity(int thread, uint64_t *processors);
int clinux_set_affinity(int thread, const uint64_t *processors);

/// How many processors the calling thread may run on, at least 1.
int clinux_processors(void);

/// A mutex and a condition variable on the monotonic clock, in one allocation.
struct clinux_monitor;
struct clinux_monitor *clinux_monitor_create(void);
void clinux_monitor_destroy(struct clinux_monitor *monitor);
void clinux_monitor_lock(struct clinux_monitor *monitor);
/// Returns whether the lock has been taken; does not wait.
int clinux_monitor_try_lock(struct clinux_monitor *monitor);
void clinux_monitor_unlock(struct clinux_monitor *monitor);
void clinux_monitor_wait(struct clinux_monitor *monitor);
/// 0 if woken, -ETIMEDOUT if CLOCK_MONOTONIC reached `deadline` (in nanoseconds).
int clinux_monitor_wait_until(struct clinux_monitor *monitor, uint64_t deadline);
void clinux_monitor_wake_all(struct clinux_monitor *monitor);

/// Waits while `*word` equals `expected`, until woken or until CLOCK_MONOTONIC reaches `deadline`
/// (in nanoseconds; UINT64_MAX: forever). Returns 0 or -ETIMEDOUT; may wake up spuriously.
int clinux_futex_wait(const uint32_t *word, uint32_t expected, uint64_t deadline);
void clinux_futex_wake_one(const uint32_t *word);
uint32_t clinux_word_load(const uint32_t *word);
void clinux_word_store(uint32_t *word, uint32_t value);
/// The ID of the calling thread, not reused while the thread exists.
uint64_t clinux_thread_id(void);
/// getpid.
int clinux_process_id(void);

/// CLOCK_MONOTONIC in nanoseconds.
uint64_t clinux_now(void);
/// Not before ``clinux_now``, and at most 20 ms later; cheaper.
uint64_t clinux_now_or_soon(void);

// MARK: The process

/// Opens /dev/null for each closed descriptor among 0, 1 and 2: otherwise the next file opened
/// would get that number, and output for standard error would be written to it.
void clinux_open_standard_descriptors(void);
/// Raises the soft limit of open files to the hard limit, and returns the resulting limit.
int64_t clinux_raise_descriptor_limit(void);
/// Address space limit of the process in bytes (RLIMIT_AS); INT64_MAX if there is none.
int64_t clinux_address_space_limit(void);
/// Address space used by the process in bytes; -errno without /proc.
int64_t clinux_address_space_used(void);
/// Maximum number of mappings of a process (vm.max_map_count).
int64_t clinux_mapping_limit(void);
/// When a process began, in clock ticks since the machine did (proc_pid_stat(5), starttime); negative if that is not known.
int64_t clinux_process_beginning(int process);
/// A number that no other process has had since the machine began (pidfs, Linux 6.9), which needs no /proc; -ESRCH for none.
int64_t clinux_process_inode(int process);
/// malloc with an alignment of 16. Returns NULL if there is no memory, which Swift's own allocation
/// cannot report. Free with clinux_free.
void *clinux_allocate(size_t size);

// MARK: Signals

/// Blocks SIGINT and SIGTERM in the calling thread and in threads started by it; ignores SIGPIPE.
void clinux_block_termination_signals(void);
/// Waits for SIGINT or SIGTERM and returns its number.
int clinux_wait_for_termination(void);
/// The same with SIGUSR2, which has a program replaced by another one. To be waited for by one thread: what arrives while the
/// program is replaced waits for the next one.
void clinux_block_program_signals(void);
/// Returns 1 for SIGUSR2, else 0.
int clinux_wait_for_program_signal(void);
/// Sends SIGUSR2 to this process.
void clinux_demand_upgrade(void);
/// Takes back each SIGUSR2 that nobody has waited for.
void clinux_forget_upgrades(void);

#ifdef __cplusplus
}
#endif
#endif
