// For tests: has the kernel refuse something to this process from now on: io_uring, as containers do, or what
// makes data durable, as broken disks do. With the code 0 a call does nothing and says that all is well.
#ifndef SYSTEM_CALL_FILTER_H
#define SYSTEM_CALL_FILTER_H

/// io_uring_setup fails with `code` from here on, in all threads. Returns 0, or -errno.
int filter_refuse_rings(int code);

/// The kernel has no Landlock from here on: landlock_create_ruleset fails with `code`.
int filter_refuse_landlock(int code);

/// io_uring_enter fails with `code` when there is something to submit, in all threads; waiting goes on to work.
int filter_refuse_submissions(int code);

/// fdatasync fails with `code`, in all threads. Calls that a ring makes are not seen.
int filter_refuse_syncs(int code);

/// fallocate fails with `code`, in all threads.
int filter_refuse_allocation(int code);

/// write of eight bytes, as an eventfd is added to, fails with `code`, in all threads.
int filter_refuse_counter_writes(int code);

/// pwritev2 with RWF_DSYNC and at least so many slices fails with `code`, in all threads.
int filter_refuse_durable_writes(int code, int slices);

/// kcmp fails, in all threads, as container profiles have it.
int filter_refuse_kcmp(void);

/// preadv2, pwritev2 or fdatasync waits before the kernel begins with it, as it does with a slow disk, but for calls that ask
/// not to wait (RWF_NOWAIT), in all threads. Returns the descriptor by which they are let go, or -errno.
int filter_hold_reads(void);
int filter_hold_writes(void);
int filter_hold_syncs(void);

/// Waits for a call to be held. Returns 0 and which one, or -errno, -ETIMEDOUT when there is none.
int filter_next_held(int listener, int milliseconds, unsigned long long *call);

/// Lets the kernel carry the call out. Returns 0, or -errno.
int filter_let_go(int listener, unsigned long long call);

#endif
