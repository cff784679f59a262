#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

// A client shares memory by a descriptor and can truncate the file that we have mapped: an access
// then raises SIGBUS. On x86-64 the accesses are assembler leaf functions (guard_x86_64.S); if the
// program counter is in one of them, the handler continues at an exit that returns -EFAULT. That
// needs no set-up per access and no thread-local state, and works with the sanitizers. On other
// architectures the accesses return by siglongjmp, within C code.

static struct sigaction previous;

/// Whether an access of this thread raised the signal. Otherwise a process sent it, or the kernel
/// reports failed memory that nobody has accessed yet (BUS_MCEERR_AO).
static int is_fault(const siginfo_t *info) {
  return info->si_code > 0 && info->si_code != BUS_MCEERR_AO;
}

static void pass_on(int number, siginfo_t *info, void *context) {
  if (previous.sa_flags & SA_SIGINFO) {
    previous.sa_sigaction(number, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(number);
  } else if (is_fault(info)) {
    signal(number, SIG_DFL);  // the instruction is executed again and ends the process
  } else if (info->si_code <= 0 && previous.sa_handler == SIG_DFL) {
    // A process wants to end this one with the signal.
    signal(number, SIG_DFL);
    raise(number);
  }
}

static void let_faults_through(void) {
  sigset_t bus;
  sigemptyset(&bus);
  sigaddset(&bus, SIGBUS);
  pthread_sigmask(SIG_UNBLOCK, &bus, NULL);
}

#if defined(__x86_64__) && !defined(CLINUX_PORTABLE_GUARD)

extern const char clinux_guard_low[], clinux_guard_high[], clinux_guard_fix[];

static void handle(int number, siginfo_t *info, void *opaque) {
  ucontext_t *context = opaque;
  const uintptr_t at = (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
  if (is_fault(info) && at >= (uintptr_t)clinux_guard_low && at < (uintptr_t)clinux_guard_high)
    context->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)clinux_guard_fix;
  else
    pass_on(number, info, opaque);
}

#else

static _Thread_local sigjmp_buf *landing;

static void handle(int number, siginfo_t *info, void *opaque) {
  sigjmp_buf *target = landing;
  if (target == NULL || !is_fault(info)) {
    pass_on(number, info, opaque);
    return;
  }
  landing = NULL;
  // The thread sanitizer runs handlers with all signals blocked, and the jump does not restore the
  // mask.
  let_faults_through();
  siglongjmp(*target, 1);
}

#define GUARDED(access)                      \
  do {                                       \
    sigjmp_buf here;                         \
    if (sigsetjmp(here, 0)) return -EFAULT;  \
    landing = &here;                         \
    __atomic_signal_fence(__ATOMIC_SEQ_CST); \
    access;                                  \
    __atomic_signal_fence(__ATOMIC_SEQ_CST); \
    landing = NULL;                          \
    return 0;                                \
  } while (0)

#define ACCESSES(bits)                                                                       \
  typedef uint##bits##_t __attribute__((aligned(1), may_alias)) loose##bits;                 \
  int clinux_guarded_load##bits(const void *from, uint##bits##_t *value) {                   \
    /* Acquire: what was stored before the value loaded here is visible from now on. */      \
    GUARDED(*value = *(const volatile loose##bits *)from;                                    \
            __atomic_thread_fence(__ATOMIC_ACQUIRE));                                        \
  }                                                                                          \
  int clinux_guarded_store##bits(void *to, uint##bits##_t value) {                           \
    __atomic_thread_fence(__ATOMIC_RELEASE);                                                 \
    GUARDED(*(volatile loose##bits *)to = value);                                            \
  }

#define ATOMICS(bits)                                                                        \
  int clinux_guarded_exchange##bits(void *at, uint##bits##_t *value) {                       \
    GUARDED(*value = __atomic_exchange_n((uint##bits##_t *)at, *value, __ATOMIC_SEQ_CST));   \
  }                                                                                          \
  int clinux_guarded_compare_exchange##bits(void *at, uint##bits##_t *expected,              \
                                            uint##bits##_t desired) {                        \
    GUARDED(__atomic_compare_exchange_n((uint##bits##_t *)at, expected, desired, 0,          \
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));                \
  }                                                                                          \
  int clinux_guarded_fetch_or##bits(void *at, uint##bits##_t *value) {                       \
    GUARDED(*value = __atomic_fetch_or((uint##bits##_t *)at, *value, __ATOMIC_SEQ_CST));     \
  }

ACCESSES(8)
ACCESSES(16)
ACCESSES(32)
ACCESSES(64)
ATOMICS(8)
ATOMICS(16)
ATOMICS(32)
ATOMICS(64)

int clinux_guarded_copy(void *to, const void *from, size_t count) {
  GUARDED(memcpy(to, from, count));
}

int clinux_guarded_zero(void *to, size_t count) {
  GUARDED(memset(to, 0, count));
}

int clinux_guarded_post(void *to, const void *from, size_t entries) {
  volatile uint64_t *place = to;
  const uint64_t *value = from;
  GUARDED(for (size_t half = 0; half < 2 * entries; half++) {
    __atomic_thread_fence(__ATOMIC_RELEASE);
    place[half] = value[half];
  });
}

#endif

static void install(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  // Two calls, because sigaction stores the previous handler only after ours is installed and may
  // already run.
  sigaction(SIGBUS, NULL, &previous);
  sigaction(SIGBUS, &action, NULL);
}

void clinux_guard_install(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, install);
}

static _Thread_local int is_ready;

void clinux_guard_enter_thread(void) {
  if (is_ready) return;
  is_ready = 1;
  let_faults_through();
}
