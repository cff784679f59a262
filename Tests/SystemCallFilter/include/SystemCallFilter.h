// For tests: has the kernel refuse something to this process from now on: io_uring, as containers do, or what
// makes data durable, as broken disks do. With the code 0 a call does nothing and says that all is well.
#ifndef SYSTEM_CALL_FILTER_H
#define SYSTEM_CALL_FILTER_H

/// io_uring_setup fails with `code` from here on, in all threads. Returns 0, or -errno.
int filter_refuse_rings(int code);

/// io_uring_enter fails with `code` when there is something to submit, in all threads; waiting goes on to work.
int filter_refuse_submissions(int code);

/// fdatasync fails with `code`, in all threads. Calls that a ring makes are not seen.
int filter_refuse_syncs(int code);

/// fallocate fails with `code`, in all threads.
int filter_refuse_allocation(int code);

/// pwritev2 with RWF_DSYNC and at least so many slices fails with `code`, in all threads.
int filter_refuse_durable_writes(int code, int slices);

/// kcmp fails, in all threads, as container profiles have it.
int filter_refuse_kcmp(void);

#endif
