// For tests: has the kernel refuse io_uring to this process from now on, as containers do.
#ifndef SYSTEM_CALL_FILTER_H
#define SYSTEM_CALL_FILTER_H

/// io_uring_setup fails with `code` from here on, in all threads. Returns 0, or -errno.
int filter_refuse_rings(int code);

/// io_uring_enter fails with `code` when there is something to submit, in all threads; waiting goes on to work.
int filter_refuse_submissions(int code);

#endif
