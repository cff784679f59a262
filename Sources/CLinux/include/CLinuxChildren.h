// What a supervisor of device processes needs, and what such a process does to itself; the rules at the top of CLinux.h
// apply here too.
#ifndef CLINUX_CHILDREN_H
#define CLINUX_CHILDREN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// MARK: The supervisor

/// The environment variable by which a process knows its supervisor.
#define CLINUX_SUPERVISOR_VARIABLE "VFIO_USER_SUPERVISOR"

/// Starts `path` in a child process of the calling thread, and returns its process ID.
///
/// The child has this process's standard descriptors, `inherited` (unless that is negative), and its environment without
/// what systemd has put there for this process, but with CLINUX_SUPERVISOR_VARIABLE; no signal is blocked or ignored.
/// `arguments` are NUL-terminated strings, one behind the other, with an empty one at the end.
int clinux_start_child(const char *path, const char *arguments, const char *supervisor,
                       int inherited);
/// Blocks SIGCHLD in the calling thread and in threads started by it, beside what clinux_block_program_signals and
/// clinux_block_hangup block.
void clinux_block_supervisor_signals(void);
/// Waits for one of these signals, and returns its number; 0 when `nanoseconds` have passed (negative: never).
int clinux_wait_for_supervisor_signal(int64_t nanoseconds);
/// Ends that wait: the signal is SIGCHLD.
void clinux_wake_supervisor(void);
/// What children of this process leave behind becomes a child of this process, as long as it lives.
int clinux_adopt_orphans(void);
/// A child that has ended; 0 if there is none. clinux_child_ended frees its number.
int clinux_ended_child(void);
/// Gives up all capabilities for good, also for programs that are executed, but those that starting device processes as
/// other users takes (CAP_KILL, CAP_SETGID, CAP_SETUID).
int clinux_keep_supervisor_capabilities(void);

// MARK: A program that a tool has started

/// Starts `path` in a child process with this process's environment, and returns its process ID.
///
/// `arguments` end with NULL; the first is its name. `streams` are its standard descriptors, where a negative number is
/// /dev/null. No signal is blocked or ignored. clinux_child_ended frees its number.
int clinux_start_program(const char *path, char *const *arguments, const int streams[3]);

// MARK: A device process

/// Has the kernel kill this process when the thread that has started it ends, and returns whether that process is still
/// `parent`.
///
/// A change of the user takes that back, and the program of a thread other than the main one begins without it.
int clinux_ends_with(int parent);

struct clinux_user {
  unsigned user;
  unsigned group;
};
/// Looks up a user by name, or by number if there is no such name; -ENOENT if there is none.
int clinux_find_user(const char *name, struct clinux_user *user);
/// Looks up a group in the same way, and writes its number.
int clinux_find_group(const char *name, unsigned *group);
/// The user and group that this process runs as.
struct clinux_user clinux_present_user(void);
/// Becomes a user with a group, and with the other groups of the user `name`, for good.
///
/// To be called while the process has one thread.
int clinux_become(const char *name, const struct clinux_user *user);
/// Limits the private memory of this process (RLIMIT_DATA), for good.
int clinux_limit_memory(uint64_t bytes);

#ifdef __cplusplus
}
#endif
#endif
