#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

// Signals an eventfd that a peer shares. The peer can fill the counter and clear O_NONBLOCK between
// any two calls of ours, so a write may always block. The kernel itself signals without blocking:
// on completion of an asynchronous operation it adds one to the operation's eventfd
// (IOCB_FLAG_RESFD), and a full counter stays full. The operation used is a read of zero bytes from
// an empty memory file, which is complete when io_submit returns.

/// What the kernel maps at the address of an AIO context (struct aio_ring).
struct completions {
  uint32_t id, count;
  _Atomic uint32_t head, tail;
};

enum { QUEUE_LENGTH = 64, MOST_TRIES = 8 };

static struct {
  aio_context_t context;
  int nothing;
  /// 1 if the kernel signals for us, 0 if that is not known yet, otherwise the -errno why not.
  atomic_int state;
} operations;

/// Discards all completions. Threads that do so concurrently may set the head back for a moment,
/// which only makes the queue look fuller than it is.
static void forget_completions(void) {
  struct completions *queue = (struct completions *)operations.context;
  atomic_store_explicit(&queue->head, atomic_load_explicit(&queue->tail, memory_order_acquire),
                        memory_order_release);
}

static long submit(int counter, uint64_t address, uint64_t size) {
  struct iocb operation;
  memset(&operation, 0, sizeof operation);
  operation.aio_lio_opcode = IOCB_CMD_PREAD;
  operation.aio_fildes = (uint32_t)operations.nothing;
  operation.aio_buf = address;
  operation.aio_nbytes = size;
  operation.aio_flags = IOCB_FLAG_RESFD;
  operation.aio_resfd = (uint32_t)counter;
  struct iocb *list[] = {&operation};
  return syscall(SYS_io_submit, operations.context, 1, list) < 0 ? -errno : 0;
}

/// Checks that signalling works: a kernel that accepts operations without executing them would
/// swallow signals.
static int try_out(void) {
  struct completions *queue = (struct completions *)operations.context;
  const int counter = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (counter < 0) return -EAGAIN;
  uint64_t value = 0;
  const uint32_t tail = atomic_load(&queue->tail);
  const long result = submit(counter, 0, 0);
  const int is_signalled = read(counter, &value, sizeof value) == sizeof value && value == 1;
  close(counter);
  if (result < 0) return (int)result;
  return is_signalled && atomic_load(&queue->tail) != tail ? 1 : -ENOSYS;
}

static int set_up(void) {
  if (operations.nothing <= 0) operations.nothing = memfd_create("nothing", MFD_CLOEXEC);
  if (operations.nothing < 0) return -EAGAIN;
  operations.context = 0;
  if (syscall(SYS_io_setup, QUEUE_LENGTH, &operations.context) < 0) return -errno;
  const int result = try_out();
  forget_completions();
  if (result < 0) syscall(SYS_io_destroy, operations.context);
  return result;
}

/// A forked child has none of its parent's AIO contexts.
static void forget_context(void) { atomic_store(&operations.state, 0); }

/// Returns 0 if the kernel signals for us, otherwise why not. A temporary shortage (fs.aio-max-nr
/// is a limit of the whole system) is retried at the next call.
static int prepare(void) {
  const int known = atomic_load_explicit(&operations.state, memory_order_acquire);
  if (known != 0) return known > 0 ? 0 : known;
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static int is_watching_forks;
  pthread_mutex_lock(&lock);
  int state = atomic_load(&operations.state);
  if (state == 0) {
    if (!is_watching_forks) is_watching_forks = pthread_atfork(NULL, NULL, forget_context) == 0;
    state = set_up();
    if (state != -EAGAIN && state != -ENOMEM)
      atomic_store_explicit(&operations.state, state, memory_order_release);
  }
  pthread_mutex_unlock(&lock);
  return state > 0 ? 0 : state;
}

/// For kernels and system call filters without asynchronous I/O: a peer that fills the counter
/// between the two calls makes the caller block until the peer empties it.
static int add_by_write(int counter, uint64_t value) {
  struct pollfd polled = {.fd = counter, .events = POLLOUT};
  if (poll(&polled, 1, 0) < 0 && errno != EINTR) return -errno;
  if (!(polled.revents & POLLOUT)) return 0;
  return write(counter, &value, sizeof value) < 0 && errno != EAGAIN ? -errno : 0;
}

int clinux_eventfd(void) {
  const int number = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return number < 0 ? -errno : number;
}

int clinux_eventfd_signal(int counter) {
  if (prepare() < 0) return add_by_write(counter, 1);
  for (int tries = 0; tries < MOST_TRIES; tries++) {
    const long result = submit(counter, 0, 0);
    forget_completions();
    if (result != -EAGAIN) return (int)result;
  }
  return add_by_write(counter, 1);
}

int clinux_eventfd_signal_own(int counter) {
  const uint64_t one = 1;
  return write(counter, &one, sizeof one) < 0 && errno != EAGAIN ? -errno : 0;
}

int clinux_eventfd_add(int counter, uint64_t value) { return add_by_write(counter, value); }

int64_t clinux_eventfd_take(int counter) {
  uint64_t value = 0;
  struct iovec piece = {&value, sizeof value};
  // Not a plain read: the peer may have cleared O_NONBLOCK, and may read the count first.
  if (preadv2(counter, &piece, 1, -1, RWF_NOWAIT) < 0) return errno == EAGAIN ? 0 : -errno;
  return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

int clinux_signals_without_waiting(void) { return prepare() == 0; }

/// The kernel checks the eventfd before the address, which no program may read from: the operation
/// always fails, and the error tells whether the descriptor is an eventfd.
static int asked_of_the_kernel(int descriptor) {
  if (prepare() < 0) return -ENOSYS;
  long result = -EAGAIN;
  for (int tries = 0; tries < MOST_TRIES && result == -EAGAIN; tries++) {
    result = submit(descriptor, UINT64_MAX - 4095, 1);
    if (result == -EAGAIN) forget_completions();
  }
  if (result == -EFAULT) return 1;
  return result == -EINVAL ? 0 : -ENOSYS;
}

int clinux_is_eventfd(int descriptor) {
  const int answer = asked_of_the_kernel(descriptor);
  if (answer >= 0) return answer;
  char link[32], name[32] = "";
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  if (readlink(link, name, sizeof name - 1) < 0) return 0;
  return strcmp(name, "anon_inode:[eventfd]") == 0;
}

/// The ID that the kernel assigns to each eventfd, from /proc (Linux 5.2); -1 if not available.
static long eventfd_number(int descriptor) {
  char path[40], line[128];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", descriptor);
  FILE *info = fopen(path, "re");
  if (info == NULL) return -1;
  long number = -1;
  while (number < 0 && fgets(line, sizeof line, info) != NULL)
    if (sscanf(line, "eventfd-id: %ld", &number) != 1) number = -1;
  fclose(info);
  return number;
}

int clinux_are_different_eventfds(int one, int other) {
  const pid_t self = getpid();
  const long order = syscall(SYS_kcmp, self, self, KCMP_FILE, one, other);
  if (order >= 0) return order != 0;
  // Container profiles often deny kcmp.
  const long first = eventfd_number(one), second = eventfd_number(other);
  return first >= 0 && second >= 0 && first != second;
}
