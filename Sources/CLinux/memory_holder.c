#define _GNU_SOURCE
#include "CLinuxUpgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// Before execve starts a program, it ends the memory of the one before it: it removes the pages of guest memory one by
// one, and waits for a grace period of RCU when there is an AIO context (counters.c). Together that is most of the pause
// of an upgrade. It does neither when another process has the same memory: then the end of that process does. So there is
// one, which does nothing but wait until the program is replaced.

enum { STACK_SIZE = 64 << 10 };

/// The child. It runs in the memory of its parent, on the thread-local storage of the thread that has started it: it calls
/// only the kernel. (A failure is written to that thread's errno, which nobody there reads meanwhile.)
static int hold(void *argument) {
  const unsigned end = (unsigned)(intptr_t)argument;
  // Its own copies of the parent's descriptors: nobody may wait for the end of a connection because of them. A close may
  // wait for a peer; whoever waits for this process kills it.
  const int is_closed = (end == 0 || syscall(SYS_close_range, 0u, end - 1, 0u) == 0) &&
                        syscall(SYS_close_range, end + 1, ~0u, 0u) == 0;
  char byte;
  // With a copy of the other end of the pipe it would wait for ever.
  if (is_closed) syscall(SYS_read, end, &byte, 1);
  syscall(SYS_exit_group, 0);
  return 0;
}

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
/// The thread sanitizer takes the child for a fork of its own.
#define NO_HOLDER
#endif
#endif

int clinux_hold_memory(struct clinux_memory_holder *holder) {
#ifdef NO_HOLDER
  (void)hold;
  holder->process = 0;
  return -ENOSYS;
#endif
  int ends[2];
  holder->process = 0;
  if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
  char *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) {
    close(ends[0]);
    close(ends[1]);
    return -ENOMEM;
  }
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  // No signal at its end: whoever knows it waits for it.
  const int process = clone(hold, stack + STACK_SIZE, CLONE_VM, (void *)(intptr_t)ends[0]);
  const int code = errno;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  close(ends[0]);
  if (process < 0) {
    close(ends[1]);
    munmap(stack, STACK_SIZE);
    return -code;
  }
  *holder = (struct clinux_memory_holder){process, ends[1], stack};
  return 0;
}

void clinux_end_holder(const struct clinux_memory_holder *holder) {
  if (holder->process == 0) return;
  close(holder->end);
  kill(holder->process, SIGKILL);
  // A close that even SIGKILL does not end must not hold up the devices, which are halted: then the stack stays, too.
  for (int tries = 0; waitpid(holder->process, NULL, __WALL | WNOHANG) == 0; tries++) {
    if (tries == 100) return;
    usleep(1000);
  }
  munmap(holder->stack, STACK_SIZE);
}

void clinux_await_holder(int process) {
  if (process <= 0) return;
  kill(process, SIGKILL);
  while (waitpid(process, NULL, __WALL) < 0 && errno == EINTR) continue;
}
